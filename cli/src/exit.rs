//! Every exit code, in one place; the manual page's table is made from it.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked for is done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `status`: no script runs (LSB 3).
    NotRunning = 3,
    /// `status`: a module of that name is loaded, but it isn't ours (LSB 4).
    Foreign = 4,
    /// Dependencies can't be put in order (as the initscript).
    Order = 6,
    /// A signature, a key or a revocation says no.
    Trust = 10,
    /// Malformed, or over a limit.
    Malformed = 11,
    /// It doesn't fit this host.
    DoesNotFit = 12,
    /// Older than what is installed, expired, or two bundles with one serial.
    Stale = 13,
    /// No space, or an I/O error.
    Storage = 14,
    /// Another stap-bundle holds the lock.
    Locked = 15,
    /// A conflict between bundles, a foreign file, or something would go that is used here.
    Conflict = 16,
    /// A base, part or frame is missing.
    Missing = 17,
    /// The bundle is written, with red cells.
    RedCells = 20,
    /// No bundle was written.
    NoBundle = 21,
    /// This program was built without that part, or something needs a newer one.
    NotBuilt = 30,
    /// Ctrl-C, as a shell counts signals.
    Interrupted = 130,
    /// Another signal, most often TERM.
    Terminated = 143,
}

impl Exit {
    /// All codes with what they mean, for the manual page.
    pub const TABLE: &'static [(Self, &'static str)] = &[
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::Usage, "wrong usage"),
        (Self::NotRunning, "status: no script runs; attach: it doesn't run; server status: no server runs"),
        (Self::Foreign, "status: a module of a script's name is loaded but isn't ours"),
        (Self::Order, "the scripts' requirements can't be put in order"),
        (Self::Trust, "refused: signature, trust or revocation"),
        (Self::Malformed, "malformed, damaged or over a limit"),
        (Self::DoesNotFit, "refused: doesn't fit this host"),
        (Self::Stale, "refused: older than what is installed, expired, or two bundles with one serial"),
        (Self::Storage, "no space, or an I/O error"),
        (Self::Locked, "another stap-bundle holds the lock"),
        (Self::Conflict, "a conflict between bundles, a foreign file, or what is used here would go"),
        (Self::Missing, "a part of the bundle that is needed is not in the file"),
        (Self::RedCells, "the bundle is written, with red cells"),
        (Self::NoBundle, "no bundle was written"),
        (Self::NotBuilt, "this program was built without that part, or something needs a newer one"),
        (Self::Interrupted, "ended by Ctrl-C"),
        (Self::Terminated, "ended by TERM"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as text for `--help` and the manual page.
pub(crate) fn table() -> String {
    let rows = Exit::TABLE.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.code()));
    format!("Exit codes:\n{}", rows.collect::<String>())
}
