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

/// What releases of a machine end with, besides the machine's own name.
const ENDINGS: [(&str, &str); 3] = [("amd64", "x86_64"), ("arm64", "aarch64"), ("ppc64el", "ppc64le")];

/// The machine by a release's name, of distributions that write it there: `6.1.0-50-arm64`, `5.14.0-503.el9.aarch64`.
pub(crate) fn machine_named_in(release: &KernelRelease) -> Option<Machine> {
    let (_, ending) = release.as_str().rsplit_once(['-', '.'])?;
    let own = MACHINES.into_iter().map(|(machine, ..)| (machine, machine));
    let (_, machine) = ENDINGS.into_iter().chain(own).find(|(name, _)| *name == ending)?;
    machine.parse().ok()
}

fn of(machine: &Machine) -> Option<(&'static str, &'static str, &'static str)> {
    MACHINES.into_iter().find(|(name, ..)| *name == machine.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_its_machine_at_the_end() {
        for (release, machine) in [
            ("6.1.0-50-arm64", Some("aarch64")),
            ("7.2.12+deb14-cloud-amd64", Some("x86_64")),
            ("5.14.0-503.el9.s390x", Some("s390x")),
            ("6.8.0-45-generic", None),
            ("6.12.9", None),
        ] {
            let found = machine_named_in(&release.parse().unwrap());
            assert_eq!(found.as_ref().map(Machine::as_str), machine, "{release}");
        }
    }
}
