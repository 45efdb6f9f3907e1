//! What may be written at a place.

use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::{fs, io};

use files::read::open;

use super::kind::{Found, Kind, found_in};
use super::replace::Replace;
use crate::exit::Exit;
use crate::failure::Failure;

/// By what a place is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The option by which the user names the file.
    pub(super) option: &'static str,
    pub(super) kind: Kind,
    pub(super) replace: Replace,
}

#[derive(Debug)]
pub(super) struct Name {
    /// As the user gave it.
    pub(super) shown: PathBuf,
    /// Where links lead.
    pub(super) path: PathBuf,
}

/// What is at a place.
pub(super) enum Standing {
    Free,
    /// A file of the same kind, or an empty one.
    There {
        /// Whether it may be replaced by other bytes.
        replaceable: bool,
    },
}

impl Terms {
    /// What is at the place; a failure if nothing may be written there at all.
    pub(super) fn standing(&self, name: &Name) -> Result<Standing, Failure> {
        let shown = name.shown.display();
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(&shown);
        let metadata = match fs::symlink_metadata(&name.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Free),
            Err(error) => return Err(failed(error)),
        };
        if metadata.is_dir() {
            let what = format!("{shown} is a directory, expected the name of a file");
            return Err(Failure::new(Exit::Usage, what).hint(format!("name the file: {} FILE", self.option)));
        }
        if !metadata.is_file() {
            let what = if metadata.file_type().is_socket() { "a socket" } else { "no regular file" };
            return Err(self.foreign(name, what));
        }
        let mut file = open(&name.path).map_err(|error| failed(error.into_source()))?;
        match found_in(&mut file).map_err(failed)? {
            Found::Empty => Ok(Standing::There { replaceable: true }),
            Found::Of(kind) if kind == self.kind => {
                Ok(Standing::There { replaceable: self.replace == Replace::Yes })
            }
            found => Err(self.foreign(name, found)),
        }
    }

    fn foreign(&self, name: &Name, found: impl std::fmt::Display) -> Failure {
        let what = format!("won't overwrite {}: it is {found}, not {}", name.shown.display(), self.kind);
        Failure::new(Exit::Conflict, what).hint(self.another())
    }

    pub(super) fn other_bytes(&self, name: &Name) -> Failure {
        let shown = name.shown.display();
        let what = if self.kind.repeats() {
            format!("{shown} exists already: {} with other bytes", self.kind)
        } else {
            format!("{shown} exists already: {}", self.kind)
        };
        let failure = Failure::new(Exit::Conflict, what);
        match self.replace {
            Replace::Never => failure.hint(format!("move it away, or {}", self.another())),
            _ => failure.hint("to replace it: --replace").hint(format!("or {}", self.another())),
        }
    }

    pub(super) fn another(&self) -> String {
        format!("name another file: {} FILE", self.option)
    }
}
