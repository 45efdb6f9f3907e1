//! Kernel taint: what a support team asks for first. Modules of systemtap taint a kernel with O and, unsigned, with E.

use serde::Serialize;

use crate::host::Host;

/// The letters of bits 0 to 18, as the kernel writes them (Documentation/admin-guide/tainted-kernels.rst).
const LETTERS: &[u8] = b"PFSRMBUDAWCIOELKXTN";

/// The kernel's taint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Taint {
    /// The number in /proc/sys/kernel/tainted.
    pub number: u64,
    /// Its bits as letters.
    pub letters: String,
}

impl Taint {
    /// Reads it; `None` where it can't be read or is 0.
    pub(crate) fn read(host: &Host) -> Option<Self> {
        let text = host.kernel_text(&host.proc_dir.join("sys/kernel/tainted")).ok()?;
        let number: u64 = text.trim().parse().ok().filter(|number| *number != 0)?;
        let letters = LETTERS.iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1);
        Some(Self { number, letters: letters.map(|(_, letter)| char::from(*letter)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bits_have_letters() {
        let (dir, host) = Host::temporary();
        assert_eq!(Taint::read(&host), None);
        fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        let file = dir.path().join("proc/sys/kernel/tainted");
        fs::write(&file, "0\n").unwrap();
        assert_eq!(Taint::read(&host), None);
        fs::write(&file, "12288\n").unwrap();
        assert_eq!(Taint::read(&host), Some(Taint { number: 12_288, letters: "OE".into() }));
    }
}
