//! The names in the state directory: numbers of generations, and the link that makes one current.

use files::{Directory, FileError, optional};

use crate::host::paths::{CURRENT, GENERATIONS};

/// Where the link `name` of the state directory points: the number of a generation.
pub(crate) fn linked_number(state: &Directory, name: &str) -> Result<Option<u64>, FileError> {
    let Some(target) = optional(state.read_link(name))? else { return Ok(None) };
    let number =
        target.strip_prefix(GENERATIONS).and_then(|rest| rest.strip_prefix('/')).and_then(parse_number);
    let wrong = || {
        let problem = format!("it points to `{target}`, not to a generation");
        FileError::new("use link", state.path().join(name), std::io::Error::other(problem))
    };
    number.map(Some).ok_or_else(wrong)
}

/// The number of the current generation.
pub(crate) fn current_number(state: &Directory) -> Result<Option<u64>, FileError> {
    linked_number(state, CURRENT)
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
    fn only_our_own_numbers_are_generations() {
        assert_eq!(parse_number("7"), Some(7));
        for text in ["", "07", "+7", "-1", "7 ", ".staging-7", "99999999999999999999"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }
}
