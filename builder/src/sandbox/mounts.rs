//! What of a root a process in the sandbox sees.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use child::ChildCommand;

use super::sysroot::WORK_MOUNT;

/// Directories of a root over which others are mounted.
const MADE_ANEW: [&str; 4] = ["proc", "dev", "tmp", WORK_MOUNT];

/// A directory of a root in which some entries aren't to be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NarrowedDirectory {
    pub host: PathBuf,
    /// Where it is inside.
    pub inside: PathBuf,
    pub hidden: BTreeSet<String>,
}

/// Lays each of these directories out again, with what may be seen mounted as it is: a header's size and time, by which stap names
/// what it caches, stay what they are. One that can't be read stays whole.
pub(crate) fn narrowed(mut command: ChildCommand, directories: &[NarrowedDirectory]) -> ChildCommand {
    for NarrowedDirectory { host, inside, hidden } in directories {
        let Ok(entries) = fs::read_dir(host).and_then(Iterator::collect::<Result<Vec<fs::DirEntry>, _>>)
        else {
            continue;
        };
        command = command.arg("--tmpfs").arg(inside);
        let is_hidden =
            |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| hidden.contains(name));
        let mut names: Vec<_> =
            entries.iter().filter(|entry| !is_hidden(entry)).map(fs::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            let from = host.join(&name);
            let target = inside.join(&name);
            command = match fs::read_link(&from) {
                Ok(link) => command.arg("--symlink").arg(link).arg(target),
                Err(_) => command.arg("--ro-bind").arg(from).arg(target),
            };
        }
        command = command.arg("--remount-ro").arg(inside);
    }
    command
}

/// Mounts the programs and libraries of `root`, read-only, and nothing else of it.
pub(crate) fn programs_of(command: ChildCommand, root: &Path) -> ChildCommand {
    let mut command = command.arg("--ro-bind").arg(root.join("usr")).arg("/usr");
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let from = root.join(name);
        let path = format!("/{name}");
        command = match fs::symlink_metadata(&from) {
            Ok(metadata) if metadata.is_symlink() => {
                command.args(["--symlink", &format!("usr/{name}"), &path])
            }
            Ok(_) => command.arg("--ro-bind").arg(from).arg(path),
            Err(_) => command,
        };
    }
    command
}

/// Mounts `root` read-only, and in it the directories `shown`, which it may not have.
///
/// Nothing can be mounted where the root has no directory, so the way to each of them is laid out again: what lies beside
/// it is mounted piece by piece.
pub(crate) fn mounted(command: ChildCommand, root: &Path, shown: &[PathBuf]) -> ChildCommand {
    let shown: Vec<&Path> = shown
        .iter()
        .filter_map(|path| path.strip_prefix("/").ok())
        .filter(|path| !root.join(path).is_dir())
        .collect();
    if shown.is_empty() {
        return command.arg("--ro-bind").arg(root).arg("/");
    }
    let mut command = beside(command, root, Path::new(""), &shown);
    for path in shown {
        let whole = Path::new("/").join(path);
        command = command.arg("--ro-bind").arg(&whole).arg(&whole);
    }
    command
}

/// Mounts what is in `directory` of the root, and goes down where a shown directory lies below.
fn beside(mut command: ChildCommand, root: &Path, directory: &Path, shown: &[&Path]) -> ChildCommand {
    let mut names: Vec<PathBuf> = fs::read_dir(root.join(directory))
        .map(|entries| entries.flatten().map(|entry| directory.join(entry.file_name())).collect())
        .unwrap_or_default();
    names.sort();
    for inside in names {
        let host = root.join(&inside);
        let target = Path::new("/").join(&inside);
        let link = fs::read_link(&host).ok();
        if let Some(link) = link {
            command = command.arg("--symlink").arg(link).arg(target);
        } else if shown.iter().any(|path| path.starts_with(&inside)) {
            command = beside(command.arg("--dir").arg(target), root, &inside, shown);
        } else if !MADE_ANEW.iter().any(|name| inside == Path::new(name)) {
            command = command.arg("--ro-bind").arg(host).arg(target);
        } else {
            command = command.arg("--dir").arg(target);
        }
    }
    command
}
