//! The names of domains, and where their parts lie.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host::paths::{CHAIN_FILES, RECORDS, ROOTS, TRUST};

const DEFAULT: &str = "default";

/// The name of a domain: whom a host trusts for which bundle names. `default` owns what no other domain owns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(String);

impl Default for Domain {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
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

impl TryFrom<String> for Domain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Domain {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the one that owns what no other owns.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// The directory of its pins.
    #[must_use]
    pub fn pins(&self) -> String {
        format!("{TRUST}/{}", self.0)
    }

    /// The directory of its accepted chain.
    pub(crate) fn chain_directory(&self) -> String {
        format!("{RECORDS}/{ROOTS}/{}", self.0)
    }

    /// A copy of its accepted chain, as a message names it.
    pub(crate) fn chain_file(&self, copy: &str) -> String {
        format!("{}/{copy}", self.chain_directory())
    }

    /// The first copy of its accepted chain, as a message names it.
    pub(crate) fn first_chain_file(&self) -> String {
        self.chain_file(CHAIN_FILES[0])
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
