//! Why something on the host isn't believed: others could have written it.

use std::path::Path;

use files::Unprotected;

use files::with_causes;

/// Why one of the service's own files isn't believed.
#[derive(Debug, thiserror::Error)]
#[error("{}", words(.why, .command.as_deref()))]
pub struct Disbelief {
    pub(crate) why: Unprotected,
    /// What mends it.
    command: Option<String>,
}

fn words(why: &Unprotected, command: Option<&str>) -> String {
    let mut text = with_causes(why);
    if let Some(command) = command {
        text = format!("{text}: {command}");
    }
    text
}

impl Disbelief {
    /// Whether others could have written it; otherwise it couldn't be read.
    pub(crate) const fn is_of_others(&self) -> bool {
        !matches!(self.why, Unprotected::Storage(_))
    }

    /// With the command that mends it, where the host's root is `root` on this machine.
    pub(crate) fn of(root: &Path, why: Unprotected) -> Self {
        let command = why.mended_by(root);
        Self { why, command }
    }
}
