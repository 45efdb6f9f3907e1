//! The files that a command writes: their places are judged before the work begins, and each is whole or not there.
//!
//! An output never takes the place of an input of the same command, of another output, or of a file of another kind. A file of its own kind
//! is replaced if the user says so (`--replace`); the same bytes are no change. What is at the place is judged once more when the bytes
//! are there, for it may have changed meanwhile.

#[cfg(feature = "farm")]
mod change;
mod kind;
mod place;
mod replace;
mod spot;
mod terms;

use std::path::{Path, PathBuf};

#[cfg(feature = "farm")]
pub(crate) use change::Change;
pub(crate) use kind::Kind;
#[cfg(feature = "farm")]
pub(crate) use kind::PAGE_BEGINNING;
pub(crate) use place::{OutputPlace, Written, is_same_file};
pub(crate) use replace::{Replace, ReplaceOption};
pub(crate) use spot::in_words;
use spot::{Spot, is_stream};
use terms::Terms;

use crate::exit::Exit;
use crate::failure::Failure;

/// A file that the command reads or writes.
#[derive(Debug)]
struct Known {
    /// As messages name it: `the key farm.key`.
    what: String,
    is_input: bool,
    spot: Spot,
}

/// All files that one command reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    replace: Replace,
    known: Vec<Known>,
}

impl Outputs {
    /// Of a command that has named no file yet.
    pub(crate) fn new(replace: impl Into<Replace>) -> Self {
        Self { replace: replace.into(), known: Vec::new() }
    }

    /// A file that the command reads, or writes to by itself; one that isn't there is reported by who reads it.
    pub(crate) fn input(&mut self, role: &str, path: &Path) {
        if let Ok(spot) = Spot::of(path) {
            self.known.push(Known { what: format!("{role} {}", path.display()), is_input: true, spot });
        }
    }

    /// The same for several.
    pub(crate) fn inputs<'p>(&mut self, role: &str, paths: impl IntoIterator<Item = &'p PathBuf>) {
        for path in paths {
            self.input(role, path);
        }
    }

    /// Judges the place for a file of `kind` that `option` names, and makes a temporary file beside it: where nothing can be
    /// written, that is known before the work.
    pub(crate) fn place(
        &mut self,
        option: &'static str,
        path: &Path,
        kind: Kind,
    ) -> Result<OutputPlace, Failure> {
        let spot = self.checked(option, path)?;
        let place =
            OutputPlace::judge(Terms { option, kind, replace: self.replace }, path, spot.path.clone())?;
        self.known.push(Known { what: format!("{option} {}", path.display()), is_input: false, spot });
        Ok(place)
    }

    /// A place for a file whose bytes give it its name: it can't be compared before.
    #[cfg(feature = "farm")]
    pub(crate) fn place_named_later(&self, option: &'static str, kind: Kind) -> Result<OutputPlace, Failure> {
        OutputPlace::without_name(Terms { option, kind, replace: self.replace })
    }

    /// Gives such a place its name.
    #[cfg(feature = "farm")]
    pub(crate) fn named(&self, place: OutputPlace, path: &Path) -> Result<OutputPlace, Failure> {
        if place.has_name() {
            return Ok(place);
        }
        let spot = self.checked(place.option(), path)?;
        place.named(path, spot.path)
    }

    /// The place of a file that the command changes: it is read, and what it becomes takes its place.
    #[cfg(feature = "farm")]
    pub(crate) fn change(path: &Path) -> Result<Change, Failure> {
        let spot =
            Spot::of(path).map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))?;
        Change::of(path, spot.path)
    }

    fn checked(&self, option: &str, path: &Path) -> Result<Spot, Failure> {
        let spot =
            Spot::of(path).map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))?;
        // All may go to one device: /dev/null, or a terminal.
        if is_stream(&spot.path) {
            return Ok(spot);
        }
        match self.known.iter().find(|known| known.spot.is_same(&spot)) {
            Some(known) => {
                let what = format!("{option} {} is the same file as {}", path.display(), known.what);
                let exit = if known.is_input { Exit::Conflict } else { Exit::Usage };
                Err(Failure::new(exit, what).hint(format!("name another file: {option} FILE")))
            }
            None => Ok(spot),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "farm")]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Bytes that are taken for a message to be signed.
    fn message(text: &str) -> Vec<u8> {
        format!("DSSEv1 {text}").into_bytes()
    }

    fn place(path: &Path, replace: bool) -> OutputPlace {
        Outputs::new(replace).place("-o", path, Kind::Message).unwrap()
    }

    #[test]
    fn a_file_that_appears_meanwhile_is_judged_before_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        for (meanwhile, replace, exit) in [
            (b"-----BEGIN PRIVATE KEY-----".to_vec(), true, Some(Exit::Conflict)),
            (message("other"), false, Some(Exit::Conflict)),
            (message("other"), true, None),
            (message("mine"), false, None),
        ] {
            let _ = fs::remove_file(&path);
            let mut place = place(&path, replace);
            place.write_all(&message("mine")).unwrap();
            fs::write(&path, &meanwhile).unwrap();
            let refused = place.check().err().map(|failure| failure.exit);
            assert_eq!(refused, exit);
            assert_eq!(place.finish().err().map(|failure| failure.exit), exit);
            let expected = if exit.is_some() { meanwhile } else { message("mine") };
            assert_eq!(fs::read(&path).unwrap(), expected);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a temporary file was left");
        }
    }

    #[test]
    fn what_is_behind_links_is_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("d")).unwrap();
        symlink("d", at("e")).unwrap();
        fs::write(at("d/one"), message("one")).unwrap();
        fs::hard_link(at("d/one"), at("hard")).unwrap();
        symlink("e/one", at("soft")).unwrap();
        symlink("d/new", at("to-new")).unwrap();
        for name in ["d/one", "e/one", "hard", "soft", "d/../e/./one"] {
            let mut outputs = Outputs::new(true);
            outputs.input("the file", &at("d/one"));
            let failure = outputs.place("-o", &at(name), Kind::Message).unwrap_err();
            assert_eq!(failure.exit, Exit::Conflict, "{name}");
        }
        let mut outputs = Outputs::new(true);
        let new = outputs.place("-o", &at("e/new"), Kind::Message).unwrap();
        let failure = outputs.place("--report", &at("to-new"), Kind::Report).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        new.write_bytes(&message("new")).unwrap();
        assert_eq!(fs::read(at("d/new")).unwrap(), message("new"));

        place(&at("soft"), true).write_bytes(&message("two")).unwrap();
        assert!(at("soft").is_symlink());
        assert_eq!(fs::read(at("d/one")).unwrap(), message("two"));
        assert_eq!(fs::read(at("hard")).unwrap(), message("one"));
    }

    #[test]
    fn a_change_is_refused_if_the_file_was_changed_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("roots.stapr");
        fs::write(&path, "one").unwrap();
        let put = |target: &mut dyn std::io::Write| {
            target.write_all(b"two").map_err(|error| Failure::of(Exit::Storage, &error))
        };
        let change = Outputs::change(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert_eq!(change.write(put).unwrap_err().exit, Exit::Conflict);
        assert_eq!(fs::read(&path).unwrap(), b"other");
        Outputs::change(&path).unwrap().write(put).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }
}
