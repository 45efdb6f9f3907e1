//! The initscript's configuration: assignments, options, dependencies.
//!
//! Text in, values out. This crate starts no process, opens no file and reads no environment
//! variable, so a configuration means the same on the farm that compiles a script and on the host
//! that starts it.
//!
//! - [`ScriptName`]: what a script may be called.
//! - [`parse_assignments`]: the part of bash that configuration files use, without running bash.
//! - [`Configuration`]: the global file and `conf.d`, put together; [`GlobalParameters`] and
//!   [`ScriptSettings`] are what comes out. [`Configuration::evaluated`] makes the same of what bash
//!   made of the files, where a farm has it evaluate them.
//! - [`ScriptOptions`]: the options of one script, as argument vectors for `stap` and `staprun`.
//! - [`DependencyGraph`]: which script starts, waits and stops when.
//!
//! Every finding is a [`ConfigProblem`] with an id, a severity, a place and a next step, and a
//! check returns all of them. The numbers in the comments (INIT-CFG-03 …) name facts about the
//! original initscript; `docs/compatibility.md` lists where this crate differs from it.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod assignments;
mod conf_d;
mod configuration;
mod defaults;
mod dependencies;
mod evaluated;
mod limits;
mod name;
mod nearest;
mod options;
mod outside;
mod parameters;
mod place;
mod problem;
mod selection;
mod settings;
mod shown;
mod source_text;
mod writing;

pub use assignments::{Environment, Value, parse_assignments};
pub use conf_d::{ConfDFile, conf_d_file_kind, conf_d_order, conf_d_warning};
pub use configuration::Configuration;
pub use defaults::{FALSE_WORDS, TRUE_WORDS, default_assignments};
pub use dependencies::{Blocked, DependencyError, DependencyGraph, StopRefused};
pub use evaluated::{EvaluatedFile, VariableChange};
pub use name::{MAX_SCRIPT_NAME_LEN, ScriptName, ScriptNameError};
pub use nearest::nearest;
pub use options::{
    OptionRole, OptionSpec, Recorder, Rotation, RunArgumentsError, RunOptions, STAP_OPTIONS, ScriptOptions,
    TakesValue,
};
pub use parameters::GlobalParameters;
pub use place::Place;
pub use problem::{
    Cause, ConfigProblem, EvaluationCause, FileCause, OptionCause, ParameterCause, SettingsCause, Severity,
    SyntaxCause, has_errors,
};
pub use selection::{Selection, known_scripts, select_for_stop, select_known, select_to_start};
pub use settings::{ScriptSettings, ScriptUsers};
pub use shown::{acts, quoted, shown, shown_lines};
pub use source_text::SourceText;
pub use writing::{quote_word, write_assignment};
