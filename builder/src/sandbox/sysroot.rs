//! A root directory that has `stap`, a compiler and kernel build trees.
//!
//! Every path in it is resolved as a process inside would: an absolute link in the sysroot stays in the sysroot.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::{FileError, FileSystem};

use super::overlay::{self, Overlay};

/// Longest text file that is read, in bytes; a kernel's `.config` has 300 KB.
const LONGEST_TEXT: u64 = 16 << 20;

/// Where the sandbox puts the work directory; it must exist in the sysroot, which is mounted read-only.
pub(crate) const WORK_MOUNT: &str = "mnt";

/// The program that must be there.
const STAP: &str = "usr/bin/stap";

/// An opened sysroot.
#[derive(Debug, Clone)]
pub struct Sysroot {
    /// Absolute, without links.
    path: PathBuf,
    files: Arc<FileSystem>,
    /// What is to be seen in it besides.
    overlay: Overlay,
}

/// Why a directory can't serve as a sysroot.
#[derive(Debug, thiserror::Error)]
pub enum SysrootError {
    #[error("sysroot {path} can't be opened")]
    Open { path: PathBuf, source: io::Error },
    #[error("sysroot {path} has no /{STAP}: the package systemtap would bring it")]
    NoStap { path: PathBuf },
    /// It lacks the directory onto which the work directory is mounted.
    #[error("sysroot {path} has no directory /{WORK_MOUNT}, where the work directory of a job is mounted")]
    NoWorkMount { path: PathBuf },
}

impl Sysroot {
    /// Opens `path`; whether it's equipped for compiling is asked by [`Sysroot::problems`].
    pub fn open(path: &Path) -> Result<Self, SysrootError> {
        let open_error = |source| SysrootError::Open { path: path.to_owned(), source };
        let canonical = path.canonicalize().map_err(open_error)?;
        let files = FileSystem::open(&canonical).map_err(|error| open_error(error.into_source()))?;
        Ok(Self { path: canonical, files: Arc::new(files), overlay: Overlay::default() })
    }

    /// The same with what is laid over it.
    #[must_use]
    pub(crate) fn under(&self, overlay: &Overlay) -> Self {
        Self { overlay: overlay.clone(), ..self.clone() }
    }

    /// What of a stored kernel is laid over it.
    pub(crate) fn overlay_of(&self, kernel: &Path) -> io::Result<Overlay> {
        Overlay::of_kernel(kernel, |inside| self.resolve(inside).ok(), |inside| self.below(inside))
    }

    /// The same with nothing laid over it.
    #[must_use]
    pub(crate) fn bare(&self) -> Self {
        self.under(&Overlay::default())
    }

    pub(crate) const fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// All that is missing for compiling in it.
    #[must_use]
    pub fn problems(&self) -> Vec<SysrootError> {
        let mut problems = Vec::new();
        if !self.host_path(Path::new(STAP)).is_ok_and(|stap| stap.is_file()) {
            problems.push(SysrootError::NoStap { path: self.path.clone() });
        }
        if !self.host_path(Path::new(WORK_MOUNT)).is_ok_and(|mount| mount.is_dir()) {
            problems.push(SysrootError::NoWorkMount { path: self.path.clone() });
        }
        problems
    }

    /// The directory itself: absolute, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `inside`, a path as seen in the root, on this machine; links aren't followed.
    pub(crate) fn below(&self, inside: &Path) -> PathBuf {
        let laid = self.overlay.place(inside);
        laid.unwrap_or_else(|| self.path.join(inside.strip_prefix("/").unwrap_or(inside)))
    }

    /// What `host`, a path of this machine, is inside.
    pub(crate) fn inside_of(&self, host: &Path) -> PathBuf {
        let own = || Path::new("/").join(host.strip_prefix(&self.path).unwrap_or(host));
        self.overlay.inside_of(host).unwrap_or_else(own)
    }

    /// Where `inside` leads, links followed within the root: as a path without links on this machine.
    pub fn host_path(&self, inside: &Path) -> io::Result<PathBuf> {
        Ok(self.below(&self.resolve(inside)?))
    }

    /// As [`Sysroot::host_path`], as the absolute path that a process inside the root sees.
    pub fn resolve(&self, inside: &Path) -> io::Result<PathBuf> {
        if self.overlay.is_empty() {
            return self.files.locate(inside).map_err(FileError::into_source);
        }
        self.overlay.resolve(inside, |inside| self.below(inside))
    }

    /// The names in a directory inside, sorted; none if there is no such directory.
    pub(crate) fn names_in(&self, inside: &Path) -> Vec<OsString> {
        let Ok(inside) = self.resolve(inside) else { return Vec::new() };
        overlay::all_names(&self.below(&inside), self.overlay.names_in(&inside))
    }

    /// Reads a text file inside; links on the way are followed beneath the root.
    pub fn read(&self, inside: &Path) -> io::Result<String> {
        files::read::read_text(&self.host_path(inside)?, LONGEST_TEXT).map_err(files::FileError::into_source)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn absolute_and_climbing_links_stay_inside() {
        let root = fake_sysroot(&["1.0"]);
        symlink("/usr/bin/stap", root.path().join("absolute")).unwrap();
        symlink("../../../../../../usr/bin/stap", root.path().join("climbing")).unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        for link in ["absolute", "/climbing"] {
            assert_eq!(sysroot.resolve(Path::new(link)).unwrap(), Path::new("/usr/bin/stap"));
        }
        assert_eq!(sysroot.resolve(Path::new("/")).unwrap(), Path::new("/"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let empty = tempfile::tempdir().unwrap();
        let problems = Sysroot::open(empty.path()).unwrap().problems();
        let text = problems[0].to_string();
        assert!(text.ends_with("has no /usr/bin/stap: the package systemtap would bring it"), "{text}");
        assert!(matches!(problems[1], SysrootError::NoWorkMount { .. }));
        assert!(Sysroot::open(fake_sysroot(&[]).path()).unwrap().problems().is_empty());
        assert!(matches!(Sysroot::open(&empty.path().join("nowhere")), Err(SysrootError::Open { .. })));
    }
}
