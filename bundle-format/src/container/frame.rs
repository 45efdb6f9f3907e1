//! zstd frames with an earlier frame's plain tar as dictionary (`docs/bundle-spec.md`, "Frames").

use std::io;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use crate::document::BundleError;
use crate::limits::{MAX_PLAIN_FRAME, MAX_WINDOW_LOG};

/// How a frame is compressed: what for, and with which of zstd's parameters (`docs/bundle-spec.md`, section 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// To see how small a frame gets: level 3. A hundred times cheaper than level 19, and the same ranking.
    Trial,
    /// Level 19. Level 22 gains nothing here (measured) and needs more memory.
    Whole,
    /// Level 19 for a frame that hardly differs from its reference. At that level nearly all time goes into the
    /// tables of short matches, to which the whole reference is added first; but nearly all of such a frame is a
    /// few long matches. So those tables are small here, and the search for long matches is denser. Measured:
    /// the same size to one per cent, for a sixth of the time.
    NearCopy,
}

impl Encoding {
    /// The compression level and what differs from its parameters.
    const fn parameters(self) -> (i32, &'static [CParameter]) {
        match self {
            Self::Trial => (3, &[]),
            Self::Whole => (19, &[]),
            Self::NearCopy => (
                19,
                &[
                    CParameter::HashLog(16),
                    CParameter::ChainLog(16),
                    CParameter::LdmHashRateLog(2),
                    CParameter::LdmMinMatch(32),
                ],
            ),
        }
    }
}

/// The version of the zstd library that is linked in, as `1.5.7`: part of what determines a frame's bytes.
pub(crate) fn zstd_version() -> String {
    let number = zstd_safe::version_number();
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

/// Compresses `plain` as one frame: content size and checksum present, no dictionary id, one thread
/// (more threads would change the bytes). In one call, because the matches that are found depend on how the bytes
/// are handed over.
pub fn compress(plain: &[u8], reference: Option<&[u8]>, encoding: Encoding) -> io::Result<Vec<u8>> {
    let span = (plain.len() + reference.map_or(0, <[u8]>::len)).max(1024);
    let window_log = span.next_power_of_two().ilog2().min(MAX_WINDOW_LOG);
    let (level, parameters) = encoding.parameters();
    let failed = |code| io::Error::other(zstd_safe::get_error_name(code));
    let mut context = CCtx::create();
    let common = [
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(true),
        CParameter::DictIdFlag(false),
        CParameter::EnableLongDistanceMatching(true),
        CParameter::WindowLog(window_log),
    ];
    for parameter in common.iter().chain(parameters) {
        context.set_parameter(*parameter).map_err(failed)?;
    }
    if let Some(reference) = reference {
        context.ref_prefix(reference).map_err(failed)?;
    }
    let mut target = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut target, plain).map_err(failed)?;
    target.shrink_to_fit();
    Ok(target)
}

/// Decodes a frame whose digest has been checked, into as many bytes as the manifest says and no more. In one call, for a
/// stream of zstd's would keep a window of its own and copy each byte out of it.
pub(crate) fn decompress(
    compressed: &[u8],
    reference: Option<&[u8]>,
    plain_size: u64,
    name: &str,
) -> Result<Vec<u8>, BundleError> {
    let wrong = |problem: String| BundleError::Frame { frame: name.to_owned(), problem };
    #[cfg(test)]
    crate::decoder_tests::count(compressed);
    check_framing(compressed, plain_size).map_err(wrong)?;
    let failed = |code| wrong(zstd_safe::get_error_name(code).to_owned());
    let mut plain = Vec::with_capacity(usize::try_from(plain_size.min(MAX_PLAIN_FRAME)).unwrap_or_default());
    let mut context =
        DCtx::try_create().ok_or_else(|| wrong("there is no memory to decode it".to_owned()))?;
    if let Some(reference) = reference {
        context.ref_prefix(reference).map_err(failed)?;
    }
    context.decompress(&mut plain, compressed).map_err(failed)?;
    if plain.len() as u64 == plain_size {
        return Ok(plain);
    }
    Err(wrong(format!("it holds {} bytes, the manifest says {plain_size}", plain.len())))
}

/// One frame, whole, with content size and checksum, without dictionary id and reserved bits.
fn check_framing(compressed: &[u8], plain_size: u64) -> Result<(), String> {
    // RFC 8878, section 3.1.1: magic number, then the frame header descriptor.
    let Some((&[0x28, 0xb5, 0x2f, 0xfd], rest)) = compressed.split_first_chunk::<4>() else {
        return Err("it does not begin as a zstd frame".to_owned());
    };
    let descriptor = rest.first().copied().unwrap_or_default();
    if descriptor & 0b11 != 0 {
        return Err("it names a dictionary".to_owned());
    }
    if descriptor & 0b100 == 0 {
        return Err("it has no checksum".to_owned());
    }
    if descriptor & 0b1000 != 0 {
        return Err("a reserved bit is set".to_owned());
    }
    // Where it isn't named, the content is the window; and that is what the manifest says, or refused below.
    let window = if descriptor & 0b10_0000 == 0 {
        rest.get(1).map_or(0, |byte| window_size(*byte))
    } else {
        plain_size
    };
    if window > 1 << MAX_WINDOW_LOG {
        return Err(format!("its window is {window} bytes, more than 2^{MAX_WINDOW_LOG}"));
    }
    match zstd_safe::get_frame_content_size(compressed) {
        Ok(Some(size)) if size == plain_size => {}
        Ok(found) => return Err(format!("its content size is {found:?}, the manifest says {plain_size}")),
        Err(_) => return Err("its header is not valid".to_owned()),
    }
    match zstd_safe::find_frame_compressed_size(compressed) {
        Ok(len) if len == compressed.len() => Ok(()),
        Ok(len) => Err(format!("{} bytes follow the frame", compressed.len() - len)),
        Err(_) => Err("it is cut short".to_owned()),
    }
}

/// What a window descriptor says, in bytes (RFC 8878, section 3.1.1.1.2).
const fn window_size(descriptor: u8) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * (descriptor & 0b111) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u32) -> Vec<u8> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(len)
        .collect()
    }

    fn trial(plain: &[u8], reference: Option<&[u8]>) -> io::Result<Vec<u8>> {
        compress(plain, reference, Encoding::Trial)
    }

    #[test]
    fn a_near_copy_takes_little_and_decodes() {
        let reference = noise(3_000_000, 5);
        let mut plain = reference.clone();
        for at in (0..plain.len()).step_by(10_000) {
            plain[at] ^= 1;
        }
        let frame = compress(&plain, Some(&reference), Encoding::NearCopy).unwrap();
        assert!(frame.len() < 300 * 8, "{}", frame.len());
        assert_eq!(decompress(&frame, Some(&reference), 3_000_000, "f").unwrap(), plain);
    }

    #[test]
    fn a_frame_decodes_with_its_reference_only() {
        let reference = noise(50_000, 1);
        let mut plain = reference.clone();
        plain[777] ^= 1;
        let frame = trial(&plain, Some(&reference)).unwrap();
        assert!(frame.len() < 1000, "{}", frame.len());
        assert_eq!(decompress(&frame, Some(&reference), 50_000, "f").unwrap(), plain);
        assert!(decompress(&frame, None, 50_000, "f").is_err());
        assert!(decompress(&frame, Some(&noise(50_000, 2)), 50_000, "f").is_err());
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_decoded() {
        let frame = trial(&vec![0; 1 << 20], None).unwrap();
        let error = decompress(&frame, None, 4096, "f").unwrap_err().to_string();
        assert!(error.contains("1048576"), "{error}");
    }

    #[test]
    fn a_window_beyond_the_limit_is_refused_although_the_content_is_small() {
        let plain = noise(1000, 6);
        let with_window = |log: u8| {
            // Content size of two bytes, not a single segment, checksum: RFC 8878, section 3.1.1.1.
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b0100_0100, (log - 10) << 3];
            frame.extend(u16::try_from(plain.len() - 256).unwrap().to_le_bytes());
            // One raw block, the last.
            frame.extend(&((u32::try_from(plain.len()).unwrap() << 3) | 1).to_le_bytes()[..3]);
            frame.extend(&plain);
            // Of the same content zstd makes the same checksum.
            let checksum = trial(&plain, None).unwrap();
            frame.extend(&checksum[checksum.len() - 4..]);
            frame
        };
        let largest = u8::try_from(MAX_WINDOW_LOG).unwrap();
        assert_eq!(decompress(&with_window(largest), None, 1000, "f").unwrap(), plain);
        let error = decompress(&with_window(largest + 1), None, 1000, "f").unwrap_err().to_string();
        assert!(error.contains("134217728"), "{error}");
        let mut more = with_window(largest);
        more[5] |= 1;
        assert!(decompress(&more, None, 1000, "f").is_err());
        let mut another = with_window(largest);
        *another.last_mut().unwrap() ^= 1;
        assert!(decompress(&another, None, 1000, "f").is_err());
    }

    #[test]
    fn only_one_plain_frame_is_taken() {
        let plain = noise(1000, 3);
        let frame = trial(&plain, None).unwrap();
        let twice = [frame.clone(), frame.clone()].concat();
        assert!(decompress(&twice, None, 1000, "f").is_err());
        let skippable = [vec![0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], frame.clone()].concat();
        assert!(decompress(&skippable, None, 1000, "f").is_err());
        assert!(decompress(&frame[..frame.len() - 1], None, 1000, "f").is_err());
        let without_checksum = zstd::bulk::compress(&plain, 3).unwrap();
        assert!(decompress(&without_checksum, None, 1000, "f").is_err());
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let plain = noise(10_000, 4);
        let whole = || compress(&plain, None, Encoding::Whole).unwrap();
        assert_eq!(whole(), whole());
    }
}
