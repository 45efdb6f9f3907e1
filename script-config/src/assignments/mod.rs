//! The part of bash that configuration files use, read without running anything.
//!
//! Configuration files are bash scripts which the original sources (INIT-CFG-01). What is read
//! here, with the meaning that bash gives it:
//!
//! - `NAME=value` and `NAME+=value`, several on a line, separated by blanks or `;`;
//! - `export NAME=value`, `export NAME`;
//! - `'…'`, `"…"`, `\x`, and a `\` that continues a line;
//! - `$NAME`, `${NAME}`, `${NAME:-default}`, the default nested at most [`MAX_NESTING`](crate::limits::MAX_NESTING) deep;
//! - comments and empty lines.
//!
//! Anything else is refused with its place, and a file with anything refused changes nothing.
//! Some points of bash that matter here:
//!
//! - A value is neither split at blanks nor matched against file names. A brace is only a brace,
//!   except after `export`, where bash expands `{a,b}`; there it is refused.
//! - The assignments of a line happen from left to right and see each other; the words after one
//!   `export` are all expanded before the first is assigned.
//! - A `~` that bash would replace (at the start of a value, after `:` or `=`) is refused: what it
//!   stands for depends on who starts the service.
//! - A carriage return is an ordinary character for bash, so a file with CRLF line ends gives
//!   every value a tail that nobody sees. It is refused, with the command that mends the file.
//! - Variables that bash itself owns (`UID`, `RANDOM`, `IFS`, `BASH_…`) are neither set nor read.
//!   Those of the environment (`HOME`, `PATH`, `LANG` …) can be set, with a warning that it has no
//!   effect here, and read once the configuration has set them.
//! - Any other variable that isn't set is empty, with a warning.

mod cursor;
mod environment;
mod evaluation;
mod refused;
mod shell_names;
mod statements;
mod values;

pub(crate) use shell_names::{Owner, owner};

pub use environment::{Environment, Value};

use crate::problem::{ConfigProblem, has_errors};

/// Reads a configuration file into `environment`.
///
/// `file` is the name that places show. The meaning equals that of bash started with an empty
/// environment in which the variables of `environment` are set.
///
/// Returns the warnings. If anything is refused, returns all problems and leaves `environment`
/// as it was.
///
/// ```
/// use script_config::{Environment, parse_assignments};
/// let mut environment = Environment::new();
/// parse_assignments("group1.conf", "DIR=/var/log\ns1_OPT=\"-o $DIR/s1\"", &mut environment)
///     .unwrap();
/// assert_eq!(environment.text("s1_OPT"), Some("-o /var/log/s1"));
/// ```
pub fn parse_assignments(
    file: &str,
    text: &str,
    environment: &mut Environment,
) -> Result<Vec<ConfigProblem>, Vec<ConfigProblem>> {
    let (statements, mut problems) = statements::read(file, text);
    let outcome = evaluation::evaluate(&statements, environment);
    problems.extend(outcome.problems);
    problems.sort_by(|a, b| a.place().cmp(&b.place()));
    if has_errors(&problems) {
        return Err(problems);
    }
    environment.adopt(outcome.assigned, outcome.read);
    Ok(problems)
}

#[cfg(test)]
mod tests;
