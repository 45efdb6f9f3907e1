//! What can be wrong with the options of a script.

use thiserror::Error;

use super::Severity;

/// Why the options of a script can't be carried out, or what is worth knowing about them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionCause {
    /// A quote without its end.
    #[error("quote {quote} in the options {text:?} is never closed")]
    Unterminated { quote: char, text: String },
    /// The value ends in a backslash.
    #[error("options {text:?} end in a backslash")]
    EndsInBackslash { text: String },
    /// No version of `stap` from 4.8 to 5.6 has the option.
    #[error("stap has no option {option}")]
    Unknown {
        option: String,
        /// The option that was probably meant.
        nearest: Option<String>,
    },
    /// A long option cut so short that it may mean several.
    #[error("option {option} may mean {}", .candidates.join(" or "))]
    Ambiguous { option: String, candidates: Vec<String> },
    /// An option without the value that it needs.
    #[error("option {option} needs a value")]
    MissingValue { option: String },
    /// A value attached to an option that takes none.
    #[error("option {option} takes no value, but has {value:?}")]
    UnexpectedValue { option: String, value: String },
    /// An option with which `stap` makes no module.
    #[error("stap makes no module with {option}: {why}")]
    NoModule { option: String, why: &'static str },
    /// `-s` outside 1 to 4095 (INIT-OPT-08).
    #[error("buffer size {value:?} of -s isn't a number of megabytes from 1 to 4095")]
    BufferSize { value: String },
    /// `-S` that isn't `SIZE` or `SIZE,COUNT`.
    #[error("value {value:?} of -S isn't SIZE or SIZE,COUNT with SIZE in megabytes from 1")]
    Rotation { value: String },
    /// `-x` that isn't a process number.
    #[error("value {value:?} of -x isn't a process number")]
    Pid { value: String },
    /// `-c`: a service's `stapio` has ended, or gone to the background, before it would start the command (RUN-06, INIT-OPT-06).
    #[error(
        "the command {command:?} of -c would never run: a service's recorder lets go of the script before it starts one"
    )]
    Command { command: String },
    /// `-o` with a path that isn't absolute (INIT-OPT-07).
    #[error("output file {path:?} of -o isn't an absolute path, and its folder is removed after start")]
    RelativeOutput { path: String },
    /// `-o` with a path that leaves the folder it names first.
    #[error("output file {path:?} of -o has a .. in it")]
    ClimbingOutput { path: String },
    /// `-S` without `-o` (INIT-OPT-06).
    #[error("-S {value} needs an output file, and there is no -o")]
    RotationWithoutOutput {
        /// The value of `-S`.
        value: String,
    },
    /// `--suppress-time-limits` without an earlier `-g`, which `stap` refuses.
    #[error("--suppress-time-limits needs -g in front of it")]
    NeedsGuru,
    /// An option of which a service makes no use.
    #[error("option {option} is ignored: the service decides this itself")]
    Ignored { option: String },
    /// A macro that `stap` knew once: scripts shared a buffer by it (README 1, 4.3.2).
    #[error(
        "systemtap has dropped the macro {name}: it does nothing, and each script has a buffer of its own"
    )]
    DroppedMacro { name: String },
    /// An option that acts only on scripts that `stap` runs.
    #[error("option {option} has no effect: the service runs the module without stap")]
    NoEffect { option: String },
    /// An option that the last initscript doesn't know (INIT-OPT-02).
    #[error("the stock initscript can't run this one: it doesn't know {option}")]
    StockOption { option: String },
    /// A quote or a backslash, which the initscript takes literally (INIT-OPT-03).
    #[error("the stock initscript can't run this one: it doesn't understand quotes in options")]
    StockQuotes,
    /// Arguments of the script, which the initscript puts before the script (INIT-CACHE-08).
    #[error("the stock initscript can't run this one: it would take {argument:?} for the script")]
    StockArgument { argument: String },
}

impl OptionCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Unterminated { .. } => "option-unterminated",
            Self::EndsInBackslash { .. } => "option-ends-in-backslash",
            Self::Unknown { .. } => "option-unknown",
            Self::Ambiguous { .. } => "option-ambiguous",
            Self::MissingValue { .. } => "option-missing-value",
            Self::UnexpectedValue { .. } => "option-unexpected-value",
            Self::NoModule { .. } => "option-no-module",
            Self::BufferSize { .. } => "option-buffer-size",
            Self::Rotation { .. } => "option-rotation",
            Self::Pid { .. } => "option-pid",
            Self::Command { .. } => "option-command",
            Self::RelativeOutput { .. } => "option-relative-output",
            Self::ClimbingOutput { .. } => "option-climbing-output",
            Self::RotationWithoutOutput { .. } => "option-rotation-without-output",
            Self::NeedsGuru => "option-needs-guru",
            Self::Ignored { .. } => "option-ignored",
            Self::DroppedMacro { .. } => "option-dropped-macro",
            Self::NoEffect { .. } => "option-no-effect",
            Self::StockOption { .. } => "stock-option",
            Self::StockQuotes => "stock-quotes",
            Self::StockArgument { .. } => "stock-argument",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Ignored { .. }
            | Self::StockOption { .. }
            | Self::StockQuotes
            | Self::StockArgument { .. } => Severity::Note,
            Self::NoEffect { .. } | Self::DroppedMacro { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Unterminated { quote, .. } => {
                format!("close it, or write \\{quote} if the character is meant")
            }
            Self::EndsInBackslash { .. } => "remove it, or write \\\\ if it is meant".into(),
            Self::Unknown { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::Unknown { nearest: None, .. } => "see stap(1) for the options".into(),
            Self::Ambiguous { candidates, .. } => format!("write {}", candidates.join(" or ")),
            Self::MissingValue { option } => format!("write {option} VALUE"),
            Self::UnexpectedValue { option, .. } => format!("write {option} alone"),
            Self::NoModule { option, .. } => format!("remove {option}"),
            Self::BufferSize { .. } => "write -s 1 to -s 4095".into(),
            Self::Rotation { .. } => "write for example -S 10,5".into(),
            Self::Pid { .. } => "write the number of a process".into(),
            Self::Command { .. } => {
                "remove -c; with -o FILE a script can start it: probe begin { system(\"COMMAND\") }".into()
            }
            Self::RelativeOutput { path } => {
                format!("write -o /var/log/{}", path.trim_start_matches(['.', '/']))
            }
            Self::ClimbingOutput { .. } => "write the path without ..".into(),
            Self::RotationWithoutOutput { .. } => "add -o /absolute/file, or remove -S".into(),
            Self::NeedsGuru => "write -g --suppress-time-limits".into(),
            Self::DroppedMacro { name } => {
                format!(
                    "remove -D{name}; put probes that write to one output into one script, or give each script an -o"
                )
            }
            Self::Ignored { option } | Self::NoEffect { option } => {
                format!("{option} can be removed")
            }
            Self::StockOption { .. } | Self::StockQuotes | Self::StockArgument { .. } => {
                "nothing to do unless stock tools start this script too".into()
            }
        }
    }
}
