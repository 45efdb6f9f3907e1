//! What can be wrong with a configuration, in one shape.
//!
//! Checks collect: they return every [`ConfigProblem`] and leave it to the caller what stops him.

mod evaluation;
mod option;
mod parameter;
mod setting;
mod syntax;

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct;
use thiserror::Error;

pub use evaluation::EvaluationCause;
pub use option::OptionCause;
pub use parameter::ParameterCause;
pub use setting::SettingsCause;
pub use syntax::SyntaxCause;

use crate::name::ScriptNameError;
use crate::place::Place;
use crate::shown::shown;
use crate::writing::quote_word;

/// How much a problem weighs. The order is the weight: an error is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; everything works as written.
    Note,
    /// Something was ignored or probably isn't what was meant.
    Warning,
    /// What is written can't be carried out.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding about a configuration: what, where, how bad, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", shown(&cause.to_string()))]
pub struct ConfigProblem {
    place: Option<Place>,
    cause: Cause,
}

/// The cause of a problem, by the subject it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Cause {
    /// A file isn't read, or isn't text.
    #[error(transparent)]
    File(#[from] FileCause),
    /// A file isn't in the subset of bash that is read.
    #[error(transparent)]
    Syntax(#[from] SyntaxCause),
    /// Bash, asked to evaluate a file, had something to say.
    #[error(transparent)]
    Evaluation(#[from] EvaluationCause),
    /// A global parameter has a value that it can't have.
    #[error(transparent)]
    Parameter(#[from] ParameterCause),
    /// A per-script variable other than its options is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsCause),
    /// The options of a script can't be carried out.
    #[error(transparent)]
    Option(#[from] OptionCause),
}

/// Why a file of the configuration isn't read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FileCause {
    /// A regular file of `conf.d` without the suffix `.conf` (INIT-FILE-02).
    #[error("file isn't read, because its name doesn't end in .conf")]
    WithoutSuffix { path: String },
    /// A file of `conf.d` whose name starts with a dot, which bash's `*` doesn't match.
    #[error("file isn't read, because its name starts with a dot")]
    Hidden {
        path: String,
        /// The same without the leading dots.
        visible: String,
    },
    /// A file of the script directory whose name can't be a script's (INIT-CFG-05).
    #[error("file is no script: {error}")]
    NoScript {
        /// Why not.
        error: ScriptNameError,
    },
    /// The file isn't UTF-8.
    #[error("byte {byte:#04x} at offset {offset} isn't UTF-8")]
    NotUtf8 {
        /// The first byte that doesn't fit.
        byte: u8,
        offset: usize,
    },
}

impl ConfigProblem {
    /// Returns a problem at a place, or at none where no file is to blame.
    #[must_use]
    pub fn new(place: Option<Place>, cause: impl Into<Cause>) -> Self {
        Self { place, cause: cause.into() }
    }

    /// Returns where the problem is.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Returns what the problem is; its `Display` is the message.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the stable name of this kind of problem, such as `config-command`.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match &self.cause {
            Cause::File(cause) => cause.id(),
            Cause::Syntax(cause) => cause.id(),
            Cause::Evaluation(cause) => cause.id(),
            Cause::Parameter(cause) => cause.id(),
            Cause::Settings(cause) => cause.id(),
            Cause::Option(cause) => cause.id(),
        }
    }

    /// Returns how much the problem weighs.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.cause {
            Cause::File(cause) => cause.severity(),
            Cause::Syntax(cause) => cause.severity(),
            Cause::Evaluation(cause) => cause.severity(),
            Cause::Parameter(cause) => cause.severity(),
            Cause::Settings(cause) => cause.severity(),
            Cause::Option(cause) => cause.severity(),
        }
    }

    /// Returns what to do about it, as a lower-case fragment.
    #[must_use]
    pub fn next_step(&self) -> String {
        match &self.cause {
            Cause::File(cause) => cause.next_step(),
            Cause::Syntax(cause) => cause.next_step(),
            Cause::Evaluation(cause) => cause.next_step(),
            Cause::Parameter(cause) => cause.next_step(),
            Cause::Settings(cause) => cause.next_step(),
            Cause::Option(cause) => cause.next_step(),
        }
    }

    /// Returns the problem in two lines: `file:line:column: error: message` and `hint: next step`. It quotes the files, which
    /// may come from outside: control characters in them are escaped.
    #[must_use]
    pub fn render(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        let said = format!("{place}{}: {} [{}]", self.severity(), self.cause, self.id());
        format!("{}\n  hint: {}", shown(&said), shown(&self.next_step()))
    }
}

impl ConfigProblem {
    /// What a host says of a file that counts for nothing because of this problem, on one line.
    #[must_use]
    pub fn leaves_out(&self) -> String {
        let file = self.place.as_ref().map(|place| place.file.to_string()).unwrap_or_default();
        let line = self.place.as_ref().filter(|place| place.line > 0);
        let line = line.map(|place| format!(" because of line {}", place.line)).unwrap_or_default();
        let said = format!("{file} is left out{line}: {} [{}]; {}", self.cause, self.id(), self.next_step());
        format!("{}; `stap-bundle config check` shows all that is wrong", shown(&said))
    }

    /// The same on one line, for a message that says around it that this is an error, and in what.
    #[must_use]
    pub fn within(&self) -> String {
        let place = self.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        shown(&format!("{place}{} [{}]; {}", self.cause, self.id(), self.next_step())).into_owned()
    }
}

impl Serialize for ConfigProblem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ConfigProblem", 5)?;
        fields.serialize_field("id", self.id())?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("place", &self.place)?;
        fields.serialize_field("message", &self.cause.to_string())?;
        fields.serialize_field("hint", &self.next_step())?;
        fields.end()
    }
}

/// Tells whether any of the problems is an error.
#[must_use]
pub fn has_errors(problems: &[ConfigProblem]) -> bool {
    problems.iter().any(|problem| problem.severity() == Severity::Error)
}

impl FileCause {
    fn id(&self) -> &'static str {
        match self {
            Self::WithoutSuffix { .. } => "conf-d-suffix",
            Self::Hidden { .. } => "conf-d-hidden",
            Self::NoScript { .. } => "script-file-name",
            Self::NotUtf8 { .. } => "config-not-utf8",
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::WithoutSuffix { .. } | Self::Hidden { .. } => Severity::Warning,
            Self::NoScript { .. } | Self::NotUtf8 { .. } => Severity::Error,
        }
    }

    fn next_step(&self) -> String {
        let word = quote_word;
        match self {
            Self::WithoutSuffix { path } => {
                format!("mv {} {}", word(path), word(&format!("{path}.conf")))
            }
            Self::Hidden { path, visible } => format!("mv {} {}", word(path), word(visible)),
            Self::NoScript { error: ScriptNameError::TooLong { .. } } => "shorten the file's name".to_owned(),
            Self::NoScript { .. } => "rename it to letters, digits and _, no digit first".to_owned(),
            Self::NotUtf8 { .. } => "save the file as UTF-8".to_owned(),
        }
    }
}
