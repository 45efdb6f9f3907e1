//! What a failed command line lacks on this machine, and the command that gives it: known only where the whole line is.

use std::error::Error;
use std::io;
use std::path::Path;

use files::Unprotected;

/// What the causes of a failure say of this machine.
#[derive(Debug, Default)]
pub(crate) struct WayOut {
    /// The system denied something.
    is_denied: bool,
    /// Others could change something that counts.
    unprotected: Option<Unprotected>,
}

/// Commands that change what only root may change.
const OF_ROOT: &[&str] = &[
    "adopt",
    "boot-guard-reset",
    "boot-guard-settle",
    "cleanup",
    "compile",
    "fsck",
    "gc",
    "install",
    "mask",
    "pin",
    "restart",
    "rollback",
    "start",
    "stop",
    "trust-add",
    "trust-remove",
    "trust-update",
    "try-restart",
    "uninstall",
    "unmask",
];

impl WayOut {
    /// The system would deny it to an ordinary user.
    pub(crate) fn denied() -> Self {
        Self { is_denied: true, ..Self::default() }
    }

    /// Looks at one cause.
    pub(crate) fn look_at(&mut self, cause: &(dyn Error + 'static)) {
        self.is_denied |= cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        match cause.downcast_ref::<Unprotected>() {
            Some(Unprotected::Owner { path, owner }) => {
                self.unprotected = Some(Unprotected::Owner { path: path.clone(), owner: *owner });
            }
            Some(Unprotected::Writable { path, mode }) => {
                self.unprotected = Some(Unprotected::Writable { path: path.clone(), mode: *mode });
            }
            Some(Unprotected::Storage(_)) | None => {}
        }
    }
}

/// A place that others could change.
pub(crate) struct OpenPlace {
    /// What a cause says of it, without the root.
    pub(crate) said: String,
    /// The same, with the place as the user names it.
    pub(crate) named: String,
    /// The command that mends it.
    pub(crate) command: Option<String>,
}

impl WayOut {
    /// The place, if that is why, for a file system at `root`.
    pub(crate) fn open_place(&self, root: &Path) -> Option<OpenPlace> {
        let unprotected = self.unprotected.as_ref()?;
        let (Unprotected::Owner { path, .. } | Unprotected::Writable { path, .. }) = unprotected else {
            return None;
        };
        let said = unprotected.to_string();
        let place = Unprotected::below(root, path).display().to_string();
        let named = said.replacen(&path.display().to_string(), &place, 1);
        Some(OpenPlace { said, named, command: unprotected.mended_by(root) })
    }

    /// The same command line as root, if only root may run this command and the system denied something.
    pub(crate) fn as_root(&self, command: &str) -> Option<String> {
        if !self.is_denied || rustix::process::geteuid().is_root() || !OF_ROOT.contains(&command) {
            return None;
        }
        let words = std::env::args_os().map(|word| script_config::quote_word(&word.to_string_lossy()));
        Some(format!("sudo {}", words.collect::<Vec<_>>().join(" ")))
    }
}
