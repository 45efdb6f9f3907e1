//! What bash had to say about a file that it evaluated.

use thiserror::Error;

use super::Severity;

/// What bash had to say while it evaluated a file, or what is wrong with a value that came out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EvaluationCause {
    /// Bash complained about the file. The value that depends on it isn't what was meant.
    #[error("bash says: {text}")]
    Complaint {
        /// The complaint without the place.
        text: String,
    },
    /// The file printed something.
    #[error("the file prints {text:?}")]
    Prints {
        /// The first line that it printed.
        text: String,
    },
    /// The file asks for something that the sandbox hides or has of its own.
    #[error("{what} is outside of the sandbox: what depends on it is frozen as the sandbox has it")]
    Outside {
        /// A program, a file, or a variable with its `$`.
        what: String,
    },
    /// A value isn't text.
    #[error("value of {name} isn't UTF-8")]
    NotUtf8 { name: String },
}

impl EvaluationCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Complaint { .. } => "config-bash",
            Self::Prints { .. } => "config-prints",
            Self::Outside { .. } => "config-outside",
            Self::NotUtf8 { .. } => "config-value-not-utf8",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Prints { .. } | Self::Outside { .. } => Severity::Warning,
            Self::Complaint { .. } | Self::NotUtf8 { .. } => Severity::Error,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Complaint { .. } => {
                "correct the line; bash sees only this configuration and /usr, and no environment".into()
            }
            Self::Prints { .. } => "remove the command that prints, or send its output to /dev/null".into(),
            Self::Outside { .. } => {
                "write the value that is meant; where hosts differ, set it in the host's own conf.d".into()
            }
            Self::NotUtf8 { name } => format!("give {name} a value of UTF-8 text"),
        }
    }
}
