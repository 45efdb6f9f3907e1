//! The text of a configuration file.

use crate::place::Place;
use crate::problem::{ConfigProblem, FileCause};

/// A configuration file that was read by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceText {
    /// The path, as places show it.
    pub path: String,
    pub text: String,
}

impl SourceText {
    /// Returns the bytes of a file as text, or the first one that isn't UTF-8.
    pub fn from_bytes(path: &str, bytes: &[u8]) -> Result<Self, ConfigProblem> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text: text.to_owned() }),
            Err(error) => {
                let offset = error.valid_up_to();
                let before = bytes.get(..offset).unwrap_or_default();
                let lines = before.split(|&b| b == b'\n').count() - 1;
                let line = before.rsplit(|&b| b == b'\n').next().unwrap_or_default();
                let in_line = String::from_utf8_lossy(line).chars().count();
                let counted = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
                let place = Place::new(path, counted(lines), counted(in_line));
                let byte = bytes.get(offset).copied().unwrap_or_default();
                Err(ConfigProblem::new(Some(place), FileCause::NotUtf8 { byte, offset }))
            }
        }
    }
}
