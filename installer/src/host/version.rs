//! The version of what is kept on a host: one rule for every document, whichever crate reads it.
//!
//! A document has the version of its shape in `format`, or in `schema` where the service writes it; one without is of version 1, as
//! 0.1.0 wrote it. What a newer program wrote is refused by name, before anything else of it is read, and left as it is: it is never
//! taken for absent, damaged or good. What is older is read for ever. The documents: `docs/design/decisions/state.md`.

use std::error::Error;
use std::io;

use files::{Directory, FileError, optional};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::host::paths::STATE_LAYOUT;

/// How many versions above its own a program writes and reads that is built for the tests of the way back.
const RAISED: u32 = if cfg!(feature = "next-state") { 1 } else { 0 };

/// Most bytes of the layout's document.
const MAX_LAYOUT: u64 = 4096;

/// The names and links in the state directory, and which kinds of documents there are.
const LAYOUT: StateVersion = StateVersion::new(1);

/// What runs: `/run/stap-bundle/run/NAME.json`. The service writes it; `gc` reads it too.
pub const RUN_RECORD: StateVersion = StateVersion::new(1);

/// The newest version of a kind of document that this program reads, and the one that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateVersion(u32);

/// A document of a newer program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its version is {found}, this stap-bundle reads up to {newest}: install the newer stap-bundle again")]
pub struct NewerState {
    /// The version that it has.
    pub found: u64,
    /// The newest that this program reads.
    pub newest: u32,
}

/// What a document says of itself.
#[derive(Deserialize)]
struct Said {
    format: Option<Value>,
    schema: Option<Value>,
}

#[derive(Serialize)]
struct Written<'d, T> {
    format: u32,
    #[serde(flatten)]
    document: &'d T,
}

impl StateVersion {
    #[must_use]
    pub const fn new(newest: u32) -> Self {
        Self(newest + RAISED)
    }

    /// The number that new documents get.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// A document of JSON.
    ///
    /// # Errors
    /// With a [`NewerState`] inside if a newer program wrote it; otherwise it is damaged.
    pub fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> io::Result<T> {
        self.check(bytes)?;
        Ok(serde_json::from_slice(bytes)?)
    }

    /// Refuses a document of JSON that a newer program wrote, or that has no good version.
    pub(crate) fn check(self, bytes: &[u8]) -> io::Result<()> {
        let Said { format, schema } = serde_json::from_slice(bytes)?;
        format.into_iter().chain(schema).try_for_each(|said| self.check_number(said.as_u64(), &said))
    }

    /// The same of a file in TOML. What isn't one is for its own reader to name, with the place.
    pub(crate) fn check_toml(self, text: &str) -> io::Result<()> {
        #[derive(Deserialize)]
        struct Said {
            format: Option<u64>,
        }
        match toml::from_str(text) {
            Ok(Said { format: Some(said) }) => self.check_number(Some(said), &said),
            Ok(Said { format: None }) | Err(_) => Ok(()),
        }
    }

    /// Refuses a version that is newer, and what is none.
    fn check_number(self, found: Option<u64>, said: &dyn std::fmt::Display) -> io::Result<()> {
        match found {
            Some(found) if found > u64::from(self.0) => {
                Err(io::Error::other(NewerState { found, newest: self.0 }))
            }
            Some(1..) => Ok(()),
            Some(0) | None => {
                let problem = format!("its version is {said}, expected 1 to {}", self.0);
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
        }
    }

    /// The document as JSON, with its version as `format` before its own fields.
    pub(crate) fn write<T: Serialize>(self, document: &T) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written { format: self.0, document })
    }

    /// The same on several lines.
    pub(crate) fn write_pretty<T: Serialize>(self, document: &T) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(&Written { format: self.0, document })
    }
}

impl NewerState {
    /// Whether `error` comes from a document of a newer program.
    #[must_use]
    pub fn in_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // An io::Error's source is that of what it wraps, so what it wraps is asked for by itself.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let found = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
            if found.is_some() {
                return found;
            }
            cause = error.source();
        }
        None
    }
}

/// Refuses the state directory if a newer program keeps something in it that this one would pass over: documents that have a name, but
/// no reader here. This version needs no such document itself, so an absent one says 1.
pub(crate) fn check_layout(state: &Directory) -> Result<(), FileError> {
    let Some(bytes) = optional(state.read_file(STATE_LAYOUT, MAX_LAYOUT))? else { return Ok(()) };
    LAYOUT.check(&bytes).map_err(|error| FileError::new("use", state.path().join(STATE_LAYOUT), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: StateVersion = StateVersion::new(1);

    fn newest() -> u64 {
        u64::from(VERSION.number())
    }

    #[test]
    fn absent_is_the_first_version_and_a_newer_one_is_refused_with_both_numbers() {
        for good in ["{}", r#"{"format":1}"#, r#"{"schema":1,"more":[]}"#] {
            VERSION.read::<Value>(good.as_bytes()).unwrap();
        }
        for newer in [newest() + 1, 99, u64::MAX] {
            for name in ["format", "schema"] {
                let document = format!(r#"{{"more":null,"{name}":{newer}}}"#);
                let error = FileError::new(
                    "understand",
                    "/x",
                    VERSION.read::<Value>(document.as_bytes()).unwrap_err(),
                );
                assert_eq!(NewerState::in_error(&error).unwrap().found, newer);
                assert!(!error.is_device());
                let said = files::with_causes(&error);
                let expected = format!(
                    "can't understand /x: its version is {newer}, this stap-bundle reads up to {}",
                    newest()
                );
                assert!(
                    said.starts_with(&expected) && said.ends_with("install the newer stap-bundle again"),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_version_is_damage_and_not_newer() {
        for bad in
            [r#"{"format":0}"#, r#"{"format":"2"}"#, r#"{"schema":1.5}"#, r#"{"format":-1}"#, "{", "[]", ""]
        {
            let error = VERSION.read::<Value>(bad.as_bytes()).unwrap_err();
            assert_eq!(NewerState::in_error(&error), None, "{bad}");
        }
    }
}
