//! What isn't read, or has no effect, and what to write instead.

use thiserror::Error;

use super::Severity;
use crate::limits::{MAX_NESTING, MAX_VALUE_LEN};

/// Why a part of a configuration file isn't read, or doesn't do what it seems to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SyntaxCause {
    #[error("command {text:?} isn't run: configuration files are read, never executed")]
    Command {
        /// The command's first word.
        text: String,
    },
    /// A compound command or another reserved word.
    #[error("{word:?} isn't carried out: configuration files are read, never executed")]
    Keyword { word: String },
    /// A function definition.
    #[error("function {name:?} isn't defined: configuration files are read, never executed")]
    Function {
        /// The function's name.
        name: String,
    },
    /// `NAME = value`, which bash takes for a command.
    #[error("blank before the = of {name:?} makes it a command for bash")]
    BlankBeforeEquals {
        /// The variable that was probably meant.
        name: String,
    },
    /// `NAME= value` or `NAME=one two`, which bash takes for a command with a variable.
    #[error("{word:?} after the value of {name} is a command for bash")]
    BlankInValue {
        /// The variable that was assigned before.
        name: String,
        /// The word after the blank.
        word: String,
    },
    /// `bad-name=value`, which bash takes for a command.
    #[error("{name:?} can't be a variable: only letters, digits and _, no digit first")]
    VariableName {
        /// The text before the `=`.
        name: String,
    },
    /// `NAME=(…)` or `NAME[…]=…`.
    #[error("array {name} isn't read")]
    Array { name: String },
    /// `export` with an option, or with a word that isn't an assignment.
    #[error("export of {text:?} isn't read")]
    ExportForm {
        /// The word after `export`, or `export` if it stands alone.
        text: String,
    },
    /// An unquoted `{` after `export`, where bash expands braces.
    #[error("unquoted {{ after export would be expanded by bash")]
    BraceAfterExport,
    /// A pipe, a redirection, a subshell or a background command.
    #[error("operator {operator:?} isn't read: configuration files are read, never executed")]
    Operator {
        /// The operator.
        operator: String,
    },
    /// `$(…)` or a backquote.
    #[error("command substitution {open} isn't run: configuration files are read, never executed")]
    CommandSubstitution { open: String },
    /// `<(…)` or `>(…)`.
    #[error("process substitution isn't run: configuration files are read, never executed")]
    ProcessSubstitution,
    /// `$((…))` or `$[…]`.
    #[error("arithmetic {open} isn't evaluated")]
    Arithmetic { open: String },
    /// `$'…'` or `$"…"`.
    #[error("quotes of the form ${quote}…{quote} aren't read")]
    DollarQuote {
        /// The quote after the dollar sign.
        quote: char,
    },
    /// `$1`, `$@`, `$?` and their like.
    #[error("{text} has no value in a configuration file")]
    SpecialParameter {
        /// The parameter with its `$`.
        text: String,
    },
    /// `${…}` other than `${NAME}` and `${NAME:-default}`.
    #[error("expansion {text} isn't read")]
    Expansion {
        /// The expansion, as far as it was looked at.
        text: String,
    },
    /// A character in a default that bash treats in a way of its own.
    #[error("{character:?} in the default of a ${{…:-…}} isn't read")]
    InDefault { character: char },
    /// `${A:-${B:-…}}` nested too deep.
    #[error("defaults nest more than {MAX_NESTING} deep")]
    TooDeep,
    /// A `~` that bash replaces by a home directory.
    #[error("~ would be replaced by a home directory, which depends on who starts the service")]
    Tilde,
    /// A quote or brace without its end.
    #[error("{quote} is never closed")]
    Unterminated { quote: char },
    /// A backslash is the last character of the file.
    #[error("file ends in a backslash")]
    EndsInBackslash,
    /// A carriage return outside a comment.
    #[error("line ends in CR LF, and the CR would become part of the value")]
    CarriageReturn,
    /// Another control character outside a comment.
    #[error("control character {character:?} isn't read")]
    ControlCharacter { character: char },
    /// The file begins with U+FEFF.
    #[error("file begins with a byte order mark, which bash takes for part of a command")]
    ByteOrderMark,
    /// A value that no program could take as an argument.
    #[error("value of {name} is longer than {MAX_VALUE_LEN} bytes")]
    ValueTooLong { name: String },
    /// An assignment to a variable that bash owns.
    #[error("{name} belongs to bash and can't be set here")]
    SetsShellVariable { name: String },
    /// The value of a variable that bash owns.
    #[error("{name} belongs to bash, and its value isn't known here")]
    ReadsShellVariable { name: String },
    /// The value of an environment variable that the configuration hasn't set.
    #[error("{name} comes from the environment, which differs between farm, boot and shell")]
    ReadsEnvironment { name: String },
    /// An assignment to an environment variable.
    #[error("setting {name} has no effect on this program")]
    NoEffect { name: String },
    /// The value of a variable that nothing has set.
    #[error("{name} isn't set and gives an empty text")]
    Unset { name: String },
}

impl SyntaxCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Command { .. } => "config-command",
            Self::Keyword { .. } => "config-keyword",
            Self::Function { .. } => "config-function",
            Self::BlankBeforeEquals { .. } => "config-blank-before-equals",
            Self::BlankInValue { .. } => "config-blank-in-value",
            Self::VariableName { .. } => "config-variable-name",
            Self::Array { .. } => "config-array",
            Self::ExportForm { .. } => "config-export-form",
            Self::BraceAfterExport => "config-brace-after-export",
            Self::Operator { .. } => "config-operator",
            Self::CommandSubstitution { .. } => "config-command-substitution",
            Self::ProcessSubstitution => "config-process-substitution",
            Self::Arithmetic { .. } => "config-arithmetic",
            Self::DollarQuote { .. } => "config-dollar-quote",
            Self::SpecialParameter { .. } => "config-special-parameter",
            Self::Expansion { .. } => "config-expansion",
            Self::InDefault { .. } => "config-in-default",
            Self::TooDeep => "config-too-deep",
            Self::Tilde => "config-tilde",
            Self::Unterminated { .. } => "config-unterminated",
            Self::EndsInBackslash => "config-ends-in-backslash",
            Self::CarriageReturn => "config-carriage-return",
            Self::ControlCharacter { .. } => "config-control-character",
            Self::ByteOrderMark => "config-byte-order-mark",
            Self::ValueTooLong { .. } => "config-value-too-long",
            Self::SetsShellVariable { .. } => "config-sets-shell-variable",
            Self::ReadsShellVariable { .. } => "config-reads-shell-variable",
            Self::ReadsEnvironment { .. } => "config-reads-environment",
            Self::NoEffect { .. } => "config-no-effect",
            Self::Unset { .. } => "config-unset",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::NoEffect { .. } | Self::Unset { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Command { text } if matches!(text.as_str(), "." | "source") => {
                "move that file's lines here, or put it into conf.d with the suffix .conf".into()
            }
            Self::Command { .. } | Self::Operator { .. } => or_evaluate("write only NAME=value lines"),
            Self::Keyword { .. } | Self::Function { .. } => {
                or_evaluate("write the assignments that should hold, without a condition")
            }
            Self::BlankBeforeEquals { name } => format!("write {name}=value without blanks"),
            Self::BlankInValue { name, .. } => {
                format!("put the value in quotes and right behind the =: {name}=\"…\"")
            }
            Self::VariableName { .. } => "rename the script or variable to letters, digits and _".into(),
            Self::Array { name } => format!("write the words in one value: {name}=\"one two\""),
            Self::ExportForm { .. } => "write export NAME=value, or only NAME=value".into(),
            Self::BraceAfterExport => "put the value in quotes, or leave out export".into(),
            Self::CommandSubstitution { .. } | Self::ProcessSubstitution => {
                or_evaluate("write the text that it gives")
            }
            Self::Arithmetic { .. } => or_evaluate("write the result"),
            Self::DollarQuote { quote } => format!("write {quote}…{quote} without the $"),
            Self::SpecialParameter { .. } => {
                "write the text itself, or put \\ before the $ if the $ is meant".into()
            }
            Self::Expansion { .. } => or_evaluate("write $NAME, ${NAME} or ${NAME:-default}"),
            Self::InDefault { .. } => {
                "set a variable to the default first, and write ${NAME:-$DEFAULT}".into()
            }
            Self::TooDeep => "set the inner defaults as variables first".into(),
            Self::Tilde => "write the whole path, or quote the ~ if the ~ is meant".into(),
            Self::Unterminated { quote: '{' } => "add the missing }".into(),
            Self::Unterminated { quote } => format!("add the missing {quote}"),
            Self::EndsInBackslash => "remove it, or add the line that should follow".into(),
            Self::CarriageReturn => "convert the file: sed -i 's/\\r$//' FILE".into(),
            Self::ControlCharacter { .. } => "remove it".into(),
            Self::ByteOrderMark => "remove it: sed -i '1s/^\\xef\\xbb\\xbf//' FILE".into(),
            Self::ValueTooLong { .. } => "shorten it".into(),
            Self::SetsShellVariable { .. } => "choose another name".into(),
            Self::ReadsShellVariable { .. } | Self::ReadsEnvironment { .. } => {
                "write the value itself".into()
            }
            Self::NoEffect { .. } => "remove the line if nothing else needs it".into(),
            Self::Unset { name } => format!("set {name} above, or write ${{{name}:-}}"),
        }
    }
}

/// The next step for what only bash can do: the farm may have it done, a host never does.
fn or_evaluate(instead: &str) -> String {
    format!("{instead}; or have the farm ask bash: --eval-config")
}
