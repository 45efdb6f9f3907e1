//! Module.symvers: the CRC of each symbol that a kernel and its modules export.

use std::collections::HashMap;

#[derive(Debug)]
pub struct Symvers<'t>(HashMap<&'t str, u32>);

impl<'t> Symvers<'t> {
    /// Reads lines of `0xCRC`, symbol, module and more, divided by tabs. `None` if it isn't such a file.
    #[must_use]
    pub fn parse(text: &'t str) -> Option<Self> {
        let symbol = |line: &'t str| {
            let mut columns = line.split('\t');
            let crc = columns.next()?.strip_prefix("0x")?;
            Some((columns.next()?, u32::from_str_radix(crc, 16).ok()?))
        };
        text.lines().map(symbol).collect::<Option<_>>().map(Self)
    }

    /// The CRC of a symbol. `None` if the kernel was built without CRCs (they are 0 then), or the file doesn't know the symbol, which a module
    /// of somebody else may export.
    #[must_use]
    pub fn crc(&self, symbol: &str) -> Option<u32> {
        self.0.get(symbol).copied().filter(|crc| *crc != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_symbol_and_a_crc_of_zero_are_unknown() {
        let text =
            "0x1234abcd\tvfs_read\tvmlinux\tEXPORT_SYMBOL\t\n0x00000000\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n";
        let symvers = Symvers::parse(text).unwrap();
        assert_eq!(symvers.crc("vfs_read"), Some(0x1234_abcd));
        assert_eq!(symvers.crc("printk"), None);
        assert_eq!(symvers.crc("other"), None);
        assert!(Symvers::parse("no symbols").is_none());
        assert!(Symvers::parse("0x123456789\ta\tb").is_none());
    }
}
