//! What is to be run.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::course::TERM_GRACE;
use crate::{ChildError, Program};

/// A command line with everything that the child will be given.
///
/// The child starts with an empty environment, `/dev/null` as its standard input, this process's working directory and
/// a process group of its own.
#[derive(Debug, Clone)]
pub struct ChildCommand {
    program: OsString,
    found: Option<Program>,
    args: Vec<OsString>,
    directory: Option<PathBuf>,
    inherit_environment: bool,
    environment: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    combined: bool,
    asked_with: Signal,
    grace: Duration,
}

impl ChildCommand {
    /// Begins a command for `program`, a name along PATH or a path; it is looked up when it is run.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            found: None,
            args: Vec::new(),
            directory: None,
            inherit_environment: false,
            environment: Vec::new(),
            input: None,
            combined: false,
            asked_with: Signal::TERM,
            grace: TERM_GRACE,
        }
    }

    /// Begins a command for a program that was found before.
    #[must_use]
    pub fn of(program: &Program) -> Self {
        Self { found: Some(program.clone()), ..Self::new(program.name()) }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets the directory in which the child starts.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets one variable of the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Hands on one variable of this process's environment, if it is set here.
    #[must_use]
    pub fn env_from_here(self, name: impl AsRef<OsStr>) -> Self {
        match std::env::var_os(name.as_ref()) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Hands on the whole environment of this process; variables set by [`ChildCommand::env`] win.
    #[must_use]
    pub fn inherit_environment(mut self) -> Self {
        self.inherit_environment = true;
        self
    }

    /// Gives the child these bytes on its standard input, then the end of the file.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Sends standard error where standard output goes, in the order written: both are in [`Finished::stdout`] then.
    #[must_use]
    pub fn combined_output(mut self) -> Self {
        self.combined = true;
        self
    }

    /// When it is cancelled or over its time, asks it to end by QUIT and not by TERM, and gives it `grace` before it is
    /// killed: for programs to which TERM means more than their own end.
    #[must_use]
    pub fn asked_with_quit(mut self, grace: Duration) -> Self {
        self.asked_with = Signal::QUIT;
        self.grace = grace;
        self
    }

    /// The command line, quoted for a shell.
    #[must_use]
    pub fn display(&self) -> String {
        let words: Vec<_> = std::iter::once(&self.program)
            .chain(&self.args)
            .map(|word| quoted(&word.to_string_lossy()))
            .collect();
        words.join(" ")
    }

    pub(crate) fn asked(&self) -> (Signal, Duration) {
        (self.asked_with, self.grace)
    }

    pub(crate) fn input_bytes(&self) -> Option<&[u8]> {
        self.input.as_deref()
    }

    pub(crate) fn is_combined(&self) -> bool {
        self.combined
    }

    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Makes the command of the standard library, without its outputs.
    pub(crate) fn prepare(&self) -> Result<Command, ChildError> {
        let found = match &self.found {
            Some(found) => found.clone(),
            None => Program::find(&self.program)?,
        };
        let mut command = Command::new(found.path());
        command.arg0(found.name()).args(&self.args).process_group(0);
        if !self.inherit_environment {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        Ok(command)
    }
}

impl fmt::Display for ChildCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

/// Quotes one word for a shell, in the plainest way. (shlex splits a word with backslashes into several quoted pieces,
/// which nobody can read in the one command line that matters most here, that of `stap`.)
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_quoted_for_a_shell() {
        let command = ChildCommand::new("stap")
            .args(["-E", "probe x {$value = \"a\\n\"}", "-m", "a"])
            .args(["it's", ""]);
        assert_eq!(command.display(), r#"stap -E 'probe x {$value = "a\n"}' -m a 'it'\''s' ''"#);
        assert_eq!(command.to_string(), command.display());
    }
}
