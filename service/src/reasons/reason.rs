//! A reason as others see it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason in words, as reports and status show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What doesn't change from version to version: for scripts and for the docs.
    pub id: String,
    pub text: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
