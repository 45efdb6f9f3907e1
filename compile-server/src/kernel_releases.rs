//! Kernels of this machine: what `-i` means, and what `-r /DIR` must be.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::ServerError;

/// The name of every directory in `/lib/modules`, sorted (SRV-SPEC-03).
pub fn installed_releases(directory: &Path) -> Result<Vec<String>, ServerError> {
    let nothing = || ServerError::NoKernel { directory: directory.to_owned() };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing()),
        Err(source) => {
            return Err(ServerError::Storage { doing: "read", path: directory.to_owned(), source });
        }
    };
    let directories = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> =
        directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    if names.is_empty() { Err(nothing()) } else { Ok(names) }
}

/// Refuses a path that isn't a build tree (SRV-SPEC-04: the original looks at the wrong character and never checks).
pub(crate) fn check_build_trees(releases: &[String]) -> Result<(), ServerError> {
    let no_tree = releases
        .iter()
        .map(Path::new)
        .find(|release| release.is_absolute() && !release.join("include/config/kernel.release").is_file());
    match no_tree {
        Some(path) => Err(ServerError::NoBuildTree { path: path.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srv_spec_03_every_directory_is_a_release() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(installed_releases(folder.path()), Err(ServerError::NoKernel { .. })));
        assert!(matches!(installed_releases(&folder.path().join("x")), Err(ServerError::NoKernel { .. })));
        for name in ["6.2", "6.1"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(installed_releases(folder.path()).unwrap(), ["6.1", "6.2"]);
    }

    #[test]
    fn srv_spec_04_a_path_must_be_a_build_tree() {
        let folder = tempfile::tempdir().unwrap();
        let releases = ["6.1".to_owned(), folder.path().display().to_string()];
        let error = check_build_trees(&releases).unwrap_err();
        assert!(error.to_string().contains("include/config/kernel.release"), "{error}");
        fs::create_dir_all(folder.path().join("include/config")).unwrap();
        fs::write(folder.path().join("include/config/kernel.release"), "6.1\n").unwrap();
        check_build_trees(&releases).unwrap();
    }
}
