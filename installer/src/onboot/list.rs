//! `/etc/stap-bundle/onboot`: the scripts that start from the initramfs, a name on each line.
//!
//! It is replaced in one step. Nothing in the file or in its directory counts where others could have written it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use bundle_format::ScriptName;
use files::{FileError, FileSystem, Unprotected};

use crate::host::paths::{ADMINISTRATION, ONBOOT};
use crate::host::{HistoryEvent, LockError, WriterLock, append};

/// Most bytes of the file: a thousand names.
const MAX_LIST: u64 = 64 << 10;

const HEAD: &str =
    "# Scripts that start from the initramfs. `stap-bundle onboot` writes it and makes the images.\n";

/// Why the list isn't known, or can't be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnbootError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] FileError),
    /// Others could have chosen what starts.
    #[error("{ADMINISTRATION}/{ONBOOT} is not protected")]
    Unprotected(#[source] Unprotected),
    #[error("{ADMINISTRATION}/{ONBOOT}:{line}: {problem}")]
    Malformed {
        /// From 1.
        line: usize,
        problem: String,
    },
}

/// What a change of the list did.
#[derive(Debug)]
pub struct OnbootChange {
    /// Whether it was another list before.
    pub changed: bool,
    /// Why the history wasn't written.
    pub history: Option<FileError>,
}

/// The scripts of the list; none where there is no file.
pub fn onboot_list(host: &FileSystem) -> Result<BTreeSet<ScriptName>, OnbootError> {
    let directory = host.open_protected(ADMINISTRATION);
    let raw = match directory.and_then(|directory| directory.read_protected(ONBOOT, MAX_LIST)) {
        Ok(raw) => raw,
        Err(Unprotected::Storage(error)) if error.is_not_found() => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.or(OnbootError::Unprotected)),
    };
    parse(&String::from_utf8_lossy(&raw))
}

/// Makes these the scripts of the list; `by` says who asked for it. On the disk when this returns.
pub fn set_onboot_list(
    host: &FileSystem,
    scripts: &BTreeSet<ScriptName>,
    by: &str,
    now: Option<u64>,
    wait: Duration,
) -> Result<OnbootChange, OnbootError> {
    let lock = WriterLock::wait(host, wait)?;
    // What can't be understood is replaced: there is no other way out of it than to say what the list is.
    let before = match onboot_list(host) {
        Err(OnbootError::Malformed { .. }) => None,
        before => Some(before?),
    };
    if before.as_ref() == Some(scripts) {
        return Ok(OnbootChange { changed: false, history: None });
    }
    let directory = host.ensure_dir(ADMINISTRATION)?;
    if scripts.is_empty() {
        directory.unlink_if_there(ONBOOT)?;
        directory.sync()?;
    } else {
        let text = text_of(scripts);
        if text.len() as u64 > MAX_LIST {
            let error = FileError::new("write", directory.path().join(ONBOOT), ErrorKind::FileTooLarge);
            return Err(error.into());
        }
        directory.replace_file(ONBOOT, text.as_bytes())?;
    }
    let event = HistoryEvent::Onboot { scripts: scripts.iter().cloned().collect(), by: by.to_owned() };
    // The list is on the disk: a history that can't be written is no reason to call it failed.
    Ok(OnbootChange { changed: true, history: append(host, &lock, now, event).err() })
}

/// Writes the list of an image, which has none yet.
pub fn write_onboot_list(image: &FileSystem, scripts: &BTreeSet<ScriptName>) -> Result<(), FileError> {
    image.ensure_dir(ADMINISTRATION)?.write_new(ONBOOT, text_of(scripts).as_bytes())
}

fn text_of(scripts: &BTreeSet<ScriptName>) -> String {
    let mut text = HEAD.to_owned();
    for script in scripts {
        text.push_str(script.as_str());
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Result<BTreeSet<ScriptName>, OnbootError> {
    let mut scripts = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        let script = name
            .parse::<ScriptName>()
            .map_err(|error| OnbootError::Malformed { line: at + 1, problem: error.to_string() })?;
        scripts.insert(script);
    }
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn scripts(names: &[&str]) -> BTreeSet<ScriptName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_list_is_what_was_set_last_and_an_empty_one_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        assert_eq!(onboot_list(&host).unwrap(), scripts(&[]));
        let set = |names: &[&str]| {
            set_onboot_list(&host, &scripts(names), "root", Some(7), Duration::ZERO).unwrap().changed
        };
        assert!(set(&["early", "base"]));
        assert!(!set(&["base", "early"]));
        assert_eq!(onboot_list(&host).unwrap(), scripts(&["base", "early"]));
        let file = directory.path().join("etc/stap-bundle/onboot");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{HEAD}base\nearly\n"));
        assert!(set(&[]));
        assert!(!file.exists());
        let events: Vec<_> = crate::history(&host).unwrap().into_iter().map(|line| line.event).collect();
        let event = |names: &[&str]| HistoryEvent::Onboot {
            scripts: scripts(names).into_iter().collect(),
            by: "root".to_owned(),
        };
        assert_eq!(events, [event(&["base", "early"]), event(&[])]);
    }

    #[test]
    fn a_wrong_name_is_named_with_its_line_and_can_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        let etc = directory.path().join("etc/stap-bundle");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("onboot"), "# early\nbase # first\n\nbad-name\n").unwrap();
        let error = onboot_list(&host).unwrap_err().to_string();
        assert!(error.starts_with("/etc/stap-bundle/onboot:4: "), "{error}");
        assert!(set_onboot_list(&host, &scripts(&["base"]), "root", None, Duration::ZERO).unwrap().changed);
        assert_eq!(onboot_list(&host).unwrap(), scripts(&["base"]));
    }

    #[test]
    fn a_list_that_others_could_have_written_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let host = FileSystem::open(directory.path()).unwrap();
        set_onboot_list(&host, &scripts(&["base"]), "root", None, Duration::ZERO).unwrap();
        let file = directory.path().join("etc/stap-bundle/onboot");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(onboot_list(&host), Err(OnbootError::Unprotected(_))));
    }
}
