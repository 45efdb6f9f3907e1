//! `inbox/`: where `install` looks without a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::RawBundle;
use files::{Directory, FileError, FileSystem, Lock, LockKind, optional};

use crate::host::paths::INBOX;
use crate::host::{HostIdentity, HostKernels, LockError};
use crate::install::choice::choose;
use crate::install::error::InstallError;
use crate::install::options::InstallOptions;
use crate::trust::{Policy, TrustStore};
use files::with_causes;

/// How the files in the inbox end that are looked at.
const SUFFIX: &str = ".stapb";

/// What the inbox has for this host.
#[derive(Debug)]
pub struct InboxChoice {
    /// The newest bundle that fits: its path on the host, and the open file.
    pub chosen: Option<(PathBuf, File)>,
    /// What was passed over, by name.
    pub passed_over: Vec<PassedOver>,
}

impl InboxChoice {
    /// What was passed over for what is wrong with it.
    pub fn refused(&self) -> impl Iterator<Item = &PassedOver> {
        self.passed_over.iter().filter(|passed| !passed.is_older)
    }
}

/// A file in the inbox that isn't installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub path: PathBuf,
    pub reason: String,
    /// Nothing is wrong with it, but that another file there is newer.
    pub is_older: bool,
}

/// Where files of the inbox are while they are installed.
const TAKEN: &str = ".taken";
const LOCK: &str = ".lock";
/// Where files of the inbox go that were refused.
const REFUSED: &str = "refused";
/// How the file ends that has the reason, beside the refused one.
const REASON: &str = ".reason";
/// Most bytes of a reason.
const MAX_REASON: u64 = 16 << 10;

/// Looks for the bundle in the inbox with the highest (epoch, serial), which is what orders bundles, among those that are believed and have a kernel for
/// this host. The install itself reads and judges it anew, so a file that is changed meanwhile gains nothing.
pub fn newest_in_inbox(
    host: &FileSystem,
    identity: &HostIdentity,
    options: &InstallOptions,
) -> Result<InboxChoice, InstallError> {
    newest_in(host, Path::new(INBOX), identity, options)
}

fn newest_in(
    host: &FileSystem,
    place: &Path,
    identity: &HostIdentity,
    options: &InstallOptions,
) -> Result<InboxChoice, InstallError> {
    let mut passed_over = Vec::new();
    let mut fitting: Vec<((u64, u64, u64), PathBuf, File)> = Vec::new();
    let directory = optional(host.open_dir(place))?;
    let trust = TrustStore::open(host)?;
    let policy = Policy::read(host)?;
    let here = HostKernels::read(host, identity)?;
    let names = directory.as_ref().map(files::Directory::entries).transpose()?.unwrap_or_default();
    for name in names.iter().filter(|name| is_bundle(name)) {
        let Some(directory) = &directory else { continue };
        let look = || -> Result<_, InstallError> {
            let bundle = RawBundle::read(directory.open_file(name)?)?;
            let (_, judge) = trust.judge(&bundle)?;
            let bundle = bundle.verify_by(judge)?;
            let manifest = bundle.manifest();
            policy.check(manifest, bundle.signers())?;
            choose(manifest, &here, &options.kernels)?;
            Ok((manifest.epoch, manifest.serial, manifest.created))
        };
        let path = place.join(name);
        match look() {
            Ok(age) => match directory.open_file(name) {
                Ok(file) => fitting.push((age, path, file)),
                // Swapped or removed since it was judged.
                Err(error) => {
                    passed_over.push(PassedOver { path, reason: with_causes(&error), is_older: false });
                }
            },
            Err(error) => passed_over.push(PassedOver { path, reason: with_causes(&error), is_older: false }),
        }
    }
    fitting.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let chosen = fitting.pop().map(|(_, path, file)| (path, file));
    let older = fitting.into_iter().map(|(_, path, _)| PassedOver {
        path,
        reason: "another file there is newer".to_owned(),
        is_older: true,
    });
    passed_over.extend(older);
    passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(InboxChoice { chosen, passed_over })
}

/// The inbox while it is emptied: what came is taken into a directory where nobody replaces it, and one process at a time does this. What
/// a process that was killed has left there, the next one goes on with.
#[derive(Debug)]
pub struct TakenInbox {
    inbox: Directory,
    taken: Directory,
    _lock: Lock,
}

impl TakenInbox {
    /// Opens it; waits for another process as long as `patience`.
    pub fn open(host: &FileSystem, patience: Duration) -> Result<Self, LockError> {
        let inbox = host.ensure_dir(INBOX)?;
        let taken = inbox.ensure_dir(TAKEN)?;
        let lock = taken.lock(LOCK, LockKind::Exclusive, patience)?;
        Ok(Self { inbox, taken, _lock: lock })
    }

    /// Takes what has come. A name that is taken already waits until that file is done.
    pub fn take(&self) -> Result<(), FileError> {
        for name in self.inbox.entries()?.iter().filter(|name| is_bundle(name)) {
            if self.taken.kind(name)?.is_none() {
                optional(self.inbox.rename_into(name, &self.taken))?;
            }
        }
        Ok(())
    }

    /// As [`newest_in_inbox`], of what is taken.
    pub fn newest(
        &self,
        host: &FileSystem,
        identity: &HostIdentity,
        options: &InstallOptions,
    ) -> Result<InboxChoice, InstallError> {
        newest_in(host, &Path::new(INBOX).join(TAKEN), identity, options)
    }

    /// Removes a taken file, which is installed.
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.taken.unlink(name_of(path))
    }

    /// Moves a taken file aside, with the reason, so that no install looks at it again; returns where it is then.
    pub fn move_aside(&self, path: &Path, reason: &str) -> Result<PathBuf, FileError> {
        let refused = self.inbox.ensure_dir(REFUSED)?;
        let name = name_of(path);
        // Without one the file is shown all the same; its name may be too long for it.
        let file = format!("{name}{REASON}");
        let _ = refused.unlink_if_there(&file).and_then(|()| refused.replace_file(&file, reason.as_bytes()));
        self.taken.rename_into(name, &refused)?;
        refused.sync()?;
        Ok(Path::new(INBOX).join(REFUSED).join(name))
    }
}

/// The files that [`TakenInbox`] has taken and that aren't installed.
pub fn waiting_in_inbox(host: &FileSystem) -> Result<Vec<PathBuf>, FileError> {
    let path = Path::new(INBOX).join(TAKEN);
    let Some(directory) = optional(host.open_dir(&path))? else { return Ok(Vec::new()) };
    let mut names = directory.entries()?;
    names.retain(|name| is_bundle(name));
    names.sort();
    Ok(names.into_iter().map(|name| path.join(name)).collect())
}

/// The files that were moved aside, each with its reason.
pub fn refused_in_inbox(host: &FileSystem) -> Result<Vec<PassedOver>, FileError> {
    let path = Path::new(INBOX).join(REFUSED);
    let Some(directory) = optional(host.open_dir(&path))? else { return Ok(Vec::new()) };
    let mut names = directory.entries()?;
    names.retain(|name| name.ends_with(SUFFIX));
    names.sort();
    let reason = |name: &str| {
        let bytes = directory.read_file(&format!("{name}{REASON}"), MAX_REASON).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let refused = |name: String| PassedOver {
        reason: reason(&name).unwrap_or_else(|| "the reason isn't recorded".to_owned()),
        path: path.join(name),
        is_older: false,
    };
    Ok(names.into_iter().map(refused).collect())
}

fn is_bundle(name: &str) -> bool {
    name.ends_with(SUFFIX) && !name.starts_with('.')
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default()
}
