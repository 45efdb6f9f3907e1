//! The options with which `staprun` starts a script.

use serde::Serialize;
use thiserror::Error;

use super::command_line::CommandLine;
use crate::problem::OptionCause;

/// Where a script's output is kept. A service always runs a flight recorder (INIT-OPT-05).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recorder {
    /// In buffers of the kernel, read later with `staprun -A` (`staprun -L`, INIT-OPT-08).
    #[default]
    Memory,
    /// In a file that a background process writes (`staprun -D -o`, INIT-OPT-07).
    File {
        /// The absolute path, which may hold `strftime` patterns.
        output: String,
    },
}

/// When the recorder goes on to the next file, and how many files it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The size at which a file is full, in megabytes.
    pub size_mb: u32,
    /// How many files are kept; all of them if nothing is given.
    pub files: Option<u32>,
}

/// How a script is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunOptions {
    /// `-o`: where the output is kept.
    pub mode: Recorder,
    /// `-s`: the buffer in megabytes, 1 to 4095.
    pub buffer_mb: Option<u32>,
    /// `-S`: rotation of the output file.
    pub rotate: Option<Rotation>,
    /// `-c`: the command to start and to watch, in manifests of 0.1.0. A configuration can't have one.
    pub command: Option<String>,
    /// `-x`: the process to watch.
    pub pid: Option<u32>,
    /// `--save-uprobes`: the service adds `-uPATH` if a uprobes module was kept (INIT-START-13).
    pub save_uprobes: bool,
}

/// Why a list isn't one that [`RunOptions::staprun_args`] writes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RunArgumentsError {
    /// It begins with another mode, or with none.
    #[error("they begin with neither -L nor -D -o FILE")]
    Recorder,
    /// The output file could be anywhere.
    #[error("the output file {path:?} is not an absolute path without ..")]
    Output { path: String },
    /// A module, or an option that a service doesn't give.
    #[error("{word:?} is none of -S, -b, -c and -x")]
    Word { word: String },
    /// An option without a value, or with one that is out of range.
    #[error("{value:?} is no value of {option}")]
    Value {
        option: String,
        /// Its value; empty if there is none.
        value: String,
    },
    /// Options that exclude each other.
    #[error("two of the options exclude each other")]
    Conflict,
    /// Another order, an option given twice, or a number with leading zeros.
    #[error("they are not in normal form")]
    NotCanonical,
}

impl RunOptions {
    /// Reads exactly what [`staprun_args`](Self::staprun_args) writes, and nothing else: `staprun`
    /// as root loads, removes and attaches to whatever other lists say.
    ///
    /// ```
    /// use script_config::RunOptions;
    /// let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    /// assert!(RunOptions::from_staprun_args(&list("-L -b 8")).is_ok());
    /// assert!(RunOptions::from_staprun_args(&list("-L /tmp/other.ko")).is_err());
    /// ```
    pub fn from_staprun_args(args: &[String]) -> Result<Self, RunArgumentsError> {
        let (mode, rest) = recorder(args)?;
        let mut run = Self { mode, ..Self::default() };
        for pair in rest.chunks(2) {
            let (option, value) = match pair {
                [option, value] => (option.as_str(), value.as_str()),
                [option] => (option.as_str(), ""),
                _ => continue,
            };
            run.take(option, value)?;
        }
        if run.excludes_itself() {
            return Err(RunArgumentsError::Conflict);
        }
        if run.staprun_args() == args { Ok(run) } else { Err(RunArgumentsError::NotCanonical) }
    }

    /// Takes one option of `staprun` behind the mode.
    fn take(&mut self, option: &str, value: &str) -> Result<(), RunArgumentsError> {
        let outcome = match option {
            "-S" => rotation(value).map(|rotation| self.rotate = Some(rotation)),
            "-b" => buffer_size(value).map(|size| self.buffer_mb = Some(size)),
            "-c" => command(value).map(|command| self.command = Some(command)),
            "-x" => pid(value).map(|pid| self.pid = Some(pid)),
            _ => return Err(RunArgumentsError::Word { word: option.to_owned() }),
        };
        outcome.map_err(|_| RunArgumentsError::Value { option: option.to_owned(), value: value.to_owned() })
    }

    fn excludes_itself(&self) -> bool {
        let memory = self.mode == Recorder::Memory;
        (memory && self.rotate.is_some()) || (self.command.is_some() && (!memory || self.pid.is_some()))
    }

    /// Returns the arguments for `staprun`, without `-u` and the module.
    ///
    /// `-s` of stap is `-b` of staprun; only these options reach it (INIT-OPT section 9.2).
    #[must_use]
    pub fn staprun_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        match &self.mode {
            Recorder::Memory => args.push("-L".to_owned()),
            Recorder::File { output } => {
                args.extend(["-D".to_owned(), "-o".to_owned(), output.clone()]);
            }
        }
        let mut pair = |option: &str, value: Option<String>| {
            args.extend(value.map(|value| [option.to_owned(), value]).into_iter().flatten());
        };
        let rotation = self.rotate.map(|Rotation { size_mb, files }| match files {
            Some(files) => format!("{size_mb},{files}"),
            None => size_mb.to_string(),
        });
        pair("-S", rotation);
        pair("-b", self.buffer_mb.map(|size| size.to_string()));
        pair("-c", self.command.clone());
        pair("-x", self.pid.map(|pid| pid.to_string()));
        args
    }

    /// Picks the run options from a command line. Of an option given twice the last counts, as
    /// with `staprun`.
    pub(super) fn pick(line: &CommandLine, problems: &mut Vec<OptionCause>) -> Self {
        let mut run = Self::default();
        for option in &line.options {
            let outcome = match option.spec.name {
                "o" => absolute(option.value()).map(|output| run.mode = Recorder::File { output }),
                "s" => buffer_size(option.value()).map(|size| run.buffer_mb = Some(size)),
                "S" => rotation(option.value()).map(|rotation| run.rotate = Some(rotation)),
                "c" => Err(OptionCause::Command { command: option.value().to_owned() }),
                "x" => pid(option.value()).map(|pid| run.pid = Some(pid)),
                "save-uprobes" => {
                    run.save_uprobes = true;
                    Ok(())
                }
                _ => Ok(()),
            };
            problems.extend(outcome.err());
        }
        problems.extend(rotation_without_output(line));
        run
    }
}

/// What staprun would refuse only at start (INIT-OPT-06). By what was given, so that a wrong -o isn't also reported as missing.
fn rotation_without_output(line: &CommandLine) -> Option<OptionCause> {
    let given = |name| line.options.iter().rev().find(|option| option.spec.name == name);
    match (given("S"), given("o")) {
        (Some(rotation), None) => {
            Some(OptionCause::RotationWithoutOutput { value: rotation.value().to_owned() })
        }
        _ => None,
    }
}

/// Reads the mode, with which a list begins; also returns the rest.
fn recorder(args: &[String]) -> Result<(Recorder, &[String]), RunArgumentsError> {
    match args {
        [mode, rest @ ..] if mode == "-L" => Ok((Recorder::Memory, rest)),
        [mode, option, path, rest @ ..] if mode == "-D" && option == "-o" => {
            let output = absolute(path).map_err(|_| RunArgumentsError::Output { path: path.clone() })?;
            Ok((Recorder::File { output }, rest))
        }
        _ => Err(RunArgumentsError::Recorder),
    }
}

fn absolute(path: &str) -> Result<String, OptionCause> {
    if !path.starts_with('/') || path.ends_with('/') {
        Err(OptionCause::RelativeOutput { path: path.to_owned() })
    } else if path.split('/').any(|part| part == "..") {
        Err(OptionCause::ClimbingOutput { path: path.to_owned() })
    } else {
        Ok(path.to_owned())
    }
}

/// A decimal number from `least`, without the signs and blanks that C would accept.
fn number(text: &str, least: u32, most: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

fn buffer_size(value: &str) -> Result<u32, OptionCause> {
    number(value, 1, 4095).ok_or_else(|| OptionCause::BufferSize { value: value.to_owned() })
}

fn rotation(value: &str) -> Result<Rotation, OptionCause> {
    let parts = match value.split_once(',') {
        None => number(value, 1, u32::MAX).map(|size_mb| Rotation { size_mb, files: None }),
        Some((size, files)) => number(size, 1, u32::MAX)
            .zip(number(files, 1, u32::MAX))
            .map(|(size_mb, files)| Rotation { size_mb, files: Some(files) }),
    };
    parts.ok_or_else(|| OptionCause::Rotation { value: value.to_owned() })
}

/// Of a manifest: bundles were made with commands when nobody knew that these never run.
fn command(value: &str) -> Result<String, OptionCause> {
    if value.trim().is_empty() {
        Err(OptionCause::Command { command: value.to_owned() })
    } else {
        Ok(value.to_owned())
    }
}

fn pid(value: &str) -> Result<u32, OptionCause> {
    /// The kernel's `PID_MAX_LIMIT` on 64-bit machines.
    const MOST: u32 = 4 * 1024 * 1024;
    number(value, 1, MOST).ok_or_else(|| OptionCause::Pid { value: value.to_owned() })
}
