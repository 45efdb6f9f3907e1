//! The programs of systemtap that make and run a server.

use std::path::PathBuf;

use crate::error::ServerError;

/// Where packages put the daemon: Debian's, then Fedora's place.
const DIRECTORIES: [&str; 2] = ["/usr/lib/systemtap", "/usr/libexec/systemtap"];

/// Names another directory.
const DIRECTORY_VARIABLE: &str = "STAP_BUNDLE_SERVERD_DIR";

/// Where systemtap's programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    directories: Vec<PathBuf>,
}

impl Programs {
    /// In `$STAP_BUNDLE_SERVERD_DIR`, or where packages put them.
    #[must_use]
    pub fn find() -> Self {
        match std::env::var_os(DIRECTORY_VARIABLE) {
            Some(directory) => Self { directories: vec![directory.into()] },
            None => Self { directories: DIRECTORIES.map(PathBuf::from).into() },
        }
    }

    /// A program of systemtap that isn't in anybody's PATH.
    pub fn program(&self, name: &'static str) -> Result<PathBuf, ServerError> {
        let mut paths = self.directories.iter().map(|directory| directory.join(name));
        let searched = || self.directories.iter().map(|path| path.display().to_string()).collect();
        let found = paths.find(|path| path.is_file());
        found.ok_or_else(|| ServerError::NoProgram { program: name, searched: searched() })
    }

    pub(crate) fn daemon(&self) -> Result<PathBuf, ServerError> {
        self.program("stap-serverd")
    }

    pub(crate) fn certificate_generator(&self) -> Result<PathBuf, ServerError> {
        self.program("stap-gen-cert")
    }

    /// The `stap` that serves requests, as a word for a shell: `$SYSTEMTAP_STAP`, as for the daemon itself (PROTO-05).
    #[expect(clippy::unused_self, reason = "one place for all programs")]
    pub(crate) fn stap(&self) -> String {
        let chosen = std::env::var("SYSTEMTAP_STAP").ok().filter(|path| !path.is_empty());
        chosen.map_or_else(|| "stap".to_owned(), |path| format!("'{}'", path.replace('\'', r"'\''")))
    }
}
