//! What of a root a process in the sandbox sees.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use child::ChildCommand;

use super::sysroot::{Sysroot, WORK_MOUNT};

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
            command = laid(command, &host.join(&name), &inside.join(&name));
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

/// Mounts `sysroot` read-only, with what is laid over it.
///
/// Nothing can be mounted where the root has no directory, so the way to each of the laid paths is laid out again: what lies beside
/// it is mounted piece by piece.
pub(crate) fn mounted(command: ChildCommand, sysroot: &Sysroot) -> ChildCommand {
    if sysroot.overlay().is_empty() {
        return command.arg("--ro-bind").arg(sysroot.path()).arg("/");
    }
    let mut command = beside(command, sysroot, Path::new("/"));
    for (inside, host) in sysroot.overlay().iter() {
        command = laid(command, host, inside);
    }
    command
}

/// Mounts what is in the directory `inside` of the root, and goes down where something is laid below.
fn beside(mut command: ChildCommand, sysroot: &Sysroot, inside: &Path) -> ChildCommand {
    let own = fs::read_dir(sysroot.below(inside)).into_iter().flatten().flatten();
    let mut names: Vec<_> = own.map(|entry| entry.file_name()).collect();
    names.sort();
    for target in names.iter().map(|name| inside.join(name)) {
        let host = sysroot.below(&target);
        if sysroot.overlay().has(&target) {
            continue;
        }
        let is_made_anew = || MADE_ANEW.iter().any(|name| target == Path::new("/").join(name));
        if fs::symlink_metadata(&host).is_ok_and(|metadata| metadata.is_symlink()) {
            command = laid(command, &host, &target);
        } else if sysroot.overlay().leads_through(&target) {
            command = beside(command.arg("--dir").arg(&target), sysroot, &target);
        } else if is_made_anew() {
            command = command.arg("--dir").arg(target);
        } else {
            command = laid(command, &host, &target);
        }
    }
    command
}

/// A link again, anything else mounted.
fn laid(command: ChildCommand, host: &Path, target: &Path) -> ChildCommand {
    match fs::read_link(host) {
        Ok(link) => command.arg("--symlink").arg(link).arg(target),
        Err(_) => command.arg("--ro-bind").arg(host).arg(target),
    }
}
