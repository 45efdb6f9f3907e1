//! How packages are packed, and what they call themselves.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use bundle_format::{Digest, HashingWriter};
use lzma_rust2::XzReader;

use super::error::PackageRefusal;

/// Most KiB that the xz decoder may need: distributions pack with dictionaries of 2 to 64 MiB.
const XZ_MEMORY_KIB: u32 = 160 << 10;
/// Largest window of the zstd decoder, as a power of two: 128 MiB.
const ZSTD_WINDOW: u32 = 27;
/// What is unpacked, in words.
pub(super) const METHODS: &str = "xz, zstd, gzip and none";

/// What a package calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackageName {
    pub name: String,
    pub version: String,
    pub architecture: String,
}

/// The plain bytes of what is packed by `method`: a suffix of a name, or what an RPM calls it.
pub(super) fn plain<'r>(
    method: &str,
    what: &'static str,
    packed: impl Read + 'r,
) -> Result<Box<dyn Read + 'r>, PackageRefusal> {
    let packed = BufReader::new(packed);
    Ok(match method {
        "" => Box::new(packed),
        "gz" | "gzip" => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        "xz" => Box::new(XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
        "zst" | "zstd" => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(PackageRefusal::Read)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(PackageRefusal::Read)?;
            Box::new(decoder)
        }
        method => {
            let method = method.to_owned();
            return Err(PackageRefusal::Compression { what, method, known: METHODS });
        }
    })
}

/// The digest of a file's bytes from this place on.
pub(super) fn digest_from(file: &mut File, place: u64) -> io::Result<Digest> {
    file.seek(SeekFrom::Start(place))?;
    let mut writer = HashingWriter::new(io::sink());
    io::copy(file, &mut writer)?;
    Ok(writer.finish().1)
}

/// The plain bytes of an index, packed as its first bytes say.
pub(super) fn plain_index(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(files::read::open(path).map_err(files::FileError::into_source)?);
    let mut magic = Vec::new();
    file.by_ref().take(6).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    plain(method_of(&magic), "index", file).map_err(io::Error::other)
}

/// How what begins with these six bytes is packed; by none if they are of no method that is known here.
pub(super) const fn method_of(magic: &[u8]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] => "gz",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zst",
        _ => "",
    }
}
