//! The options of a script: one value, three readers.
//!
//! `NAME_OPT` is a command line of `stap` (README 4.2.1). Some of it goes to `stap` when the
//! script is compiled, some to `staprun` when it is started, and words that are no options are
//! arguments of the script. The original filters a string; here the command line is taken apart
//! by stap's own grammar, and what comes out are argument vectors.

mod command_line;
mod grammar;
mod run;
mod words;

pub use grammar::{OptionRole, OptionSpec, STAP_OPTIONS, TakesValue};
pub use run::{Recorder, Rotation, RunArgumentsError, RunOptions};

use command_line::{CommandLine, GivenOption};
use words::WordError;

use crate::place::Place;
use crate::problem::{ConfigProblem, OptionCause, Severity};

/// The options of one script, found fit to compile and to run with.
///
/// ```
/// use script_config::ScriptOptions;
/// let options = ScriptOptions::parse("-DX=1 -g -s 8 -o /var/log/a.out 10", None).unwrap();
/// assert_eq!(options.compile_args(), ["-D", "X=1", "-g"]);
/// assert_eq!(options.script_args(), ["10"]);
/// assert_eq!(options.staprun_args(), ["-D", "-o", "/var/log/a.out", "-b", "8"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptOptions {
    given: String,
    line: CommandLine,
    run: RunOptions,
    notes: Vec<ConfigProblem>,
}

impl ScriptOptions {
    /// Reads the value of a `NAME_OPT`; `place` is where it was assigned, for the problems.
    ///
    /// Returns every error, together with the notes. Notes and warnings alone are kept in
    /// [`notes`](Self::notes).
    pub fn parse(text: &str, place: Option<&Place>) -> Result<Self, Vec<ConfigProblem>> {
        let at_place = |cause: OptionCause| ConfigProblem::new(place.cloned(), cause);
        let words = words::split(text).map_err(|error| {
            let text = text.to_owned();
            vec![at_place(match error {
                WordError::Unterminated(quote) => OptionCause::Unterminated { quote, text },
                WordError::EndsInBackslash => OptionCause::EndsInBackslash { text },
            })]
        })?;
        let (line, mut causes) = command_line::read(words);
        causes.extend(unfit_for_a_service(&line));
        let run = RunOptions::pick(&line, &mut causes);
        causes.extend(stock_notes(text, &line));
        let problems: Vec<ConfigProblem> = causes.into_iter().map(at_place).collect();
        if problems.iter().any(|problem| problem.severity() == Severity::Error) {
            return Err(problems);
        }
        Ok(Self { given: text.to_owned(), line, run, notes: problems })
    }

    /// Returns the value as it was given.
    #[must_use]
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Returns the warnings and notes about these options.
    #[must_use]
    pub fn notes(&self) -> &[ConfigProblem] {
        &self.notes
    }

    /// Tells whether the last initscript can run a script with these options (INIT-OPT-02, -03).
    #[must_use]
    pub fn stock_can_run(&self) -> bool {
        !self.notes.iter().any(|note| note.id().starts_with("stock-"))
    }

    /// Returns the options for `stap` in the order given and in normal form: each option and each
    /// value a word of its own. The fixed part (`-m NAME -p4 -r …`) isn't among them.
    #[must_use]
    pub fn compile_args(&self) -> Vec<String> {
        let to_stap = |option: &&GivenOption| match option.spec.role {
            OptionRole::Compile | OptionRole::NoEffect => true,
            OptionRole::Run | OptionRole::Ignored | OptionRole::NoModule(_) => false,
        };
        self.line.options.iter().filter(to_stap).flat_map(GivenOption::words).collect()
    }

    /// Returns the arguments of the script, which stand behind the script's file.
    ///
    /// If one begins with `-`, a `--` must stand before the file, or `stap` takes it for an
    /// option: see [`arguments_need_separator`](Self::arguments_need_separator).
    #[must_use]
    pub fn script_args(&self) -> &[String] {
        &self.line.arguments
    }

    /// Tells whether `stap` must be given a `--` between its options and the script's file.
    #[must_use]
    pub fn arguments_need_separator(&self) -> bool {
        self.line.arguments.iter().any(|argument| argument.starts_with('-'))
    }

    /// Returns how the script is started.
    #[must_use]
    pub fn run_args(&self) -> &RunOptions {
        &self.run
    }

    /// Returns the arguments for `staprun`, without `-u` and the module.
    #[must_use]
    pub fn staprun_args(&self) -> Vec<String> {
        self.run.staprun_args()
    }

    /// Returns the last line of the `.opts` file (INIT-CACHE-03): the options for `stap` in normal
    /// form, `--`, and the arguments, joined by single blanks. It equals what the initscript
    /// computes if it [can run](Self::stock_can_run) the script.
    #[must_use]
    pub fn opts_line(&self) -> String {
        let mut words = self.compile_args();
        words.push("--".to_owned());
        words.extend_from_slice(&self.line.arguments);
        // The initscript's words have no blanks inside; a line end would make it another line.
        words.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Options that a service can't carry out, or makes no use of.
fn unfit_for_a_service(line: &CommandLine) -> Vec<OptionCause> {
    let mut causes = Vec::new();
    let mut guru = false;
    for given in &line.options {
        let option = given.spec.written();
        match (given.spec.role, given.spec.name) {
            (OptionRole::NoModule(why), _) => causes.push(OptionCause::NoModule { option, why }),
            (OptionRole::NoEffect, _) => causes.push(OptionCause::NoEffect { option }),
            // Flight recorder is what a service does anyway; it needs no remark.
            (OptionRole::Ignored, "F") => {}
            (OptionRole::Ignored, _) => causes.push(OptionCause::Ignored { option }),
            (_, "g") => guru = true,
            (_, "D") => causes.extend(dropped_macro(given.value())),
            (_, "suppress-time-limits") if !guru => causes.push(OptionCause::NeedsGuru),
            (_, "runtime") if given.value() != "kernel" => {
                let option = format!("{option}={}", given.value());
                let why = "that runtime makes no kernel module";
                causes.push(OptionCause::NoModule { option, why });
            }
            _ => {}
        }
    }
    causes
}

/// `RELAY_HOST` and `RELAY_GUEST`, with which scripts shared a buffer until 2016; the README writes them both ways.
fn dropped_macro(value: &str) -> Option<OptionCause> {
    let name = value.split_once('=').map_or(value, |(name, _)| name);
    let is_dropped = ["RELAY_HOST", "RELAY_GUEST", "RELAYHOST", "RELAYGUEST"].contains(&name);
    is_dropped.then(|| OptionCause::DroppedMacro { name: name.to_owned() })
}

/// What keeps the last initscript from running the script.
fn stock_notes(text: &str, line: &CommandLine) -> Vec<OptionCause> {
    let mut notes = Vec::new();
    for given in line.options.iter().filter(|given| !given.spec.stock) {
        let note = OptionCause::StockOption { option: given.spec.written() };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    if text.contains(['\'', '"', '\\']) {
        notes.push(OptionCause::StockQuotes);
    }
    if let Some(argument) = line.arguments.first() {
        notes.push(OptionCause::StockArgument { argument: argument.clone() });
    }
    notes
}

#[cfg(test)]
mod tests;
