//! What a child may use, and what came of it.

use std::time::Duration;

use crate::Captured;

/// How long pipes that descendants keep open are read after the child itself has ended.
///
/// `staprun -D` needs it: the process started ends at once, and only its daemon then prints the process id to the
/// inherited standard output and closes that (`stapio`, daemon mode).
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(1);

/// Bytes kept of each stream where a caller has no better idea: a long `stap` log is a few hundred kilobytes.
pub const DEFAULT_OUTPUT_CAP: usize = 1 << 20;

/// What a child may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time from start to end; `None` for no limit.
    pub time: Option<Duration>,
    /// Bytes kept of each stream; see [`Captured`].
    pub output_cap: usize,
    /// Patience with pipes that outlive the child; see [`DEFAULT_DRAIN`].
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: None, output_cap: DEFAULT_OUTPUT_CAP, drain: DEFAULT_DRAIN }
    }
}

impl Limits {
    /// Limits with this wall-clock time and defaults for the rest.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self { time: Some(time), ..Self::default() }
    }
}

/// Which of its streams a child wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output; both, where the command asked for combined output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal, which didn't come from us.
    Signal(i32),
    /// Its group was killed at the time limit, which was this.
    TimedOut(Duration),
    /// Its group was killed because the run was cancelled; or it wasn't started at all.
    Cancelled,
}

impl Ended {
    /// Tells whether the child ended by itself with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(f, "killed at the time limit of {} s", limit.as_secs_f64())
            }
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// A child that has ended and was reaped.
#[derive(Debug, Clone)]
pub struct Finished {
    pub status: Ended,
    /// What it wrote to standard output.
    pub stdout: Captured,
    /// What it wrote to standard error; empty with combined output.
    pub stderr: Captured,
    /// From start to end, without the drain.
    pub wall: Duration,
    /// User plus system time of the child and the descendants it waited for, as far as the kernel told.
    pub cpu: Option<Duration>,
    /// A descendant still had one of the pipes open when we stopped reading.
    pub left_open: bool,
}
