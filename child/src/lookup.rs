//! Finding a program: by path, or by name along PATH.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::ChildError;

/// A program that was found and may be executed.
///
/// Looked up once, so that "is it installed?" can be asked before any work is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What the child sees as its own name.
    name: OsString,
    path: PathBuf,
}

impl Program {
    /// Finds `name`: a path if it has a slash in it, else a name along this process's PATH.
    pub fn find(name: impl AsRef<OsStr>) -> Result<Self, ChildError> {
        Self::find_in(name.as_ref(), &std::env::var_os("PATH").unwrap_or_default())
    }

    /// As [`Program::find`], along another search path (directories separated by colons).
    pub fn find_in(name: &OsStr, search: &OsStr) -> Result<Self, ChildError> {
        if name.as_bytes().contains(&b'/') {
            return Self::at_path(name);
        }
        // A file that can't be executed doesn't end the search (as execvp does it), but is a better reason than "not found".
        let mut refused = None;
        for directory in std::env::split_paths(search).filter(|directory| directory.is_absolute()) {
            let path = directory.join(name);
            if !path.is_file() {
                continue;
            }
            if is_executable(&path) {
                return Ok(Self { name: name.to_owned(), path });
            }
            refused.get_or_insert(path);
        }
        Err(match refused {
            Some(path) => ChildError::NotExecutable { path },
            None => ChildError::NotFound {
                program: name.to_string_lossy().into_owned(),
                searched: search.to_string_lossy().into_owned(),
            },
        })
    }

    fn at_path(name: &OsStr) -> Result<Self, ChildError> {
        let path = PathBuf::from(name);
        if !path.exists() {
            return Err(ChildError::NoSuchFile { path });
        }
        if !path.is_file() || !is_executable(&path) {
            return Err(ChildError::NotExecutable { path });
        }
        Ok(Self { name: name.to_owned(), path })
    }

    /// The name as it was asked for.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// The file that will be executed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn is_executable(path: &Path) -> bool {
    access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_searched_along_the_path() {
        let shell = Program::find_in(OsStr::new("sh"), OsStr::new("/nonexistent:/usr/bin:/bin")).unwrap();
        assert!(shell.path().is_absolute() && shell.path().ends_with("sh"));
    }

    #[test]
    fn a_missing_program_is_named_with_the_path_searched() {
        let error = Program::find_in(OsStr::new("no-such-program"), OsStr::new("/usr/bin:/bin")).unwrap_err();
        assert_eq!(error.to_string(), "program no-such-program not found in PATH /usr/bin:/bin");
        let error = Program::find("/nowhere/at-all").unwrap_err();
        assert_eq!(error.to_string(), "program /nowhere/at-all doesn't exist");
    }

    #[test]
    fn a_file_without_the_execute_bit_is_named_so() {
        let error = Program::find("/etc/passwd").unwrap_err();
        assert_eq!(error.to_string(), "/etc/passwd is not executable");
        let error = Program::find_in(OsStr::new("passwd"), OsStr::new("/etc")).unwrap_err();
        assert!(matches!(error, ChildError::NotExecutable { .. }));
    }

    #[test]
    fn a_relative_directory_in_the_path_is_never_used() {
        assert!(Program::find_in(OsStr::new("sh"), OsStr::new(".:bin:")).is_err());
    }
}
