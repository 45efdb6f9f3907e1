//! The names in the state directory: numbers of generations, and the link that makes one current.

use std::io::ErrorKind;

use files::{Directory, FileError, optional};

use crate::host::paths::{CURRENT, GENERATIONS, NEXT};

/// Where the link `name` of the state directory points: the number of a generation.
pub(crate) fn linked_number(state: &Directory, name: &str) -> Result<Option<u64>, FileError> {
    let target = match optional(state.read_link(name)) {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            return Err(wrong_link(state, name, "it is no link".to_owned()));
        }
        Err(error) => return Err(error),
    };
    let number =
        target.strip_prefix(GENERATIONS).and_then(|rest| rest.strip_prefix('/')).and_then(parse_number);
    let wrong = || wrong_link(state, name, format!("it points to `{target}`, not to a generation"));
    number.map(Some).ok_or_else(wrong)
}

fn wrong_link(state: &Directory, name: &str, problem: String) -> FileError {
    FileError::new("use link", state.path().join(name), std::io::Error::other(problem))
}

/// The number of the current generation; `None` before the first install. A link that is missing beside a generation that was
/// current once is lost: an error, for nobody may take that for a host without bundles.
pub(crate) fn current_number(state: &Directory) -> Result<Option<u64>, FileError> {
    if let Some(number) = linked_number(state, CURRENT)? {
        return Ok(Some(number));
    }
    let Some(generations) = optional(state.open_dir(GENERATIONS))? else { return Ok(None) };
    let never_current = linked_number(state, NEXT).unwrap_or(None);
    let numbers = generation_numbers(&generations)?;
    let Some(newest) = numbers.into_iter().rev().find(|number| Some(*number) != never_current) else {
        return Ok(None);
    };
    // The first install of all may have ended meanwhile.
    let found = linked_number(state, CURRENT)?;
    let lost = || wrong_link(state, CURRENT, format!("it is missing, though generation {newest} is there"));
    found.map(Some).ok_or_else(lost)
}

/// The numbers of all generations, ascending.
pub(crate) fn generation_numbers(generations: &Directory) -> Result<Vec<u64>, FileError> {
    let mut numbers: Vec<u64> = generations.entries()?.iter().filter_map(|name| parse_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A number as we write it: no sign, no leading zero.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Makes the link `name` to generation `number`, on the disk when this returns.
pub(crate) fn prepare_link(state: &Directory, name: &str, number: u64) -> Result<(), FileError> {
    state.unlink_if_there(name)?;
    state.symlink(&format!("{GENERATIONS}/{number}"), name)?;
    state.sync()
}

/// On which side of the switch a failure was.
#[derive(Debug)]
pub(crate) enum SwitchError {
    /// What was current still is.
    Before(FileError),
    /// Generation `number` is current, but perhaps not after a power cut.
    NotConfirmed { number: u64, source: FileError },
}

impl From<FileError> for SwitchError {
    fn from(error: FileError) -> Self {
        Self::Before(error)
    }
}

/// Renames a link to generation `number`, made by [`prepare_link`], over `current`: the switch. On the
/// disk when this returns without an error.
pub(crate) fn switch_to(state: &Directory, prepared: &str, number: u64) -> Result<(), SwitchError> {
    state.rename(prepared, CURRENT)?;
    state.sync().map_err(|source| SwitchError::NotConfirmed { number, source })
}

#[cfg(test)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;

    #[test]
    fn a_switch_that_the_disk_does_not_confirm_is_not_called_undone() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("generations/7", directory.path().join(".next")).unwrap();
        // Names can be renamed beneath such a descriptor, but it can't be synced.
        let fd = rustix::fs::open(directory.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let state = Directory::new(fd, directory.path().to_owned());
        let error = switch_to(&state, ".next", 7).unwrap_err();
        assert!(matches!(error, SwitchError::NotConfirmed { number: 7, .. }), "{error:?}");
        assert_eq!(current_number(&state).unwrap(), Some(7));
        let said = crate::InstallError::from(error).to_string();
        assert_eq!(said, "generation 7 is current, but the disk didn't confirm it");
        let error = switch_to(&state, ".next", 7).unwrap_err();
        assert!(matches!(error, SwitchError::Before(_)), "{error:?}");
    }

    #[test]
    fn a_lost_or_spoilt_link_is_no_host_without_bundles() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let state = files::FileSystem::open(directory.path()).unwrap().open_dir("/").unwrap();
        assert_eq!(current_number(&state).unwrap(), None);
        std::fs::create_dir_all(at("generations/1")).unwrap();
        let said = |state| files::with_causes(&current_number(state).unwrap_err());
        assert_eq!(said(&state), "can't use link /current: it is missing, though generation 1 is there");
        // What a killed first install leaves.
        std::os::unix::fs::symlink("generations/1", at(".next")).unwrap();
        assert_eq!(current_number(&state).unwrap(), None);
        std::fs::write(at("current"), "generations/1").unwrap();
        assert_eq!(said(&state), "can't use link /current: it is no link");
        std::fs::remove_file(at("current")).unwrap();
        std::os::unix::fs::symlink("generations/one", at("current")).unwrap();
        assert_eq!(
            said(&state),
            "can't use link /current: it points to `generations/one`, not to a generation"
        );
    }

    #[test]
    fn only_our_own_numbers_are_generations() {
        assert_eq!(parse_number("7"), Some(7));
        for text in ["", "07", "+7", "-1", "7 ", ".staging-7", "99999999999999999999"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }
}
