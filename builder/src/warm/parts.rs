//! Stap's own caches for a kernel: what they depend on, and which of their parts a job needs.
//!
//! On a kernel that it hasn't seen, stap runs some 130 configuration tests (about 15 CPU seconds) and, for the first script
//! with a tracepoint, compiles some 200 objects to find the tracepoints (70 to 80 CPU seconds). It keeps both in its
//! `SYSTEMTAP_DIR` and takes no lock: two jobs on a cold kernel both pay all of it. So there is one `SYSTEMTAP_DIR` for each
//! [`WarmUpKey`] (`cache`), each part of it is made by one *leader* (`leader`), and the jobs that need it wait.

use std::fmt;
use std::path::Path;

use bundle_format::{Digest, FieldHasher};
use serde::{Deserialize, Serialize};

use crate::sandbox::Sysroot;

/// The compile options that are in the name of what stap caches (hash.cxx): architecture, guru mode, and flags for make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarmUpFlags {
    architecture: Option<String>,
    guru: bool,
    make: Vec<String>,
}

impl WarmUpFlags {
    /// Those among the options of a compile.
    #[must_use]
    pub fn among(options: &[String]) -> Self {
        let guru = options.iter().any(|option| option == "-g");
        let mut architecture = None;
        let mut make = Vec::new();
        let mut rest = options.iter();
        while let Some(option) = rest.next() {
            if option == "-a" {
                architecture = rest.next().cloned();
            } else if option == "-B" {
                make.extend(rest.next().cloned());
            } else if let Some(flag) = option.strip_prefix("-B") {
                make.push(flag.to_owned());
            }
        }
        Self { architecture, guru, make }
    }

    /// Whether stap makes modules without symbol versions: in guru mode, unless make is given `CONFIG_MODVERSIONS` again.
    #[must_use]
    pub(crate) fn leave_out_symbol_versions(&self) -> bool {
        let given =
            |flag: &String| flag.strip_prefix("CONFIG_MODVERSIONS=").is_some_and(|value| !value.is_empty());
        self.guru && !self.make.iter().any(given)
    }

    /// As options for a leader.
    pub(crate) fn options(&self) -> impl Iterator<Item = String> {
        let architecture = self.architecture.iter().flat_map(|name| ["-a".to_owned(), name.clone()]);
        let guru = self.guru.then(|| "-g".to_owned());
        architecture.chain(guru).chain(self.make.iter().map(|flag| format!("-B{flag}")))
    }
}

/// Digest of what stap's own caches depend on: sysroot, toolchain, build tree, architecture, guru mode, `-B` options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WarmUpKey(Digest);

impl WarmUpKey {
    /// The key for jobs with these flags.
    #[must_use]
    pub fn new(
        sysroot: &Sysroot,
        toolchain: Digest,
        build_tree: &Path,
        tree: Digest,
        flags: &WarmUpFlags,
    ) -> Self {
        let hash = FieldHasher::new()
            .field("stap-bundle warm-up 2")
            .field(sysroot.path().as_os_str().as_encoded_bytes())
            .field(toolchain.as_bytes())
            .field(build_tree.as_os_str().as_encoded_bytes())
            .field(tree.as_bytes())
            .list(flags.architecture.iter())
            .field([u8::from(flags.guru)])
            .list(flags.make.iter());
        Self(hash.finish())
    }

    #[cfg(test)]
    pub(crate) fn of_test(name: &str) -> Self {
        Self(Digest::of(name.as_bytes()))
    }
}

impl fmt::Display for WarmUpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.short())
    }
}

/// One part of stap's caches, made by a leader of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarmUpPart {
    /// The configuration tests, needed by every job that comes to pass 4.
    Configuration,
    /// The tracepoint scan.
    Scan,
}

impl WarmUpPart {
    /// Both: the one that takes longer first.
    pub(crate) const ALL: [Self; 2] = [Self::Scan, Self::Configuration];
}

impl fmt::Display for WarmUpPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration tests",
            Self::Scan => "tracepoint scan",
        })
    }
}

/// Parts of stap's caches: those that a job needs, or those that are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUp {
    pub configured: bool,
    pub scanned: bool,
}

impl WarmUp {
    /// Whether `part` is in it.
    #[must_use]
    pub fn has(self, part: WarmUpPart) -> bool {
        match part {
            WarmUpPart::Configuration => self.configured,
            WarmUpPart::Scan => self.scanned,
        }
    }

    pub(crate) fn parts(self) -> impl Iterator<Item = WarmUpPart> {
        WarmUpPart::ALL.into_iter().filter(move |part| self.has(*part))
    }

    /// The same, and `part`.
    #[must_use]
    pub fn with(self, part: WarmUpPart) -> Self {
        match part {
            WarmUpPart::Configuration => Self { configured: true, ..self },
            WarmUpPart::Scan => Self { scanned: true, ..self },
        }
    }

    /// The same without `part`.
    #[must_use]
    pub fn without(self, part: WarmUpPart) -> Self {
        match part {
            WarmUpPart::Configuration => Self { configured: false, ..self },
            WarmUpPart::Scan => Self { scanned: false, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn only_architecture_guru_mode_and_make_flags_divide_warm_ups() {
        let root = fake_sysroot(&[]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        let digest = Digest::of(b"");
        let flags = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            WarmUpFlags::among(&options)
        };
        let key =
            |options: &[&str]| WarmUpKey::new(&sysroot, digest, Path::new("/t"), digest, &flags(options));
        assert_eq!(key(&["-v", "-DMAXACTION=9"]), key(&[]));
        assert_eq!(key(&["-B", "V=0"]), key(&["-BV=0"]));
        assert!(key(&["-g"]) != key(&[]) && key(&["-BV=0"]) != key(&[]));
        assert!(key(&["-a", "arm64"]) != key(&["-a", "x86_64"]));
        let options = flags(&["-a", "arm64", "-B", "V=0", "-g"]);
        assert_eq!(options.options().collect::<Vec<_>>(), ["-a", "arm64", "-g", "-BV=0"]);
    }
}
