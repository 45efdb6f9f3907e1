//! What is laid over a sysroot: build trees and debuginfo of kernels that it hasn't got itself.
//!
//! A stored kernel is a small root of its own, with the paths that its packages have. Directories in which packages put
//! things side by side are merged; whatever else is in both is the stored kernel's, and nothing of the sysroot shows
//! through.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Where the kernel's own modules are, in roots in which `/lib` is a link to `usr/lib`.
const MODULES: &str = "/usr/lib/modules";
/// Where they are in all others.
const UNMERGED_MODULES: &str = "/lib/modules";

/// Paths inside a sysroot and what is found there instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// By the path inside; none is below another.
    laid: BTreeMap<PathBuf, PathBuf>,
    /// The stored kernel that all of it belongs to.
    kernel: Option<PathBuf>,
}

impl Overlay {
    /// Directories of this machine at their own paths.
    pub(crate) fn of_directories(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut laid: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for path in directories {
            if !laid.keys().any(|known| path.starts_with(known)) {
                laid.insert(path.clone(), path);
            }
        }
        Self { laid, kernel: None }
    }

    /// The stored kernel in `directory`, over the root of which these tell where a path leads, and where on this machine.
    pub(super) fn of_kernel(
        directory: &Path,
        leads_to: impl Fn(&Path) -> Option<PathBuf>,
        below: impl Fn(&Path) -> PathBuf,
    ) -> io::Result<Self> {
        let mut overlay = Self { laid: BTreeMap::new(), kernel: Some(directory.to_owned()) };
        overlay.merge(directory, Path::new("/"), &leads_to, &below)?;
        Ok(overlay)
    }

    fn merge(
        &mut self,
        directory: &Path,
        inside: &Path,
        leads_to: &dyn Fn(&Path) -> Option<PathBuf>,
        below: &dyn Fn(&Path) -> PathBuf,
    ) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let mut path = inside.join(entry.file_name());
            if path == Path::new(MODULES)
                && leads_to(Path::new("/lib")).is_some_and(|lib| lib == Path::new("/lib"))
            {
                path = PathBuf::from(UNMERGED_MODULES);
            }
            if is_merged(&path) {
                path = leads_to(&path).unwrap_or(path);
            }
            let is_both = entry.file_type()?.is_dir() && below(&path).is_dir();
            if is_both && is_merged(&path) {
                self.merge(&entry.path(), &path, leads_to, below)?;
            } else {
                self.laid.insert(path, entry.path());
            }
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.laid.is_empty()
    }

    /// Whether `inside` is laid.
    pub(crate) fn has(&self, inside: &Path) -> bool {
        self.place(inside).is_some()
    }

    /// The directory of the stored kernel, if that is what is laid.
    pub(crate) fn kernel(&self) -> Option<&Path> {
        self.kernel.as_deref()
    }

    /// Each path inside, and what is there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.laid.iter().map(|(inside, host)| (inside.as_path(), host.as_path()))
    }

    /// What is at `inside`; `None` if it isn't laid. Links aren't followed.
    pub(crate) fn place(&self, inside: &Path) -> Option<PathBuf> {
        let (laid, host) = inside.ancestors().find_map(|above| Some((above, self.laid.get(above)?)))?;
        let rest = inside.strip_prefix(laid).ok()?;
        Some(if rest.as_os_str().is_empty() { host.clone() } else { host.join(rest) })
    }

    /// The path inside of what is at `host`.
    pub(crate) fn inside_of(&self, host: &Path) -> Option<PathBuf> {
        self.laid.iter().find_map(|(inside, laid)| Some(inside.join(host.strip_prefix(laid).ok()?)))
    }

    /// Whether `inside` is a directory on the way to something laid.
    pub(crate) fn leads_through(&self, inside: &Path) -> bool {
        // Paths are compared name by name, so what is below one comes right after it.
        let mut after = self.laid.range(inside.to_owned()..).map(|(path, _)| path);
        after.find(|path| *path != inside).is_some_and(|path| path.starts_with(inside))
    }

    /// Names in the directory `inside` that are laid there.
    pub(crate) fn names_in<'a>(&'a self, inside: &'a Path) -> impl Iterator<Item = OsString> + 'a {
        let below = self.laid.range(inside.to_owned()..).map(|(path, _)| path);
        let below = below.take_while(move |path| path.starts_with(inside));
        below.filter_map(move |path| {
            let rest = path.strip_prefix(inside).ok()?;
            rest.components().next().map(|name| name.as_os_str().to_owned())
        })
    }

    /// Follows links as a process does whose root has all this; `below` tells where a path is on this machine.
    pub(super) fn resolve(&self, inside: &Path, below: impl Fn(&Path) -> PathBuf) -> io::Result<PathBuf> {
        /// As many as the kernel follows (path_resolution(7)).
        const MOST_LINKS: usize = 40;
        let reversed = |path: &Path| -> Vec<OsString> {
            let names =
                path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
            names.rev().map(|part| part.as_os_str().to_owned()).collect()
        };
        let mut found = PathBuf::from("/");
        let mut left = reversed(inside);
        let mut links = 0;
        while let Some(name) = left.pop() {
            if name == OsStr::new("..") {
                found.pop();
                continue;
            }
            let next = found.join(&name);
            let host = below(&next);
            match fs::symlink_metadata(&host) {
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(io::Error::from(rustix::io::Errno::LOOP));
                    }
                    let target = fs::read_link(&host)?;
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    left.extend(reversed(&target));
                }
                Err(_) if self.leads_through(&next) => found = next,
                other => {
                    other?;
                    found = next;
                }
            }
        }
        Ok(found)
    }
}

/// Whether several packages put things side by side into this directory.
fn is_merged(inside: &Path) -> bool {
    let names: Vec<&str> = inside
        .components()
        .filter(|part| *part != Component::RootDir)
        .map(|part| part.as_os_str().to_str().unwrap_or_default())
        .collect();
    matches!(
        names[..],
        [] | ["usr" | "boot" | "lib"]
            | ["usr", "src" | "lib"]
            | ["usr", "src", "kernels"]
            | ["usr", "lib", "modules" | "debug"]
            | ["lib", "modules"]
            | ["usr", "lib", "modules", _]
            | ["lib", "modules", _]
            | ["usr", "lib", "debug", "boot" | "lib" | "usr" | ".build-id" | ".dwz"]
            | ["usr", "lib", "debug", ".build-id", _]
            | ["usr", "lib", "debug", "lib", "modules"]
            | ["usr", "lib", "debug", "usr", "lib"]
            | ["usr", "lib", "debug", "usr", "lib", "modules"]
    )
}

/// Entries of the directory `host`, and those that are laid there.
pub(super) fn all_names(host: &Path, laid: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let there = fs::read_dir(host).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names: Vec<OsString> = there.chain(laid).collect();
    names.sort();
    names.dedup();
    names
}
