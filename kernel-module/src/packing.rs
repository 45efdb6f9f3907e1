//! How distributions pack modules and Module.symvers: by the suffix of the file's name.

use std::io::{self, Read};

use files::read::bounded;

/// Most KiB that the xz decoder may need, above all for its dictionary; modules are packed with 1 to 8 MiB.
const XZ_MEMORY_KIB: u32 = 64 << 10;
/// Largest window of the zstd decoder, as a power of two: 64 MiB.
const ZSTD_WINDOW: u32 = 26;

/// By which program a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// By none.
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Compression {
    /// All, with the suffix that each adds to a file's name.
    pub const SUFFIXES: [(Self, &'static str); 4] =
        [(Self::Plain, ""), (Self::Gzip, ".gz"), (Self::Xz, ".xz"), (Self::Zstd, ".zst")];

    /// How the file `name` is packed if it is a module: `NAME.ko` and a suffix, as depmod writes it. `None` if it is no module.
    #[must_use]
    pub fn of_module(name: &str) -> Option<Self> {
        let is_of = |(_, suffix): &(Self, &str)| {
            name.strip_suffix(suffix).is_some_and(|of| of.strip_suffix(".ko").is_some())
        };
        Self::SUFFIXES.into_iter().find(is_of).map(|(packing, _)| packing)
    }

    /// The bytes that were packed, if they are at most `limit`. The decoder's memory is bounded too.
    pub fn unpack(self, bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => bounded(bytes, limit),
            Self::Gzip => bounded(flate2::read::MultiGzDecoder::new(bytes), limit),
            Self::Xz => bounded(lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB), limit),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(bytes)?;
                decoder.window_log_max(ZSTD_WINDOW)?;
                bounded(decoder.by_ref(), limit)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn xz(bytes: &[u8], dictionary: u32) -> Vec<u8> {
        let mut options = lzma_rust2::XzOptions::default();
        options.lzma_options.dict_size = dictionary;
        let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn packed(packing: Compression, bytes: &[u8]) -> Vec<u8> {
        match packing {
            Compression::Plain => bytes.to_vec(),
            Compression::Gzip => {
                let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                writer.write_all(bytes).unwrap();
                writer.finish().unwrap()
            }
            Compression::Xz => xz(bytes, 1 << 20),
            Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    #[test]
    fn unpacks_each_kind_up_to_the_limit() {
        let bytes = vec![7; 10_000];
        for (packing, suffix) in Compression::SUFFIXES {
            assert_eq!(Compression::of_module(&format!("kernel/fs/ext4.ko{suffix}")), Some(packing));
            assert_eq!(packing.unpack(&packed(packing, &bytes), 10_000).unwrap(), bytes);
            let error = packing.unpack(&packed(packing, &bytes), 9_999).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{packing:?}");
            if packing != Compression::Plain {
                let whole = packed(packing, &bytes);
                packing.unpack(&whole[..whole.len() - 9], 10_000).unwrap_err();
            }
        }
        assert_eq!(Compression::of_module("kernel/fs/ext4.ko.bz2"), None);
        assert_eq!(Compression::of_module("modules.dep.xz"), None);
    }

    #[test]
    fn refuses_a_dictionary_of_a_gigabyte_before_it_is_allocated() {
        let mut large = xz(b"small", 1 << 20);
        // The block header: its size, flags, one filter (id 0x21, one byte of properties), padding, CRC-32.
        assert_eq!(&large[12..16], [2, 0, 0x21, 1]);
        large[16] = 36; // 2^30 bytes
        let mut crc = flate2::Crc::new();
        crc.update(&large[12..20]);
        large[20..24].copy_from_slice(&crc.sum().to_le_bytes());
        let error = Compression::Xz.unpack(&large, 100).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
