//! Domains: whom they trust, and one day which bundle names they own.

use std::str::FromStr;

use crate::host::paths::{CHAIN_FILE, RECORDS, ROOTS};

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

    /// The file of its accepted chain, as a message names it.
    #[must_use]
    pub fn chain_file(&self) -> String {
        format!("{}/{CHAIN_FILE}", self.chain_directory())
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
