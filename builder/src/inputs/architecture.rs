//! The names of machines: `uname -m` has one, kbuild and stap have another.

use bundle_format::{KernelRelease, Machine};

/// `uname -m`, what kbuild and stap call it (staputil.cxx, `normalize_machine`), and what GNU tools that make code for it begin with.
const MACHINES: [(&str, &str, &str); 6] = [
    ("x86_64", "x86_64", "x86_64-linux-gnu-"),
    ("aarch64", "arm64", "aarch64-linux-gnu-"),
    ("ppc64", "powerpc", "powerpc64-linux-gnu-"),
    ("ppc64le", "powerpc", "powerpc64le-linux-gnu-"),
    ("riscv64", "riscv", "riscv64-linux-gnu-"),
    ("s390x", "s390", "s390x-linux-gnu-"),
];

/// All that modules are made for, by the names of `uname -m`.
pub(crate) fn machines() -> String {
    MACHINES.map(|(machine, ..)| machine).join(", ")
}

/// What `stap -a` is given for kernels of a machine; `None` for those that no modules are made for, 32-bit ones among them.
pub(crate) fn architecture_of(machine: &Machine) -> Option<&'static str> {
    of(machine).map(|(_, architecture, _)| architecture)
}

/// What the names of a cross compiler and its binutils begin with.
pub(crate) fn tool_prefix_of(machine: &Machine) -> Option<&'static str> {
    of(machine).map(|(_, _, prefix)| prefix)
}

/// Debian's names of machines in releases, where they aren't the machine's own.
const OTHER_NAMES: [(&str, &str); 4] =
    [("amd64", "x86_64"), ("arm64", "aarch64"), ("ppc64el", "ppc64le"), ("powerpc64le", "ppc64le")];

/// Names in releases for machines that no modules are made for.
const UNSUPPORTED: [&str; 8] =
    ["686", "armmp", "armv7hl", "i386", "i686", "loongarch64", "loong64", "mips64el"];

/// The machine that a release's name speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedMachine {
    This(Machine),
    /// One that no modules are made for.
    Unsupported,
    /// The name says nothing of it.
    Unsaid,
}

impl NamedMachine {
    /// Of distributions that write it at the end, or before the flavour: `6.1.0-50-arm64`, `5.14.0-503.el9.aarch64+64k`.
    pub(crate) fn of(release: &KernelRelease) -> Self {
        let own = MACHINES.map(|(machine, ..)| (machine, machine));
        let names = OTHER_NAMES.into_iter().chain(own).collect::<Vec<_>>();
        for word in release.as_str().rsplit(['-', '.', '+']).take(2) {
            let known = names.iter().find(|(name, _)| *name == word);
            if let Some(machine) = known.and_then(|(_, machine)| machine.parse().ok()) {
                return Self::This(machine);
            }
            if UNSUPPORTED.contains(&word) {
                return Self::Unsupported;
            }
        }
        Self::Unsaid
    }
}

fn of(machine: &Machine) -> Option<(&'static str, &'static str, &'static str)> {
    MACHINES.into_iter().find(|(name, ..)| *name == machine.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_may_name_its_machine() {
        for (release, machine) in [
            ("6.1.0-50-arm64", "aarch64"),
            ("7.2.12+deb14-cloud-amd64", "x86_64"),
            ("7.2.12+deb14-arm64-16k", "aarch64"),
            ("6.1.0-50-powerpc64le", "ppc64le"),
            ("5.14.0-503.el9.s390x", "s390x"),
            ("5.14.0-503.el9.aarch64+64k", "aarch64"),
            ("5.14.0-503.el9.x86_64+rt", "x86_64"),
        ] {
            let found = NamedMachine::of(&release.parse().unwrap());
            assert_eq!(found, NamedMachine::This(machine.parse().unwrap()), "{release}");
        }
        for release in ["6.1.0-50-armmp-lpae", "6.1.0-50-686-pae", "6.12.9-300.fc41.i686"] {
            assert_eq!(NamedMachine::of(&release.parse().unwrap()), NamedMachine::Unsupported, "{release}");
        }
        for release in ["6.8.0-45-generic", "6.12.9"] {
            assert_eq!(NamedMachine::of(&release.parse().unwrap()), NamedMachine::Unsaid, "{release}");
        }
    }
}
