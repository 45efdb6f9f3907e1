//! Directories of tapsets that a script's options name (`-I DIR`).
//!
//! Their paths would be in the modules, so a job finds copies of them beside its script and is given relative paths. They
//! are read once, when the plan is made, and their content is part of the cache key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bundle_format::{Digest, FieldHasher};
use walkdir::WalkDir;

/// Largest tapset directory, in bytes; systemtap's own library has 5 MB.
const LARGEST: u64 = 32 << 20;

/// The option that names one.
const OPTION: &str = "-I";

/// A directory of tapsets, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tapset {
    files: Arc<[(PathBuf, Vec<u8>)]>,
    pub digest: Digest,
    /// When its newest file was modified, in seconds since 1970.
    pub modified: u64,
}

impl Tapset {
    /// Reads all files of `directory`.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut modified = 0;
        let mut total = 0;
        let mut hash = FieldHasher::new().field("stap-bundle tapset 1");
        for entry in WalkDir::new(directory).follow_links(true).sort_by_file_name() {
            let entry = entry?;
            if !entry.file_type().is_file() {
                continue;
            }
            let metadata = entry.metadata()?;
            total += metadata.len();
            if total > LARGEST {
                let what = format!("it has more than {} MiB", LARGEST >> 20);
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
            }
            let time = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            modified = modified.max(time.as_secs());
            let below = entry.path().strip_prefix(directory).unwrap_or(entry.path()).to_owned();
            let bytes =
                files::read::read_given(entry.path(), LARGEST).map_err(files::FileError::into_source)?;
            hash = hash.field(below.as_os_str().as_encoded_bytes()).field(Digest::of(&bytes).as_bytes());
            files.push((below, bytes));
        }
        Ok(Self { files: files.into(), digest: hash.finish(), modified })
    }

    /// The files, by their path below the directory.
    pub(crate) fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        &self.files
    }

    /// Bytes of all files and their names.
    pub(crate) fn size(&self) -> usize {
        self.files.iter().map(|(below, bytes)| below.as_os_str().len() + bytes.len()).sum()
    }
}

/// Where the tapset of that number lies, below the work directory. A compile server has it at `tapset/<path as sent>`, so its
/// client sends [`sent_place`], and both give the same bytes.
pub(crate) fn place(number: usize) -> String {
    format!("tapset/{number}")
}

/// The path by which a compile server's client sends the tapset of that number.
pub(crate) fn sent_place(number: usize) -> String {
    format!("/{number}")
}

/// The directories that compile options name, in order.
pub(crate) fn named_in(options: &[String]) -> Vec<&str> {
    let mut named = Vec::new();
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if option == OPTION {
            named.extend(rest.next().map(String::as_str));
        } else if let Some(directory) = option.strip_prefix(OPTION) {
            named.push(directory);
        }
    }
    named
}

/// The options with the places of the copies instead of the directories named.
pub(crate) fn relocated(options: &[String], place: fn(usize) -> String) -> Vec<String> {
    let mut numbers = 0..;
    let mut next = || place(numbers.next().unwrap_or_default());
    let mut out = Vec::with_capacity(options.len());
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        if option == OPTION && rest.next().is_some() {
            out.extend([OPTION.to_owned(), next()]);
        } else if option.len() > OPTION.len() && option.starts_with(OPTION) {
            out.push(format!("{OPTION}{}", next()));
        } else {
            out.push(option.clone());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn both_spellings_are_relocated_in_order() {
        let options = words("-g -I /a/b -DX=1 -I/c -- -Ix");
        assert_eq!(named_in(&options[..5]), ["/a/b", "/c"]);
        assert_eq!(relocated(&options[..5], place), words("-g -I tapset/0 -DX=1 -Itapset/1"));
        assert_eq!(relocated(&options[..5], sent_place), words("-g -I /0 -DX=1 -I/1"));
        assert_eq!(relocated(&words("-v -I"), place), words("-v -I"));
    }

    #[test]
    fn the_digest_is_of_names_and_content_and_a_copy_is_the_same() {
        let one = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(one.path().join("sub")).unwrap();
        fs::write(one.path().join("sub/a.stp"), "function f() {}").unwrap();
        let first = Tapset::read(one.path()).unwrap();
        for (below, bytes) in first.files() {
            fs::create_dir_all(other.path().join(below).parent().unwrap()).unwrap();
            fs::write(other.path().join(below), bytes).unwrap();
        }
        assert_eq!(Tapset::read(other.path()).unwrap().digest, first.digest);
        assert!(first.modified > 0 && first.files()[0].1 == b"function f() {}");
        fs::write(other.path().join("sub/a.stp"), "function g() {}").unwrap();
        assert_ne!(Tapset::read(other.path()).unwrap().digest, first.digest);
        assert!(Tapset::read(&one.path().join("none")).is_err());
    }
}
