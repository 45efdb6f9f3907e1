//! Why the kernel takes no module, by the words of a `staprun` that failed.

use std::fmt;

use crate::host::Host;
use crate::kernel::ModuleRules;

/// Why the kernel or `staprun` refused a module, as far as the words of `staprun` tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaprunRefusal {
    /// The kernel is locked down, and can't verify the module's signature (EPERM).
    Lockdown,
    /// Secure Boot: no key of the kernel or the firmware fits (EKEYREJECTED).
    SecureBoot,
    /// `module.sig_enforce`: no key of the kernel fits (EKEYREJECTED).
    SignatureEnforced,
    /// `kernel.modules_disabled`: no module at all (EPERM).
    ModulesDisabled,
    /// The process may not load modules at all (EPERM without lockdown): a container, or `modules_disabled`.
    NotPermitted,
    /// The module needs a symbol that this kernel doesn't have, or not in that version (ENOENT).
    UnknownSymbol,
    /// The module was built for another kernel (ENOEXEC).
    InvalidFormat,
    /// A module of that name was loaded by somebody else a moment before (EEXIST).
    NameTaken,
    /// Anything else: the last line of what `staprun` said.
    Other(String),
}

impl StaprunRefusal {
    /// Judges the words of a `staprun` that failed.
    pub(crate) fn of(host: &Host, stderr: &str) -> Self {
        if stderr.contains("Key was rejected") || stderr.contains("Required key not available") {
            if ModuleRules::read(host).secure_boot { Self::SecureBoot } else { Self::SignatureEnforced }
        } else if stderr.contains("Operation not permitted") && ModuleRules::read(host).modules_disabled {
            Self::ModulesDisabled
        } else if stderr.contains("Operation not permitted") && ModuleRules::read(host).lockdown.is_some() {
            Self::Lockdown
        } else if stderr.contains("Operation not permitted") {
            Self::NotPermitted
        } else if stderr.contains("Unknown symbol") {
            Self::UnknownSymbol
        } else if stderr.contains("Invalid module format") || stderr.contains("Exec format error") {
            Self::InvalidFormat
        } else if stderr.contains("File exists") {
            Self::NameTaken
        } else {
            Self::Other(last_line(stderr).unwrap_or("it said nothing").to_owned())
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::SecureBoot => {
                "sign the modules with a key that this kernel trusts, or enrol the farm's certificate (mokutil --import)"
            }
            Self::Lockdown => {
                "sign the modules with a key that this kernel trusts, or boot it without lockdown="
            }
            Self::SignatureEnforced => {
                "sign the modules with a key that this kernel trusts, or boot it without module.sig_enforce"
            }
            Self::ModulesDisabled => {
                "nothing but another boot takes that back; start before whatever sets kernel.modules_disabled"
            }
            Self::NotPermitted => "run it as root on the host itself, outside of containers",
            Self::UnknownSymbol | Self::InvalidFormat => {
                "build the bundle again against the headers of exactly this kernel"
            }
            Self::NameTaken => "stap-bundle status shows whose it is",
            Self::Other(_) => "see the log file and dmesg",
        }
    }
}

impl fmt::Display for StaprunRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lockdown => f.write_str("kernel lockdown forbids modules that it can't verify"),
            Self::SecureBoot => f.write_str(
                "under Secure Boot the kernel takes signed modules only, and has no key for this one",
            ),
            Self::SignatureEnforced => f.write_str(
                "the kernel enforces module signatures (module.sig_enforce) and has no key for this one",
            ),
            Self::ModulesDisabled => {
                f.write_str("kernel.modules_disabled is set: no more modules in this boot")
            }
            Self::NotPermitted => f.write_str("this process isn't permitted to load modules"),
            Self::UnknownSymbol => f.write_str("the module needs a symbol that this kernel doesn't have"),
            Self::InvalidFormat => f.write_str("the kernel takes the module for one of another kernel"),
            Self::NameTaken => f.write_str("a module of that name was loaded meanwhile"),
            Self::Other(line) => f.write_str(line),
        }
    }
}

/// The last line that isn't empty, shortened.
pub(crate) fn last_line(text: &str) -> Option<&str> {
    const LONGEST: usize = 300;
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let end = line.char_indices().nth(LONGEST).map_or(line.len(), |(at, _)| at);
    line.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_staprun_are_told_apart() {
        let (dir, host) = Host::temporary();
        let of = |errno: &str| {
            StaprunRefusal::of(&host, &format!("ERROR: Couldn't insert module 'a.ko': {errno}\n"))
        };
        assert_eq!(of("Key was rejected by service"), StaprunRefusal::SignatureEnforced);
        assert_eq!(of("Operation not permitted"), StaprunRefusal::NotPermitted);
        assert_eq!(of("Unknown symbol in module"), StaprunRefusal::UnknownSymbol);
        assert_eq!(of("Invalid module format"), StaprunRefusal::InvalidFormat);
        assert_eq!(of("File exists"), StaprunRefusal::NameTaken);
        assert_eq!(
            of("Cannot allocate memory"),
            StaprunRefusal::Other("ERROR: Couldn't insert module 'a.ko': Cannot allocate memory".into())
        );
        let variable = dir.path().join("sys/firmware/efi/efivars");
        std::fs::create_dir_all(&variable).unwrap();
        std::fs::write(variable.join("SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"), [6, 0, 0, 0, 1])
            .unwrap();
        assert_eq!(of("Key was rejected by service"), StaprunRefusal::SecureBoot);
        std::fs::create_dir_all(dir.path().join("sys/kernel/security")).unwrap();
        std::fs::write(dir.path().join("sys/kernel/security/lockdown"), "none [integrity] confidentiality")
            .unwrap();
        assert_eq!(of("Operation not permitted"), StaprunRefusal::Lockdown);
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        std::fs::write(dir.path().join("proc/sys/kernel/modules_disabled"), "1\n").unwrap();
        assert_eq!(of("Operation not permitted"), StaprunRefusal::ModulesDisabled);
    }
}
