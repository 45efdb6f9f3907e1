//! What became of a bundle on its way, or came in its place: the beginning of the file shows it, so that a message can say more than that
//! it is no bundle.

use std::fmt;

/// What a file seems to be that isn't a bundle. Nothing but words depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It has no bytes.
    Empty,
    /// Data that this program compressed.
    Compressed(&'static str),
    /// An archive that this program unpacks.
    Archive(&'static str),
    /// A bundle as text.
    Base64,
    /// A bundle in which something took LF or CR LF for the end of a line.
    LineEnds,
    /// A page of a web server.
    Html,
    /// What Git LFS keeps in a file's place.
    LfsPointer,
    /// A key, a certificate or a signature in PEM.
    Pem,
}

/// How files begin.
const BEGINNINGS: &[(&[u8], Likeness)] = &[
    (b"\x1f\x8b", Likeness::Compressed("gzip")),
    (b"BZh", Likeness::Compressed("bzip2")),
    (b"\xfd7zXZ\0", Likeness::Compressed("xz")),
    (b"\x28\xb5\x2f\xfd", Likeness::Compressed("zstd")),
    (b"PK\x03\x04", Likeness::Archive("unzip")),
    // `stap-b` and what may follow.
    (b"c3RhcC1i", Likeness::Base64),
    (b"begin-base64 ", Likeness::Base64),
    // The bytes behind it, CR LF SUB LF, are not as they were.
    (b"stapb-part\0\0", Likeness::LineEnds),
    (b"version https://git-lfs", Likeness::LfsPointer),
    (b"-----BEGIN ", Likeness::Pem),
];

/// How pages begin, in any case.
const PAGES: [&[u8]; 3] = [b"<!doctype", b"<html", b"<?xml"];

/// Where an archive of tar says that it is one.
const USTAR: std::ops::Range<usize> = 257..262;

impl Likeness {
    /// What the beginning of a file that isn't a bundle looks like.
    pub(crate) fn of(beginning: &[u8]) -> Option<Self> {
        if beginning.is_empty() {
            return Some(Self::Empty);
        }
        if let Some((_, likeness)) = BEGINNINGS.iter().find(|(begins, _)| beginning.starts_with(begins)) {
            return Some(*likeness);
        }
        let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
        let is_page =
            |page: &&[u8]| text.get(..page.len()).is_some_and(|text| text.eq_ignore_ascii_case(page));
        if PAGES.iter().any(is_page) {
            return Some(Self::Html);
        }
        // A bundle is an archive itself: one whose first bytes are damaged is not to be unpacked.
        let is_foreign =
            beginning.get(USTAR) == Some(b"ustar".as_slice()) && !beginning.starts_with(b"stap-");
        is_foreign.then_some(Self::Archive("tar"))
    }
}

impl fmt::Display for Likeness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty, not a bundle"),
            Self::Compressed(by) => write!(f, "compressed by {by}, not a bundle"),
            Self::Archive("unzip") => f.write_str("a zip archive, not a bundle"),
            Self::Archive(by) => write!(f, "a {by} archive, not a bundle"),
            Self::Base64 => f.write_str("base64 text, not a bundle"),
            Self::LineEnds => {
                f.write_str("damaged: its line ends were changed on the way, as in a copy in text mode")
            }
            Self::Html => f.write_str("an HTML page, not a bundle"),
            Self::LfsPointer => f.write_str("a Git LFS pointer, not the bundle itself"),
            Self::Pem => f.write_str("a key or a certificate (PEM), not a bundle"),
        }
    }
}
