//! The script directory: which files are scripts.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use script_config::{ConfigProblem, FileCause, Place, ScriptName, known_scripts};

use crate::exit::Exit;
use crate::failure::Failure;

/// The scripts in `directory` (INIT-LIST-01), none if there is no such directory; and for each `.stp` file that can't be one,
/// why not.
pub(crate) fn read(directory: &Path) -> Result<(BTreeSet<ScriptName>, Vec<ConfigProblem>), Failure> {
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(directory).min_depth(1).max_depth(1).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.path().is_file() => {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
            Ok(_) => {}
            Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => {}
            Err(error) => return Err(Failure::of(Exit::Failed, &error)),
        }
    }
    let (known, others) = known_scripts(names.iter().map(String::as_str), [], false);
    let problem = |(file, error): (String, script_config::ScriptNameError)| {
        let place = Place::whole_file(directory.join(file).display().to_string());
        ConfigProblem::new(Some(place), FileCause::NoScript { error })
    };
    Ok((known, others.into_iter().map(problem).collect()))
}
