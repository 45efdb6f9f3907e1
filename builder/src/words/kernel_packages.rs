//! Which packages have a kernel's build tree, modules and debuginfo, by the release's name alone.
//!
//! Each distribution gives its releases names of a form of its own. Known here are those forms for which a source names the packages:
//!
//! - Debian: its package indexes (the tests compare all that is there with the live ones);
//! - Ubuntu: `stap-prep` of systemtap, and <https://wiki.ubuntu.com/Kernel/Systemtap>;
//! - Fedora, RHEL and its rebuilds: `stap-prep`, and the Developer Guide of RHEL 6, section 5.3, which has `kernel-debuginfo-common-ARCH`.
//!
//! Everything else is unknown. A wrong name would be worse than none.

use bundle_format::KernelRelease;
use serde::Serialize;

/// Debian's architectures in names of releases, the longer ones first.
const DEBIAN_ARCHITECTURES: [&str; 10] =
    ["armmp-lpae", "686-pae", "amd64", "arm64", "armmp", "ppc64el", "powerpc64le", "riscv64", "s390x", "686"];

/// Ubuntu's flavours that `linux-headers-REL` and `linux-image-REL-dbgsym` are known of.
const UBUNTU_FLAVOURS: [&str; 2] = ["generic", "lowlatency"];

/// Architectures at the end of releases of Fedora and RHEL.
const RPM_ARCHITECTURES: [&str; 6] = ["x86_64", "aarch64", "ppc64le", "s390x", "i686", "riscv64"];

/// What fetches a distribution's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Downloader {
    /// `apt-get download`.
    Apt,
    /// `dnf download`.
    Dnf,
}

impl Downloader {
    /// The command before the names of packages.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Apt => "apt-get download",
            Self::Dnf => "dnf download",
        }
    }
}

/// The packages of a kernel, by their exact names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelPackages {
    /// Whose they are, as people call it; rebuilds of RHEL have its names.
    pub distribution: &'static str,
    pub downloader: Downloader,
    /// Those that have the build tree; the first one asks for the others.
    pub headers: Vec<String>,
    /// That with the kernel's own modules.
    pub modules: Vec<String>,
    pub debuginfo: Vec<String>,
    /// What is needed besides the headers, and what it is called can't be seen from the release.
    pub beside_headers: Option<&'static str>,
    /// The same of the debuginfo.
    pub beside_debuginfo: Option<&'static str>,
}

impl KernelPackages {
    /// The packages of a release; `None` if its name is of no form that is known.
    #[must_use]
    pub fn of(release: &KernelRelease) -> Option<Self> {
        let release = release.as_str();
        of_debian(release).or_else(|| of_ubuntu(release)).or_else(|| of_rpm(release))
    }
}

/// `VERSION-FLAVOUR`: `7.2.12+deb14-cloud-amd64`, `6.1.0-50-amd64`.
fn of_debian(release: &str) -> Option<KernelPackages> {
    let rest = DEBIAN_ARCHITECTURES.iter().find_map(|name| release.strip_suffix(name)?.strip_suffix('-'))?;
    let is_realtime = rest.ends_with("-rt");
    let version = rest.strip_suffix("-cloud").or_else(|| rest.strip_suffix("-rt")).unwrap_or(rest);
    let (upstream, own) = version.split_once(['+', '-'])?;
    let mut numbers = upstream.split('.').map(str::parse::<u32>);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next()?.ok()?;
    let is_named = version.contains('+') && (own == "bpo" || own.strip_prefix("deb").is_some_and(is_number));
    // 6.1.0-50, and of backports 5.10.0-0.deb10.16, 4.19.0-0.bpo.5.
    let of_backport = |rest: &str| {
        let number = rest.strip_prefix("deb").or_else(|| rest.strip_prefix("bpo."));
        number.is_some_and(|numbers| numbers.split('.').all(is_number))
    };
    let is_numbered =
        version.contains('-') && (is_number(own) || own.strip_prefix("0.").is_some_and(of_backport));
    if !is_named && !is_numbered {
        return None;
    }
    // From 7 on the modules have a package of their own, and real time needs no source tree of its own.
    let is_split = major >= 7;
    let common = if is_realtime && !is_split { "common-rt" } else { "common" };
    let kbuild = if is_named { version.to_owned() } else { format!("{major}.{minor}") };
    let modules = if is_split { "linux-modules" } else { "linux-image" };
    Some(KernelPackages {
        distribution: "Debian",
        downloader: Downloader::Apt,
        headers: vec![
            format!("linux-headers-{release}"),
            format!("linux-headers-{version}-{common}"),
            format!("linux-kbuild-{kbuild}"),
        ],
        modules: vec![format!("{modules}-{release}")],
        debuginfo: vec![format!("linux-image-{release}-dbg")],
        beside_headers: None,
        beside_debuginfo: None,
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `6.8.0-45-generic`.
fn of_ubuntu(release: &str) -> Option<KernelPackages> {
    let version = UBUNTU_FLAVOURS.iter().find_map(|name| release.strip_suffix(name)?.strip_suffix('-'))?;
    let (upstream, build) = version.split_once('-')?;
    if !upstream.split('.').all(is_number) || !is_number(build) {
        return None;
    }
    Some(KernelPackages {
        distribution: "Ubuntu",
        downloader: Downloader::Apt,
        headers: vec![format!("linux-headers-{release}")],
        modules: vec![format!("linux-modules-{release}")],
        debuginfo: vec![format!("linux-image-{release}-dbgsym")],
        beside_headers: Some("what linux-headers depends on (apt-cache depends names it)"),
        beside_debuginfo: Some("what linux-image-…-dbgsym depends on, from the archive of debug symbols"),
    })
}

/// `5.14.0-427.el9.x86_64`, with a variant behind a `+`.
fn of_rpm(release: &str) -> Option<KernelPackages> {
    let (rest, variant) = match release.rsplit_once('+') {
        Some((rest, variant)) => (rest, variant),
        None => (release, ""),
    };
    let (build, architecture) = rest.rsplit_once('.')?;
    // Others who build kernels for it add a word, before or behind.
    let (_, tag) = build.rsplit_once('.')?;
    let of_el = |rest: &str| rest.split('_').all(is_number);
    let distribution = if tag.strip_prefix("fc").is_some_and(is_number) {
        "Fedora"
    } else if tag.strip_prefix("el").is_some_and(of_el) {
        "RHEL"
    } else {
        return None;
    };
    let (upstream, own) = build.rsplit_once('.')?.0.split_once('-')?;
    let is_counted = |part: &str| {
        let rest = part.strip_prefix("rc").or_else(|| part.strip_prefix("rt")).unwrap_or(part);
        is_number(rest)
    };
    if !upstream.split('.').all(is_number) || !own.split('.').all(is_counted) {
        return None;
    }
    if !RPM_ARCHITECTURES.contains(&architecture) {
        return None;
    }
    // Kernels for real time were built apart once, with `rt` in their version.
    let was_apart = build.contains(".rt");
    let kernel = match (variant, was_apart) {
        ("", false) => "kernel",
        ("debug", false) => "kernel-debug",
        ("rt", false) | ("", true) => "kernel-rt",
        ("rt-debug", false) | ("debug", true) => "kernel-rt-debug",
        _ => return None,
    };
    let common = if was_apart { "kernel-rt" } else { "kernel" };
    let named = |package: &str| format!("{package}-{build}.{architecture}");
    Some(KernelPackages {
        distribution,
        downloader: Downloader::Dnf,
        headers: vec![named(&format!("{kernel}-devel"))],
        modules: Vec::new(),
        debuginfo: vec![
            named(&format!("{kernel}-debuginfo")),
            named(&format!("{common}-debuginfo-common-{architecture}")),
        ],
        beside_headers: None,
        beside_debuginfo: Some(
            "the packages with the kernel's own modules (what its package kernel requires)",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(release: &str) -> Option<KernelPackages> {
        KernelPackages::of(&release.parse().unwrap())
    }

    fn headers(release: &str) -> String {
        packages(release).map(|packages| packages.headers.join(" ")).unwrap_or_default()
    }

    #[test]
    fn debians_headers_come_with_those_that_they_need() {
        for (release, expected) in [
            (
                "7.2.12+deb14-cloud-amd64",
                "linux-headers-7.2.12+deb14-cloud-amd64 linux-headers-7.2.12+deb14-common linux-kbuild-7.2.12+deb14",
            ),
            (
                "6.12.107+deb13-rt-amd64",
                "linux-headers-6.12.107+deb13-rt-amd64 linux-headers-6.12.107+deb13-common-rt linux-kbuild-6.12.107+deb13",
            ),
            ("6.1.0-50-arm64", "linux-headers-6.1.0-50-arm64 linux-headers-6.1.0-50-common linux-kbuild-6.1"),
        ] {
            assert_eq!(headers(release), expected);
        }
        let new = packages("7.2.12+deb14-amd64").unwrap();
        assert_eq!(new.modules, ["linux-modules-7.2.12+deb14-amd64"]);
        assert_eq!(new.debuginfo, ["linux-image-7.2.12+deb14-amd64-dbg"]);
        assert_eq!(packages("6.1.0-50-amd64").unwrap().modules, ["linux-image-6.1.0-50-amd64"]);
    }

    /// As `stap-prep` of systemtap 5.6 calls them.
    #[test]
    fn rpm_packages_are_those_that_stap_prep_installs() {
        for (release, devel) in [
            ("5.14.0-427.el9.x86_64", "kernel-devel-5.14.0-427.el9.x86_64"),
            ("5.14.0-427.13.1.el9_4.x86_64", "kernel-devel-5.14.0-427.13.1.el9_4.x86_64"),
            ("6.9.4-200.fc40.aarch64", "kernel-devel-6.9.4-200.fc40.aarch64"),
            ("6.9.4-200.fc40.x86_64+debug", "kernel-debug-devel-6.9.4-200.fc40.x86_64"),
            ("5.14.0-447.el9.x86_64+rt", "kernel-rt-devel-5.14.0-447.el9.x86_64"),
            ("6.9.0-0.rc2.1.el10.x86_64+rt", "kernel-rt-devel-6.9.0-0.rc2.1.el10.x86_64"),
            ("5.14.0-200.rt14.201.el9.x86_64", "kernel-rt-devel-5.14.0-200.rt14.201.el9.x86_64"),
        ] {
            assert_eq!(headers(release), devel);
        }
        assert_eq!(
            packages("5.14.0-427.el9.x86_64").unwrap().debuginfo,
            [
                "kernel-debuginfo-5.14.0-427.el9.x86_64",
                "kernel-debuginfo-common-x86_64-5.14.0-427.el9.x86_64"
            ]
        );
    }

    #[test]
    fn ubuntus_headers_say_what_cannot_be_seen_from_the_release() {
        let ubuntu = packages("6.8.0-45-generic").unwrap();
        assert_eq!(ubuntu.headers, ["linux-headers-6.8.0-45-generic"]);
        assert_eq!(ubuntu.debuginfo, ["linux-image-6.8.0-45-generic-dbgsym"]);
        assert!(ubuntu.beside_headers.is_some() && ubuntu.beside_debuginfo.is_some());
    }

    #[test]
    fn a_release_of_another_form_is_unknown() {
        for release in [
            "6.6.1",
            "6.6.1-custom",
            "6.9.12-default",
            "5.15.0-200.el8uek.x86_64+uek",
            "5.15.0-200.131.27.el9uek.x86_64",
            "6.9.4-1.el9.elrepo.x86_64",
            "3.10.0-1160.el7.centos.plus.x86_64",
            "6.9.4-cachyos1.fc40.x86_64",
            "6.5.0-13parrot1-amd64",
            "6.12.0+debian-amd64",
            "5.14.0-427.el9.x86_64+64k",
            "2.6.18-194.3.1.el5debug",
            "6.8.0-generic",
            "6.6.1-mine-amd64",
            "x-amd64",
            "el9",
            "5.14.0.el9.sparc",
        ] {
            assert_eq!(packages(release), None, "{release}");
        }
    }
}
