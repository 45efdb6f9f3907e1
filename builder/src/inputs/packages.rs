//! Which package of a sysroot a kernel's build tree came from, as far as its database tells.
//!
//! Debian's database is text and is read here. Others (rpm's) need their own programs; of them nothing is told.

use std::fs;
use std::path::Path;

use bundle_format::Digest;

use crate::kernels::{Checked, PackageFormat, StoredPackage};
use crate::sandbox::Sysroot;

/// A package of a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    pub format: PackageFormat,
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
    /// Of its file, and how that was checked; known of those that the kernel store took in.
    pub file: Option<(Digest, Checked)>,
}

impl From<&StoredPackage> for Package {
    fn from(stored: &StoredPackage) -> Self {
        Self {
            format: stored.format,
            name: stored.name.clone(),
            version: stored.version.clone(),
            file: Some((stored.sha256, stored.checked.clone())),
        }
    }
}

impl Package {
    /// Its package URL (purl). Of a `dpkg` database nothing more is known than that it is one: whose repository the package
    /// came from isn't in it, so no namespace is claimed.
    pub(crate) fn url(&self) -> String {
        let encoded = |text: &str| -> String {
            let encode = |byte: u8| match byte {
                byte if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) => {
                    char::from(byte).to_string()
                }
                byte => format!("%{byte:02X}"),
            };
            text.bytes().map(encode).collect()
        };
        let kind = match self.format {
            PackageFormat::Deb => "deb",
            PackageFormat::Rpm => "rpm",
            PackageFormat::Debuginfod => "generic",
        };
        format!("pkg:{kind}/{}@{}", encoded(&self.name), encoded(&self.version))
    }
}

const INFO: &str = "/var/lib/dpkg/info";
const STATUS: &str = "/var/lib/dpkg/status";

/// The package that brought the directory `path` (as seen inside the root); nothing if the database doesn't tell.
pub(crate) fn owner_of(sysroot: &Sysroot, path: &Path) -> Option<Package> {
    let wanted = path.to_str()?;
    let info = sysroot.host_path(Path::new(INFO)).ok()?;
    let mut lists: Vec<_> = fs::read_dir(info).ok()?.flatten().map(|entry| entry.file_name()).collect();
    lists.sort();
    // A parent directory stands in many lists; only the one whose package made this tree has files below it.
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
        let found = owner_of(&sysroot, Path::new("/usr/src/linux-headers-6.12.1-test")).unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("linux-headers-6.12.1-test", "6.12.1-1+b1")
        );
        assert_eq!(owner_of(&sysroot, Path::new("/usr/src/linux-headers-common")), None);
    }

    #[test]
    fn without_a_database_nothing_is_told() {
        let root = fake_sysroot(&["6.12.1-test"]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        assert_eq!(owner_of(&sysroot, Path::new("/usr/src/linux-headers-6.12.1-test")), None);
    }
}
