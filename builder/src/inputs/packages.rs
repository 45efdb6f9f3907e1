//! Packages of distributions, and which of them brought a kernel's build tree by Debian's database, which is text.

use std::fs;
use std::path::Path;

use bundle_format::Digest;
use serde::{Deserialize, Serialize};

use crate::kernels::{Checked, PackageFormat, StoredPackage};
use crate::sandbox::Sysroot;

/// A package of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub format: PackageFormat,
    pub name: String,
    /// Its version, as the distribution writes it: of an RPM `EPOCH:VERSION-RELEASE`, without an epoch of 0.
    pub version: String,
    pub architecture: Option<String>,
    /// Of its file, and how that was checked; known of those that the kernel store took in.
    pub file: Option<(Digest, Checked)>,
}

impl From<&StoredPackage> for Package {
    fn from(stored: &StoredPackage) -> Self {
        Self {
            format: stored.format,
            name: stored.name.clone(),
            version: stored.version.clone(),
            architecture: Some(stored.architecture.clone()),
            file: Some((stored.sha256, stored.checked.clone())),
        }
    }
}

impl Package {
    /// Its package URL (purl). Whose repository a package came from isn't in a database, so no namespace is claimed.
    pub(crate) fn url(&self) -> String {
        let kind = match self.format {
            PackageFormat::Deb => "deb",
            PackageFormat::Rpm => return self.url_of_rpm(),
            PackageFormat::Debuginfod => "generic",
        };
        format!("pkg:{kind}/{}@{}", encoded(&self.name), encoded(&self.version))
    }

    /// There the epoch is a qualifier, and no part of the version.
    fn url_of_rpm(&self) -> String {
        let (epoch, version) = match self.version.split_once(':') {
            Some((epoch, version)) => (Some(epoch), version),
            None => (None, self.version.as_str()),
        };
        let url = format!("pkg:rpm/{}@{}", encoded(&self.name), encoded(version));
        let architecture = self.architecture.iter().map(|name| format!("arch={}", encoded(name)));
        let epoch = epoch.map(|number| format!("epoch={}", encoded(number)));
        match architecture.chain(epoch).collect::<Vec<_>>().join("&") {
            none if none.is_empty() => url,
            qualifiers => format!("{url}?{qualifiers}"),
        }
    }
}

/// As a part of a package URL.
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

const INFO: &str = "/var/lib/dpkg/info";
const STATUS: &str = "/var/lib/dpkg/status";

/// The package in Debian's database that brought the directory `path` (as seen inside the root).
pub(super) fn owner_by_dpkg(sysroot: &Sysroot, path: &Path) -> Option<Package> {
    let wanted = path.to_str()?;
    let info = sysroot.host_path(Path::new(INFO)).ok()?;
    let mut lists: Vec<_> = fs::read_dir(info).ok()?.flatten().map(|entry| entry.file_name()).collect();
    lists.sort();
    // A parent directory is in many lists; only the one whose package made this tree has files below it.
    let below = format!("{wanted}/");
    let owner = lists.iter().filter_map(|name| name.to_str()?.strip_suffix(".list")).find(|name| {
        let list = sysroot.read(&Path::new(INFO).join(format!("{name}.list")));
        list.is_ok_and(|text| text.lines().any(|line| line.starts_with(&below)))
    })?;
    // Packages of several architectures have theirs behind a colon.
    let name = owner.split(':').next().unwrap_or(owner);
    let status = sysroot.read(Path::new(STATUS)).ok()?;
    let version = version_of(&status, name)?;
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (printable(name) && printable(&version)).then(|| Package {
        format: PackageFormat::Deb,
        name: name.to_owned(),
        version,
        architecture: None,
        file: None,
    })
}

/// The `Version` of the paragraph whose `Package` is `name`.
fn version_of(status: &str, name: &str) -> Option<String> {
    let paragraphs = status.split("\n\n");
    let field = |paragraph: &str, field: &str| {
        paragraph.lines().find_map(|line| Some(line.strip_prefix(field)?.trim().to_owned()))
    };
    let mut own = paragraphs.filter(|paragraph| field(paragraph, "Package:").as_deref() == Some(name));
    own.find_map(|paragraph| field(paragraph, "Version:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_sysroot;

    fn rpm(name: &str, version: &str, architecture: &str) -> Package {
        Package {
            format: PackageFormat::Rpm,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: Some(architecture.to_owned()),
            file: None,
        }
    }

    #[test]
    fn the_url_of_an_rpm_has_architecture_and_epoch_as_qualifiers_and_signs_escaped() {
        for (package, expected) in [
            (
                rpm("kernel-devel", "5.14.0-427.el9", "x86_64"),
                "pkg:rpm/kernel-devel@5.14.0-427.el9?arch=x86_64",
            ),
            (
                rpm("kernel-rt-devel", "2:5.14.0-447.el9+rt", "x86_64"),
                "pkg:rpm/kernel-rt-devel@5.14.0-447.el9%2Brt?arch=x86_64&epoch=2",
            ),
            (
                rpm("kernel-devel", "6.12~rc1^20240910-1", "aarch64"),
                "pkg:rpm/kernel-devel@6.12~rc1%5E20240910-1?arch=aarch64",
            ),
        ] {
            assert_eq!(package.url(), expected);
        }
        // The epoch of a Debian package is a part of its version.
        let deb = Package { format: PackageFormat::Deb, architecture: None, ..rpm("a+b", "1:2-3", "") };
        assert_eq!(deb.url(), "pkg:deb/a%2Bb@1%3A2-3");
    }

    #[test]
    fn a_stored_rpm_has_the_url_of_the_installed_one() {
        let stored = StoredPackage {
            name: "kernel-rt-devel".to_owned(),
            version: "1:5.14.0-447.el9".to_owned(),
            architecture: "x86_64".to_owned(),
            format: PackageFormat::Rpm,
            file: "kernel-rt-devel.rpm".to_owned(),
            sha256: Digest::of(b"package"),
            checked: Checked::Unverified,
        };
        let installed = rpm("kernel-rt-devel", "1:5.14.0-447.el9", "x86_64");
        assert_eq!(Package::from(&stored).url(), installed.url());
    }

    #[test]
    fn dpkg_tells_whose_a_tree_is() {
        let root = fake_sysroot(&["6.12.1-test"]);
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("var/lib/dpkg/info")).unwrap();
        let list = |name: &str, text: &str| fs::write(at("var/lib/dpkg/info").join(name), text).unwrap();
        list("base.list", "/.\n/usr\n/usr/src\n/usr/src/linux-headers-6.12.1-test\n");
        list("linux-headers-6.12.1-test:amd64.list", "/usr/src/linux-headers-6.12.1-test/Makefile\n");
        list("linux-headers-6.12.1-testing.list", "/usr/src/linux-headers-6.12.1-testing/Makefile\n");
        fs::write(
            at("var/lib/dpkg/status"),
            "Package: base\nVersion: 1\n\nPackage: linux-headers-6.12.1-test\nStatus: install ok installed\nVersion: 6.12.1-1+b1\n",
        )
        .unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        let found = owner_by_dpkg(&sysroot, Path::new("/usr/src/linux-headers-6.12.1-test")).unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("linux-headers-6.12.1-test", "6.12.1-1+b1")
        );
        assert_eq!(owner_by_dpkg(&sysroot, Path::new("/usr/src/linux-headers-common")), None);
    }

    #[test]
    fn without_a_database_nothing_is_told() {
        let root = fake_sysroot(&["6.12.1-test"]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        assert_eq!(owner_by_dpkg(&sysroot, Path::new("/usr/src/linux-headers-6.12.1-test")), None);
    }
}
