//! Domains: whom they trust, and one day which bundle names they own.

use std::str::FromStr;

use crate::host::paths::{CHAIN_FILES, RECORDS, ROOTS};

/// The name of a domain: whom it trusts, and one day which bundle names it owns. This version has one,
/// `default`, which owns all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Default for Domain {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// Text that can't name a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` names no domain: expected 1 to 32 of a-z, 0-9, `_` and `-`, the first no sign")]
pub struct DomainError {
    found: String,
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let good = (1..=32).contains(&text.len())
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || b == b'_' || b == b'-');
        if good {
            return Ok(Self(text.to_owned()));
        }
        Err(DomainError { found: text.chars().take(40).flat_map(char::escape_default).collect() })
    }
}

impl Domain {
    /// The directory of its accepted chain.
    pub(crate) fn chain_directory(&self) -> String {
        format!("{RECORDS}/{ROOTS}/{}", self.0)
    }

    /// A copy of its accepted chain, as a message names it.
    pub(crate) fn chain_file(&self, copy: &str) -> String {
        format!("{}/{copy}", self.chain_directory())
    }

    /// Both copies of its accepted chain, as a message names them.
    #[must_use]
    pub fn chain_files(&self) -> String {
        let [first, second] = CHAIN_FILES;
        format!("{} and {second}", self.chain_file(first))
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_s_name_is_one_plain_component() {
        assert!("team-1_x".parse::<Domain>().is_ok());
        assert_eq!("default".parse(), Ok(Domain::default()));
        for bad in ["", ".", "..", "a/b", "-a", "A", &"a".repeat(33), "a b"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }
}
