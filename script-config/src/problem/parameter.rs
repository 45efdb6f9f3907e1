//! What can be wrong with a global parameter.

use thiserror::Error;

use super::Severity;
use crate::defaults::{FALSE_WORDS, TRUE_WORDS, default_of};
use crate::name::{ScriptName, ScriptNameError};

/// Why a global parameter, or a variable that is none, isn't taken as written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParameterCause {
    /// A word that is neither yes nor no (INIT-CFG-03).
    #[error("{name} is {text:?}, which is neither yes nor no")]
    NotBoolean { name: &'static str, text: String },
    /// A path that isn't absolute.
    #[error("{name} is {text:?}, which isn't an absolute path")]
    NotAbsolute { name: &'static str, text: String },
    /// A word of `DEFAULT_START` that can't be a script (INIT-CFG-05).
    #[error("word of DEFAULT_START is skipped: {0}")]
    DefaultStart(ScriptNameError),
    /// A word of `DEFAULT_START` that names no script.
    #[error("DEFAULT_START names {script}, and there is no such script")]
    DefaultStartUnknown {
        script: ScriptName,
        /// The script that was probably meant.
        nearest: Option<String>,
    },
    /// A variable that is no parameter and that nothing uses.
    #[error("{name} is no parameter, and nothing uses it")]
    Unknown {
        name: String,
        /// The parameter that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A variable with which the initscript itself works.
    #[error("{name} is a variable inside the initscript, and setting it has no effect here")]
    Internal { name: String },
    /// `CONFIG_PATH` in a file that was found through `CONFIG_PATH` (INIT-CFG-01).
    #[error("CONFIG_PATH is {text:?}, but the folder was already chosen by the global file")]
    ConfigPathTooLate { text: String },
}

impl ParameterCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::NotBoolean { .. } => "parameter-not-boolean",
            Self::NotAbsolute { .. } => "parameter-not-absolute",
            Self::DefaultStart(_) => "parameter-default-start",
            Self::DefaultStartUnknown { .. } => "parameter-default-start-unknown",
            Self::Unknown { .. } => "parameter-unknown",
            Self::Internal { .. } => "parameter-internal",
            Self::ConfigPathTooLate { .. } => "parameter-config-path-too-late",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::NotBoolean { .. } | Self::NotAbsolute { .. } => Severity::Error,
            _ => Severity::Warning,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::NotBoolean { .. } => {
                format!("write one of {} or one of {}", TRUE_WORDS.join(" "), FALSE_WORDS.join(" "))
            }
            Self::NotAbsolute { name, .. } => {
                format!("write a path that begins with /, such as {name}={}", default_of(name))
            }
            Self::DefaultStart(_) => "rename the script, or remove the word".into(),
            Self::DefaultStartUnknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::DefaultStartUnknown { script, nearest: None } => {
                format!("add {script}.stp, or remove the word")
            }
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::Unknown { nearest: None, .. } => {
                "remove it, or end its name in _OPT or _REQ if a script is meant".into()
            }
            Self::Internal { .. } => "remove the line".into(),
            Self::ConfigPathTooLate { .. } => "set CONFIG_PATH in the global file".into(),
        }
    }
}
