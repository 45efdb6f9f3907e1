//! The programs that make initramfs images: those of initramfs-tools, or dracut. Their hooks, which packages place, call
//! `stap-bundle onboot stage`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::KernelRelease;
use child::{ChildCommand, Finished, Limits, Program};
use files::{Directory, FileError, Lock, LockKind};
use installer::{ImageRecord, image_record, write_image_record};

use crate::host::{Host, ServiceError, own_files};
use crate::onboot::images::{image_of, stamp_of};

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A generic image with all drivers takes minutes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Kept of what they say: a list of all files of an image may be long.
const OUTPUT_CAP: usize = 8 << 20;

/// Set for hooks where the image isn't its kernel's usual one.
pub const UNRECORDED: &str = "STAP_BUNDLE_UNRECORDED_IMAGE";

/// In each image that has scripts: the list, and the programs that start them.
const PARTS: [&str; 4] = ["etc/stap-bundle/onboot", "bin/stap-bundle", "bin/staprun", "systemtap/stapio"];

/// One who changes the list or has images made at a time.
#[derive(Debug)]
pub struct ImageLock {
    _lock: Lock,
}

impl ImageLock {
    /// Takes it, waiting as long as `patience` for another one.
    pub fn take(host: &Host, patience: Duration) -> Result<Self, ServiceError> {
        let directory = own_files::ours(host, &host.state_dir)?;
        Ok(Self { _lock: directory.lock("onboot.lock", LockKind::Exclusive, patience)? })
    }
}

/// The programs of a host that make images.
#[derive(Debug)]
pub enum ImageMaker {
    /// Debian's, which also tell boot loaders of a new image.
    InitramfsTools {
        update: Program,
        make: Program,
    },
    Dracut(Program),
}

/// Where an image goes that isn't its kernel's usual one.
#[derive(Debug, Clone)]
pub struct OwnImage {
    pub path: PathBuf,
    /// Whether the image that is there gets a second name, with `.bak`, unless there is one (INIT-ONBOOT-04).
    pub keep_old: bool,
}

/// Why an image wasn't made. What was there before is there still.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakerError {
    #[error("{program} ended with {ended}: {said}")]
    Failed { program: String, ended: String, said: String },
    /// The maker ended well, and changed nothing.
    #[error("{} is the same file as before: {said}", image.display())]
    Unchanged { image: PathBuf, said: String },
    /// The maker ended well, and its hook wasn't called or did nothing.
    #[error("it lacks {part}, so the hook didn't run or failed: {said}")]
    Lacks { part: &'static str, said: String },
    #[error("it still has scripts: {said}")]
    StillHas { said: String },
    #[error("no image of kernel {0} is found in /boot after it was made")]
    NotFound(KernelRelease),
    #[error("neither {0} nor another program that lists an image is on this host")]
    NoLister(&'static str),
    #[error(transparent)]
    Child(#[from] child::ChildError),
    #[error(transparent)]
    File(#[from] FileError),
}

fn program(name: &str) -> Option<Program> {
    PATH.split(':').find_map(|directory| Program::find(Path::new(directory).join(name)).ok())
}

impl ImageMaker {
    /// The maker of this machine; `None` if it has none.
    #[must_use]
    pub fn find() -> Option<Self> {
        if let Some((update, make)) = program("update-initramfs").zip(program("mkinitramfs")) {
            return Some(Self::InitramfsTools { update, make });
        }
        program("dracut").map(Self::Dracut)
    }

    /// Rebuilds the image of a kernel; on the disk when this returns. Returns its path.
    pub fn make(&self, host: &Host, release: &KernelRelease, keep_old: bool) -> Result<PathBuf, MakerError> {
        let there = image_of(host, release);
        if let Some(image) = there.as_ref().filter(|_| keep_old) {
            keep(image)?;
        }
        let before = there.as_ref().and_then(|image| stamp_of(host, image));
        let (image, said) = match self {
            Self::InitramfsTools { update, .. } => {
                let how = if there.is_some() { "-u" } else { "-c" };
                let said = run(host, ChildCommand::of(update).args([how, "-k", release.as_str()]))?;
                (image_of(host, release).ok_or_else(|| MakerError::NotFound(release.clone()))?, said)
            }
            // It copies over the image that is there: a cut would leave a torn one.
            Self::Dracut(_) => {
                let image = there.unwrap_or_else(|| new_image_of(host, release));
                let said = self.make_at(host, release, &image, true)?;
                (image, said)
            }
        };
        sync(&image)?;
        let after = stamp_of(host, &image);
        if before.is_some() && before == after {
            return Err(MakerError::Unchanged { image, said: last_lines(&said) });
        }
        let checked = self.check(host, release, &image, &said);
        if let Some(record) = image_record(&host.files, release)? {
            let record = match &checked {
                Ok(()) => ImageRecord { image: after, ..record },
                // What it has wouldn't start.
                Err(_) => ImageRecord { scripts: BTreeMap::new(), ..record },
            };
            write_image_record(&host.files, release, &record)?;
        }
        checked.map(|()| image)
    }

    /// Makes an image of a kernel somewhere else.
    pub fn make_own(&self, host: &Host, release: &KernelRelease, own: &OwnImage) -> Result<(), MakerError> {
        if own.keep_old {
            keep(&own.path)?;
        }
        self.make_at(host, release, &own.path, false).map(drop)
    }

    /// Makes it where nobody else can write, then puts it into its place whole. Returns what the maker said.
    fn make_at(
        &self,
        host: &Host,
        release: &KernelRelease,
        image: &Path,
        is_usual: bool,
    ) -> Result<String, MakerError> {
        let wrong = |error: io::Error| FileError::new("make a directory in", "/var/tmp", error);
        let private =
            tempfile::Builder::new().prefix("stap-bundle-").tempdir_in("/var/tmp").map_err(wrong)?;
        let made = private.path().join("image");
        let command = match self {
            Self::InitramfsTools { make, .. } => {
                ChildCommand::of(make).arg("-o").arg(&made).arg(release.as_str())
            }
            Self::Dracut(dracut) => ChildCommand::of(dracut).arg("--force").arg(&made).arg(release.as_str()),
        };
        let command = if is_usual { command } else { command.env(UNRECORDED, "1") };
        let said = run(host, command)?;
        if !is_usual {
            self.list(host, &made)?;
        }
        place(&made, image)?;
        Ok(said)
    }

    /// Both makers end with 0 although a hook has failed (INIT-ONBOOT-05).
    fn check(
        &self,
        host: &Host,
        release: &KernelRelease,
        image: &Path,
        said: &str,
    ) -> Result<(), MakerError> {
        let expected = image_record(&host.files, release)?.is_some_and(|record| !record.scripts.is_empty());
        let files = self.list(host, image)?;
        let has = |part: &str| files.lines().any(|line| line.ends_with(part));
        match PARTS.into_iter().find(|part| has(part) != expected) {
            Some(part) if expected => Err(MakerError::Lacks { part, said: last_lines(said) }),
            // The programs may be there for something else.
            Some("etc/stap-bundle/onboot") => Err(MakerError::StillHas { said: last_lines(said) }),
            _ => Ok(()),
        }
    }

    fn list(&self, host: &Host, image: &Path) -> Result<String, MakerError> {
        let name = match self {
            Self::InitramfsTools { .. } => "lsinitramfs",
            Self::Dracut(_) => "lsinitrd",
        };
        let lister = program(name).ok_or(MakerError::NoLister(name))?;
        run(host, ChildCommand::of(&lister).arg(image))
    }
}

/// Where dracut puts an image that isn't there yet.
fn new_image_of(host: &Host, release: &KernelRelease) -> PathBuf {
    let is_debian = host.files.locate("/etc/debian_version").is_ok();
    PathBuf::from(if is_debian {
        format!("/boot/initrd.img-{release}")
    } else {
        format!("/boot/initramfs-{release}.img")
    })
}

fn run(host: &Host, command: ChildCommand) -> Result<String, MakerError> {
    let program = command.display();
    let command = command.env("PATH", PATH).env("LC_ALL", "C").combined_output();
    let limits = Limits { output_cap: OUTPUT_CAP, ..Limits::within(PATIENCE) };
    let Finished { status, stdout, .. } = command.run(&limits, &host.cancel)?;
    let said = stdout.text();
    if status.success() {
        return Ok(said);
    }
    Err(MakerError::Failed { program, ended: status.to_string(), said: last_lines(&said) })
}

/// What is worth showing of what a maker said: our hook's words, else the last ones.
fn last_lines(said: &str) -> String {
    const SHOWN: usize = 5;
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let ours: Vec<&str> =
        lines.iter().copied().filter(|line| line.starts_with("warning: the image")).collect();
    if !ours.is_empty() {
        return ours.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ");
    }
    let from = lines.len().saturating_sub(SHOWN);
    lines.get(from..).unwrap_or_default().join("; ")
}

/// Puts a file into its place by a new name beside it, which nobody else can have made.
fn place(made: &Path, image: &Path) -> Result<(), FileError> {
    let directory = directory_of(image)?;
    let name = name_of(image)?;
    let next = format!(".{name}.{}.stap-bundle", std::process::id());
    let mut source = files::read::open(made)?;
    let permissions = source.metadata().map_or(0o600, |metadata| metadata.mode() & 0o644);
    directory.unlink_if_there(&next)?;
    let placed = directory.create_file_with(&next, permissions).and_then(|mut target: File| {
        let copied = io::copy(&mut source, &mut target).and_then(|_| target.sync_all());
        copied.map_err(|error| FileError::new("write", directory.path().join(&next), error))?;
        directory.rename(&next, name)?;
        directory.sync()
    });
    if placed.is_err() {
        // The error is the news.
        let _ = directory.unlink_if_there(&next);
    }
    placed
}

fn directory_of(image: &Path) -> Result<Directory, FileError> {
    Directory::at_path(
        image.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
    )
}

fn name_of(image: &Path) -> Result<&str, FileError> {
    let name = image.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| FileError::new("write", image, io::ErrorKind::InvalidInput))
}

/// A second name for the image that is there, unless an older one has it; on the disk when this returns.
fn keep(image: &Path) -> Result<(), FileError> {
    let directory = directory_of(image)?;
    let name = name_of(image)?;
    let old = format!("{name}.bak");
    if directory.kind(name)?.is_none() || directory.kind(&old)?.is_some() {
        return Ok(());
    }
    directory.link_or_copy_as(&directory, name, &old)?;
    directory.open_file(&old)?.sync_all().map_err(|error| FileError::new("sync", image, error))?;
    directory.sync()
}

fn sync(path: &Path) -> Result<(), FileError> {
    let synced = files::read::open(path)?.sync_all();
    synced.map_err(|error| FileError::new("sync", path, error))?;
    files::read::sync_directory(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn init_onboot_04_the_old_image_has_a_second_name_and_at_no_moment_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("made"), "new").unwrap();
        fs::set_permissions(at("made"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at("image"), "old").unwrap();
        keep(&at("image")).unwrap();
        place(&at("made"), &at("image")).unwrap();
        assert_eq!(fs::read(at("image")).unwrap(), b"new");
        assert_eq!(fs::read(at("image.bak")).unwrap(), b"old");
        assert_eq!(fs::metadata(at("image")).unwrap().permissions().mode() & 0o777, 0o600);
        // An older one keeps its name.
        keep(&at("image")).unwrap();
        assert_eq!(fs::read(at("image.bak")).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        keep(&at("absent")).unwrap();
    }

    #[test]
    fn a_link_that_somebody_has_put_beside_the_image_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("made"), "new").unwrap();
        fs::write(at("victim"), "mine").unwrap();
        symlink(at("victim"), at(&format!(".image.{}.stap-bundle", std::process::id()))).unwrap();
        symlink(at("victim"), at("image")).unwrap();
        place(&at("made"), &at("image")).unwrap();
        assert_eq!(fs::read(at("victim")).unwrap(), b"mine");
        assert_eq!(fs::read(at("image")).unwrap(), b"new");
        assert!(!fs::symlink_metadata(at("image")).unwrap().is_symlink());
    }

    #[test]
    fn init_onboot_05_of_what_a_maker_said_the_hook_s_words_come_first() {
        let said = "a\n\nwarning: the image of kernel 1.0 starts no scripts: no\nb\nc\nd\ne\nf\n";
        assert_eq!(last_lines(said), "warning: the image of kernel 1.0 starts no scripts: no");
        assert_eq!(last_lines("1\n2\n3\n4\n5\n6\n7"), "3; 4; 5; 6; 7");
    }
}
