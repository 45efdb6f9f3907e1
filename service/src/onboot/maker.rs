//! The programs that make initramfs images: those of initramfs-tools, or dracut. Their hooks, which packages place, call
//! `stap-bundle onboot stage`.

use std::fs::hard_link;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::KernelRelease;
use child::{ChildCommand, Finished, Limits, Program};
use files::FileError;
use installer::given_image;

use crate::host::Host;
use crate::onboot::images::image_of;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A generic image with all drivers takes minutes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Kept of what they say: a list of all files of an image may be long.
const OUTPUT_CAP: usize = 8 << 20;

/// In each image that has scripts.
const MARK: &str = "etc/stap-bundle/onboot";

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

/// Why an image wasn't made. What was there before is there still, unless it was made by initramfs-tools.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MakerError {
    #[error("{program} ended with {ended}: {said}")]
    Failed { program: String, ended: String, said: String },
    /// The maker ended well, and its hook wasn't called or did nothing.
    #[error("{image} has no scripts although they were to be put into it: {said}")]
    Empty { image: PathBuf, said: String },
    #[error("no image of kernel {0} is found in /boot after it was made")]
    NotFound(KernelRelease),
    #[error(transparent)]
    Child(#[from] child::ChildError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl ImageMaker {
    /// The maker of this host; `None` if it has none.
    #[must_use]
    pub fn find(host: &Host) -> Option<Self> {
        let find = |name: &str| {
            let places =
                PATH.split(':').map(|directory| host.on_this_machine(&Path::new(directory).join(name)));
            places.into_iter().find_map(|place| Program::find(place).ok())
        };
        match (find("update-initramfs"), find("mkinitramfs"), find("dracut")) {
            (Some(update), Some(make), _) => Some(Self::InitramfsTools { update, make }),
            (_, _, dracut) => dracut.map(Self::Dracut),
        }
    }

    /// Where the image of a kernel is.
    #[must_use]
    pub fn usual_image(host: &Host, release: &KernelRelease) -> Option<PathBuf> {
        image_of(host, release).map(|path| host.on_this_machine(&path))
    }

    /// Makes the image of a kernel anew, in its usual place or in its own; on the disk when this returns. Returns its path.
    pub fn make(
        &self,
        host: &Host,
        release: &KernelRelease,
        own: Option<&OwnImage>,
    ) -> Result<PathBuf, MakerError> {
        let there = image_of(host, release);
        let said = match (self, own) {
            (_, Some(own)) => return self.beside(host, release, own).map(|()| own.path.clone()),
            (Self::InitramfsTools { update, .. }, None) => {
                let how = if there.is_some() { "-u" } else { "-c" };
                run(host, ChildCommand::of(update).args([how, "-k", release.as_str()]))?
            }
            (Self::Dracut(_), None) => {
                let path = there.unwrap_or_else(|| new_image_of(host, release));
                let own = OwnImage { path: host.on_this_machine(&path), keep_old: false };
                self.beside(host, release, &own)?;
                return Ok(path);
            }
        };
        let image = image_of(host, release).ok_or_else(|| MakerError::NotFound(release.clone()))?;
        let on_machine = host.on_this_machine(&image);
        sync(&on_machine)?;
        self.check(host, release, &on_machine, &said)?;
        Ok(image)
    }

    /// Makes it beside its place, and renames it there once it is whole.
    fn beside(&self, host: &Host, release: &KernelRelease, own: &OwnImage) -> Result<(), MakerError> {
        let name = own.path.file_name().unwrap_or_default().to_string_lossy();
        let next = own.path.with_file_name(format!(".{name}.stap-bundle"));
        let made = self.make_at(host, release, &next).and_then(|()| {
            if own.keep_old {
                keep(&own.path)?;
            }
            let renamed = std::fs::rename(&next, &own.path);
            renamed.map_err(|error| FileError::new("rename", &next, error))?;
            Ok(sync(&own.path)?)
        });
        if made.is_err() {
            // The error is the news.
            let _ = std::fs::remove_file(&next);
        }
        made
    }

    fn make_at(&self, host: &Host, release: &KernelRelease, image: &Path) -> Result<(), MakerError> {
        let command = match self {
            Self::InitramfsTools { make, .. } => {
                ChildCommand::of(make).arg("-o").arg(image).arg(release.as_str())
            }
            Self::Dracut(dracut) => ChildCommand::of(dracut).arg("--force").arg(image).arg(release.as_str()),
        };
        let said = run(host, command)?;
        sync(image)?;
        self.check(host, release, image, &said)
    }

    /// Both makers end with 0 although a hook has failed (INIT-ONBOOT-05).
    fn check(
        &self,
        host: &Host,
        release: &KernelRelease,
        image: &Path,
        said: &str,
    ) -> Result<(), MakerError> {
        let expected = given_image(&host.files, release)?.is_some();
        if !expected {
            return Ok(());
        }
        let program = match self {
            Self::InitramfsTools { .. } => "lsinitramfs",
            Self::Dracut(_) => "lsinitrd",
        };
        let listed = run(host, ChildCommand::new(program).arg(image))?;
        if listed.lines().any(|line| line.ends_with(MARK)) {
            return Ok(());
        }
        Err(MakerError::Empty { image: image.to_owned(), said: last_lines(said) })
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

/// What is worth showing of what a maker said.
fn last_lines(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(5);
    lines.get(from..).unwrap_or_default().join("; ")
}

/// A second name for the image that is there, unless an older one has it.
fn keep(path: &Path) -> Result<(), FileError> {
    let mut old = path.as_os_str().to_owned();
    old.push(".bak");
    match hard_link(path, &old) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Such as on the EFI system partition, which has no second names.
        Err(_) => std::fs::copy(path, &old).map(drop).map_err(|error| FileError::new("copy", path, error)),
        Ok(()) => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), FileError> {
    let synced = files::read::open(path)?.sync_all();
    synced.map_err(|error| FileError::new("sync", path, error))?;
    files::read::sync_directory(path.parent().unwrap_or(Path::new("/")))
}
