//! Whether a file that is there may be replaced.

/// What becomes of a file of the same kind with other bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Replace {
    /// It stays, and `--replace` would change that.
    #[default]
    Unless,
    /// It is replaced.
    Yes,
    /// It stays: it may be the last of its kind, as a chain of roots is.
    Never,
}

impl From<bool> for Replace {
    fn from(asked: bool) -> Self {
        if asked { Self::Yes } else { Self::Unless }
    }
}

/// The switch of commands that may replace a file.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ReplaceOption {
    /// Replace what is there, if it is a file of the same kind
    ///
    /// Without it such a file stays, and the command ends with 16, unless the bytes are the same. An input of the command or a file of
    /// another kind is never replaced.
    #[arg(hide_short_help = true, long)]
    pub(crate) replace: bool,
}
