//! What a script may be called.
//!
//! A name becomes a file name, a kernel module's name and the front of two shell variables, so
//! the rule is the strictest of the three (INIT-CFG-05). It holds wherever a name comes from.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest script name: `stap -m` cuts a longer one, and the module would then not have the
/// name that was asked for (INIT-CFG-05).
pub const MAX_SCRIPT_NAME_LEN: usize = 55;

/// The name of a script: `^[A-Za-z_][A-Za-z0-9_]*$`, at most [`MAX_SCRIPT_NAME_LEN`] characters.
///
/// ```
/// use script_config::ScriptName;
/// let name: ScriptName = "net_drop".parse()?;
/// assert_eq!(name.as_str(), "net_drop");
/// assert!("net-drop".parse::<ScriptName>().is_err());
/// # Ok::<(), script_config::ScriptNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScriptName(String);

/// Why a text is no script name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScriptNameError {
    /// There is no character in it.
    #[error("script name is empty")]
    Empty,
    /// It has more than [`MAX_SCRIPT_NAME_LEN`] characters.
    #[error("script name {name:?} has {len} characters, at most {MAX_SCRIPT_NAME_LEN} fit a kernel module")]
    TooLong { name: String, len: usize },
    /// Its first character is a digit.
    #[error("script name {name:?} starts with the digit {digit:?}, a letter or _ must come first")]
    StartsWithDigit { name: String, digit: char },
    /// A character other than an ASCII letter, a digit or `_`.
    #[error("script name {name:?} contains {character:?}, only letters, digits and _ are allowed")]
    Character {
        name: String,
        /// The first character that isn't allowed.
        character: char,
    },
}

impl ScriptName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(text: &str) -> Result<(), ScriptNameError> {
        let Some(first) = text.chars().next() else {
            return Err(ScriptNameError::Empty);
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if let Some(character) = text.chars().find(|&c| !allowed(c)) {
            return Err(ScriptNameError::Character { name: text.to_owned(), character });
        }
        if first.is_ascii_digit() {
            return Err(ScriptNameError::StartsWithDigit { name: text.to_owned(), digit: first });
        }
        if text.len() > MAX_SCRIPT_NAME_LEN {
            return Err(ScriptNameError::TooLong { name: text.to_owned(), len: text.len() });
        }
        Ok(())
    }
}

impl FromStr for ScriptName {
    type Err = ScriptNameError;

    fn from_str(text: &str) -> Result<Self, ScriptNameError> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ScriptName {
    type Error = ScriptNameError;

    fn try_from(text: String) -> Result<Self, ScriptNameError> {
        Self::check(&text)?;
        Ok(Self(text))
    }
}

impl TryFrom<&str> for ScriptName {
    type Error = ScriptNameError;

    fn try_from(text: &str) -> Result<Self, ScriptNameError> {
        text.parse()
    }
}

impl From<ScriptName> for String {
    fn from(name: ScriptName) -> Self {
        name.0
    }
}

impl AsRef<str> for ScriptName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ScriptName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ScriptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Joins names as a path of requirements.
pub(crate) fn names(path: &[ScriptName]) -> String {
    path.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(" -> ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn init_cfg_05_a_name_is_a_shell_variable_and_a_module_name() {
        for good in ["a", "_", "A9", "net_drop", "_1", &"x".repeat(55)] {
            assert!(good.parse::<ScriptName>().is_ok(), "{good}");
        }
        let fails = |text: &str| text.parse::<ScriptName>().unwrap_err();
        assert_eq!(fails(""), ScriptNameError::Empty);
        assert!(matches!(fails("9x"), ScriptNameError::StartsWithDigit { digit: '9', .. }));
        assert!(matches!(fails("bad-name"), ScriptNameError::Character { character: '-', .. }));
        assert!(matches!(fails("a/b"), ScriptNameError::Character { character: '/', .. }));
        assert!(matches!(fails("a\n"), ScriptNameError::Character { character: '\n', .. }));
        assert!(matches!(fails("é"), ScriptNameError::Character { character: 'é', .. }));
        assert!(matches!(fails(&"x".repeat(56)), ScriptNameError::TooLong { len: 56, .. }));
    }

    #[test]
    fn json_goes_through_the_same_check() {
        let name: ScriptName = serde_json::from_str("\"script1\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"script1\"");
        assert!(serde_json::from_str::<ScriptName>("\"../etc\"").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in any::<String>()) {
            if let Ok(name) = text.parse::<ScriptName>() {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(text.len() <= MAX_SCRIPT_NAME_LEN);
            }
        }
    }
}
