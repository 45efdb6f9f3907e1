//! What a file is, judged by its content: an output takes the place of no file of another kind.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use bundle_format::{BundleKind, FileKind, Manifest, RootsFile, file_kind, limits};

/// How many bytes of a file are looked at, where its beginning says what it is.
const BEGINNING: u64 = 2048;
/// Most bytes of a build report that are looked through.
const LARGEST_REPORT: u64 = 1 << 30;
/// How a page of `build --report` begins; the element is there to tell it from other pages.
pub(crate) const PAGE_BEGINNING: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"generator\" \
     content=\"stap-bundle\">";

/// How packages of dpkg and of rpm begin.
const DEB_OR_RPM: [&[u8]; 2] = [b"!<arch>\ndebian-binary", b"\xed\xab\xee\xdb"];

/// The kinds of files that commands write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A signed bundle; full, or a delta.
    Bundle(BundleKind),
    /// One that isn't signed yet.
    Payload,
    /// A part of a split bundle.
    Part,
    /// A farm's chain of roots.
    Roots,
    /// Bytes to be signed elsewhere.
    Message,
    /// A build's report as a page.
    Page,
    /// A build's report as JSON.
    Report,
    /// A package of a bundle: for a package manager, or for hosts with the initscript.
    Package,
}

impl Kind {
    /// The kind of a bundle with this manifest.
    pub(crate) const fn of_bundle(manifest: &Manifest) -> Self {
        Self::Bundle(if manifest.from.is_some() { BundleKind::Delta } else { BundleKind::Full })
    }

    /// Whether the same work gives the same bytes again; a report has times in it.
    pub(super) const fn repeats(self) -> bool {
        !matches!(self, Self::Page | Self::Report)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bundle(BundleKind::Full) => "a bundle",
            Self::Bundle(BundleKind::Delta) => "a delta",
            Self::Payload => "a payload",
            Self::Part => "a part of a bundle",
            Self::Roots => "a file of roots",
            Self::Message => "a message to be signed",
            Self::Page => "a page of a build",
            Self::Report => "a report of a build",
            Self::Package => "a package",
        })
    }
}

/// What a file turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has no bytes, so nothing is lost with it.
    Empty,
    Of(Kind),
    /// No command writes such files over others.
    Other(&'static str),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an empty file"),
            Self::Of(kind) => kind.fmt(f),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Looks into a regular file.
pub(super) fn found_in(file: &mut File) -> io::Result<Found> {
    let len = file.metadata()?.len();
    let mut beginning = Vec::new();
    file.take(BEGINNING).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(match file_kind(&beginning) {
        Some(FileKind::Bundle(kind)) => Found::Of(Kind::Bundle(kind)),
        Some(FileKind::Payload) => Found::Of(Kind::Payload),
        Some(FileKind::Part) => Found::Of(Kind::Part),
        None if len == 0 => Found::Empty,
        None => by_words(&beginning).map_or_else(|| whole(file, len, &beginning), Ok)?,
    })
}

fn by_words(beginning: &[u8]) -> Option<Found> {
    let has = |text: &[u8]| beginning.windows(text.len()).any(|window| window == text);
    Some(match beginning {
        _ if beginning.starts_with(b"DSSEv1 ") => Found::Of(Kind::Message),
        _ if beginning.starts_with(PAGE_BEGINNING.as_bytes()) => Found::Of(Kind::Page),
        _ if beginning.starts_with(b"\x1f\x8b") => {
            if is_package(beginning) {
                Found::Of(Kind::Package)
            } else {
                Found::Other("a gzip archive")
            }
        }
        _ if DEB_OR_RPM.iter().any(|magic| beginning.starts_with(magic)) => Found::Of(Kind::Package),
        _ if has(b"-----BEGIN PRIVATE KEY") => Found::Other("a private key"),
        _ if has(b"-----BEGIN PUBLIC KEY") => Found::Other("a public key"),
        _ if beginning.starts_with(b"\x7fELF") => Found::Other("a program or module"),
        _ => return None,
    })
}

/// What only shows when all of the file is read.
fn whole(file: &mut File, len: u64, beginning: &[u8]) -> io::Result<Found> {
    if len <= limits::MAX_ROOTS {
        let mut bytes = Vec::new();
        file.take(limits::MAX_ROOTS).read_to_end(&mut bytes)?;
        file.rewind()?;
        if RootsFile::read(&bytes).is_ok() {
            return Ok(Found::Of(Kind::Roots));
        }
    }
    if beginning.trim_ascii_start().starts_with(b"{") {
        let found = serde_json::from_reader(BufReader::new(file.take(LARGEST_REPORT)));
        file.rewind()?;
        return Ok(match found {
            Ok(Report { .. }) => Found::Of(Kind::Report),
            Err(_) => Found::Other("another JSON document"),
        });
    }
    let is_text = std::str::from_utf8(beginning).map_or_else(|error| error.error_len().is_none(), |_| true);
    Ok(Found::Other(if is_text && !beginning.contains(&0) {
        "a text file"
    } else {
        "a file of another kind"
    }))
}

/// What every report of a build has.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "that the fields are there is what counts")]
struct Report {
    cells: serde::de::IgnoredAny,
    warm_ups: serde::de::IgnoredAny,
    kernels: serde::de::IgnoredAny,
    compile_cpu_ms: u64,
}

/// Whether a gzip file holds a tar archive whose first member is a configuration, as `export` writes it.
fn is_package(beginning: &[u8]) -> bool {
    let mut header = [0; 512];
    let mut decoder = flate2::read::GzDecoder::new(beginning);
    // The rest of the member may be cut off; the header comes first.
    if decoder.read_exact(&mut header).is_err() || header.get(257..262) != Some(b"ustar".as_slice()) {
        return false;
    }
    let name = header.get(..100).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
    name.ends_with(b".conf") && !name.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn found(bytes: &[u8]) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        found_in(&mut file).unwrap()
    }

    #[test]
    fn a_file_is_what_its_content_says() {
        let report = br#" {"cells":[],"warm_ups":[],"kernels":[],"compile_cpu_ms":1,"more":{}}"#;
        assert_eq!(found(report), Found::Of(Kind::Report));
        assert_eq!(found(format!("{PAGE_BEGINNING}<title>").as_bytes()), Found::Of(Kind::Page));
        assert_eq!(found(b"DSSEv1 44 x"), Found::Of(Kind::Message));
        assert_eq!(found(b"stapb-part\0\0\r\n\x1a\n"), Found::Of(Kind::Part));
        assert_eq!(found(b""), Found::Empty);
        for (bytes, what) in [
            (&b"{\"cells\":[]}"[..], "another JSON document"),
            (b"probe begin {}\n", "a text file"),
            (b"# key\n-----BEGIN PRIVATE KEY-----\n", "a private key"),
            (b"-----BEGIN PUBLIC KEY-----\n", "a public key"),
            (b"<!doctype html>\n<html>", "a text file"),
            (b"\x7fELF\x02", "a program or module"),
            (b"\x1f\x8b\x08\0\0\0", "a gzip archive"),
            (b"\xff\xfe\0", "a file of another kind"),
        ] {
            assert_eq!(found(bytes), Found::Other(what));
        }
    }
}
