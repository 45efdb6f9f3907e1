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
/// Where debuginfo is by build id.
const BUILD_IDS: &str = "/usr/lib/debug/.build-id";
/// Most of these links that are laid one by one.
const MOST_LINKS: usize = 2000;

/// Paths inside a sysroot and what is found there instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlay {
    /// By the path inside; none is below another.
    laid: BTreeMap<PathBuf, PathBuf>,
    /// The stored kernel that all of it belongs to.
    kernel: Option<PathBuf>,
    hides_build_ids: bool,
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
        Self { laid, ..Self::default() }
    }

    /// The stored kernel in `directory`, over a root: where a path leads in it, and where that is on this machine.
    pub(super) fn of_kernel(
        directory: &Path,
        leads_to: impl Fn(&Path) -> Option<PathBuf>,
        below: impl Fn(&Path) -> PathBuf,
    ) -> io::Result<Self> {
        let mut overlay = Self { kernel: Some(directory.to_owned()), ..Self::default() };
        overlay.merge(directory, Path::new("/"), &leads_to, &below)?;
        overlay.keep_few_links(directory);
        Ok(overlay)
    }

    fn merge(
        &mut self,
        directory: &Path,
        inside: &Path,
        leads_to: &dyn Fn(&Path) -> Option<PathBuf>,
        below: &dyn Fn(&Path) -> PathBuf,
    ) -> io::Result<()> {
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let mut path = inside.join(entry.file_name());
            let is_unmerged = || leads_to(Path::new("/lib")).is_none_or(|lib| lib != Path::new("/usr/lib"));
            let is_way = Path::new(MODULES).starts_with(&path) && is_unmerged();
            if path == Path::new(MODULES) && is_way {
                path = PathBuf::from(UNMERGED_MODULES);
            }
            if is_merged(&path) {
                path = leads_to(&path).unwrap_or(path);
            }
            let is_both = entry.file_type()?.is_dir() && (is_way || below(&path).is_dir());
            if is_both && is_merged(&path) {
                self.merge(&entry.path(), &path, leads_to, below)?;
            } else if self.laid.insert(path.clone(), entry.path()).is_some() {
                let twice = format!("two of its directories are {} in this sysroot", path.display());
                return Err(io::Error::other(twice));
            }
        }
        Ok(())
    }

    /// bubblewrap takes 9,000 arguments, three for a link. Where both have links by build id and the kernel's are too many, its own
    /// directory of them is laid whole.
    fn keep_few_links(&mut self, directory: &Path) {
        let place = Path::new(BUILD_IDS);
        if self.laid.range(place.to_owned()..).take_while(|(path, _)| path.starts_with(place)).count()
            <= MOST_LINKS
        {
            return;
        }
        self.laid.retain(|path, _| !path.starts_with(place));
        self.laid.insert(place.to_owned(), directory.join(BUILD_IDS.trim_start_matches('/')));
        self.hides_build_ids = true;
    }

    /// Whether debuginfo that the sysroot has by build id is hidden.
    pub(crate) const fn hides_build_ids(&self) -> bool {
        self.hides_build_ids
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
        /// As many as the kernel follows: `path_resolution`(7).
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sandbox::Sysroot;
    use crate::testing::fake_sysroot;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A sysroot with debuginfo of a program and a kernel's build tree, and a stored kernel of the same release.
    fn laid() -> (tempfile::TempDir, tempfile::TempDir, Sysroot) {
        let root = fake_sysroot(&["1.0"]);
        write(root.path(), "usr/lib/debug/.build-id/ab/program.debug", "a program's");
        write(root.path(), "usr/src/linux-headers-1.0/only-here", "the sysroot's");
        let kernel = tempfile::tempdir().unwrap();
        write(kernel.path(), "usr/src/linux-headers-1.0/Makefile", "the store's");
        write(kernel.path(), "usr/lib/debug/lib/modules/1.0/vmlinux", "symbols");
        write(kernel.path(), "usr/lib/debug/.build-id/ab/own", "");
        fs::create_dir_all(kernel.path().join("usr/lib/modules/1.0")).unwrap();
        symlink("/usr/lib/debug/lib/modules/1.0", kernel.path().join("usr/lib/modules/1.0/debug")).unwrap();
        symlink(
            "../../lib/modules/1.0/vmlinux",
            kernel.path().join("usr/lib/debug/.build-id/ab/kernel.debug"),
        )
        .unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        let sysroot = sysroot.under(&sysroot.overlay_of(kernel.path()).unwrap());
        (root, kernel, sysroot)
    }

    #[test]
    fn what_both_have_is_the_stored_kernels_and_directories_that_packages_share_are_merged() {
        let (_root, kernel, sysroot) = laid();
        let read = |path: &str| sysroot.read(Path::new(path)).ok();
        assert_eq!(read("/usr/src/linux-headers-1.0/Makefile").as_deref(), Some("the store's"));
        assert_eq!(read("/usr/src/linux-headers-1.0/only-here"), None);
        assert_eq!(read("/usr/lib/debug/.build-id/ab/program.debug").as_deref(), Some("a program's"));
        // Links lead through both, and never out of them.
        assert_eq!(read("/lib/modules/1.0/debug/vmlinux").as_deref(), Some("symbols"));
        assert_eq!(read("/usr/lib/debug/.build-id/ab/kernel.debug").as_deref(), Some("symbols"));
        symlink("../../../../../../../etc/hostname", kernel.path().join("usr/lib/debug/lib/modules/1.0/out"))
            .unwrap();
        assert_eq!(read("/usr/lib/debug/lib/modules/1.0/out"), None);
        symlink("loop", kernel.path().join("usr/lib/debug/lib/modules/1.0/loop")).unwrap();
        assert!(sysroot.resolve(Path::new("/usr/lib/debug/lib/modules/1.0/loop")).is_err());
        let names = sysroot.names_in(Path::new("/usr/lib/debug/.build-id/ab"));
        assert_eq!(names, ["kernel.debug", "own", "program.debug"]);
        let bare = sysroot.bare();
        assert!(bare.read(Path::new("/usr/lib/debug/lib/modules/1.0/vmlinux")).is_err());
    }

    #[test]
    fn a_path_of_this_machine_is_the_one_that_a_process_inside_sees() {
        let (root, kernel, sysroot) = laid();
        let inside = |path: PathBuf| sysroot.inside_of(&path).display().to_string();
        assert_eq!(
            inside(kernel.path().join("usr/src/linux-headers-1.0/a.h")),
            "/usr/src/linux-headers-1.0/a.h"
        );
        let path = root.path().canonicalize().unwrap().join("usr/bin/stap");
        assert_eq!(inside(path), "/usr/bin/stap");
    }

    #[test]
    fn a_root_without_merged_lib_gets_modules_where_it_has_them() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("lib/modules/2.0")).unwrap();
        let kernel = tempfile::tempdir().unwrap();
        write(kernel.path(), "usr/lib/modules/1.0/kernel/a.ko", "a module");
        let sysroot = Sysroot::open(root.path()).unwrap();
        let sysroot = sysroot.under(&sysroot.overlay_of(kernel.path()).unwrap());
        assert_eq!(sysroot.read(Path::new("/lib/modules/1.0/kernel/a.ko")).unwrap(), "a module");
        assert!(sysroot.resolve(Path::new("/lib/modules/2.0")).is_ok());
    }
}
