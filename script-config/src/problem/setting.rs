//! What can be wrong with a script's variables.

use thiserror::Error;

use super::Severity;
use crate::name::{ScriptName, ScriptNameError, names};

/// What is wrong with a script's variables, its options apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingsCause {
    /// A variable such as `NAME_OPT` whose `NAME` can't be a script's.
    #[error("{variable} belongs to no script: {error}")]
    Script {
        variable: String,
        /// Why the name is none.
        error: ScriptNameError,
    },
    /// A word of `NAME_REQ` that can't be a script's name.
    #[error("{script} requires what can't be a script: {error}")]
    Requirement {
        script: ScriptName,
        /// Why the name is none.
        error: ScriptNameError,
    },
    /// A word of `NAME_USERS` other than `root` and `stapusr`.
    #[error("users of {script} are {text:?}, which is neither root nor stapusr")]
    Users { script: ScriptName, text: String },
    /// A variable of a script that doesn't exist.
    #[error("{variable} is set, but there is no script {script}")]
    NoSuchScript {
        variable: String,
        script: ScriptName,
        /// The script that was probably meant.
        nearest: Option<String>,
    },
    /// A script requires one that doesn't exist (INIT-DEP-04).
    #[error("{script} requires {requirement}, and there is no such script")]
    MissingRequirement { script: ScriptName, requirement: ScriptName },
    /// Scripts require each other (INIT-DEP-02).
    #[error("requirements form a cycle: {}", names(path))]
    Cycle {
        /// The cycle, beginning and ending with the same script.
        path: Vec<ScriptName>,
    },
}

impl SettingsCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Script { .. } => "script-name",
            Self::Requirement { .. } => "script-requirement-name",
            Self::Users { .. } => "script-users",
            Self::NoSuchScript { .. } => "script-unknown",
            Self::MissingRequirement { .. } => "requirement-missing",
            Self::Cycle { .. } => "requirement-cycle",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::NoSuchScript { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Script { error: ScriptNameError::TooLong { .. }, .. } => {
                "shorten the script's name, or remove the line".into()
            }
            Self::Script { .. } => "write NAME_OPT with the script's name, or remove the line".into(),
            Self::Requirement { script, .. } => {
                format!("write names of scripts separated by blanks: {script}_REQ=\"a b\"")
            }
            Self::Users { script, .. } => format!("write {script}_USERS=stapusr, or remove it"),
            Self::NoSuchScript { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::NoSuchScript { script, nearest: None, .. } => {
                format!("add {script}.stp, or remove the line")
            }
            Self::MissingRequirement { script, requirement } => {
                format!("add {requirement}.stp, or remove {requirement} from {script}_REQ")
            }
            Self::Cycle { path } => match path.as_slice() {
                [script, requirement, ..] => format!("remove {requirement} from {script}_REQ"),
                _ => "remove one of the requirements".into(),
            },
        }
    }
}
