//! One output: from the judgement of its place to the finished file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use files::FileError;
use files::read::open;
use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use super::spot::{in_words, is_stream, parent_of};
use super::terms::{Name, Standing, Terms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::persist::persist_new;
use crate::ui::{OUTPUT, Ui};
use crate::words::bytes;

/// How often a place is judged again that changes while the file gets its name.
const TRIES: usize = 3;
/// Bytes that are compared at a time.
const BLOCK: usize = 1 << 16;

/// The judged place of an output, and the file that is to get its name. Bytes are written into it; [`OutputPlace::finish`] puts it there.
#[derive(Debug)]
pub(crate) struct OutputPlace {
    terms: Terms,
    name: Option<Name>,
    target: BufWriter<Target>,
    bytes: u64,
    /// Whether the disk was found full.
    is_full: bool,
}

#[derive(Debug)]
enum Target {
    /// Under a temporary name in the directory of its own.
    File(NamedTempFile),
    /// A device or a pipe: it takes the bytes as they come.
    Stream(File),
}

/// What writing came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    /// Whether the file had these bytes already.
    pub(crate) is_unchanged: bool,
}

impl Written {
    /// Says so if nothing changed.
    pub(crate) fn tell(self, ui: &mut Ui, path: &Path) {
        if self.is_unchanged {
            ui.progress(format!("{} has these bytes already; it stays as it is", path.display()));
        }
    }
}

impl OutputPlace {
    pub(super) fn judge(terms: Terms, shown: &Path, path: PathBuf) -> Result<Self, Failure> {
        let name = Name { shown: in_words(shown).to_owned(), path };
        let target = if is_stream(&name.path) {
            Target::Stream(open_stream(&terms, &name)?)
        } else {
            let standing = terms.standing(&name)?;
            if !terms.kind.repeats() && matches!(standing, Standing::There { replaceable: false }) {
                return Err(terms.other_bytes(&name));
            }
            Target::File(temporary(&terms, &name)?)
        };
        Ok(Self { terms, name: Some(name), target: BufWriter::new(target), bytes: 0, is_full: false })
    }

    /// One in the current directory that has no name yet.
    #[cfg(feature = "farm")]
    pub(super) fn without_name(terms: Terms) -> Result<Self, Failure> {
        let here = Name { shown: "NAME-VERSION".into(), path: "NAME-VERSION".into() };
        let target = Target::File(temporary(&terms, &here)?);
        Ok(Self { terms, name: None, target: BufWriter::new(target), bytes: 0, is_full: false })
    }

    #[cfg(feature = "farm")]
    pub(super) const fn has_name(&self) -> bool {
        self.name.is_some()
    }

    #[cfg(feature = "farm")]
    pub(super) const fn option(&self) -> &'static str {
        self.terms.option
    }

    #[cfg(feature = "farm")]
    pub(super) fn named(mut self, shown: &Path, path: PathBuf) -> Result<Self, Failure> {
        let name = Name { shown: shown.to_owned(), path };
        self.terms.standing(&name)?;
        self.name = Some(name);
        Ok(self)
    }

    /// The finished file's path, if it will be a file: a device keeps nothing.
    #[cfg(feature = "farm")]
    pub(crate) fn file(&self) -> Option<&Path> {
        self.name
            .as_ref()
            .filter(|_| matches!(self.target.get_ref(), Target::File(_)))
            .map(|name| &*name.path)
    }

    /// Whether only the bytes that are there will do, since a file of the same kind is there that may not be replaced.
    #[cfg(feature = "farm")]
    pub(crate) fn must_be_the_same(&self) -> bool {
        let name = self.name.as_ref().filter(|_| matches!(self.target.get_ref(), Target::File(_)));
        let standing = name.map(|name| self.terms.standing(name));
        matches!(standing, Some(Ok(Standing::There { replaceable: false })))
    }

    /// Fills the file and gives it its name.
    pub(crate) fn write<T, E>(
        mut self,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<(T, Written), Failure>
    where
        Failure: From<E>,
    {
        match fill(&mut self) {
            Ok(filled) => Ok((filled, self.finish()?)),
            Err(_) if self.is_full => Err(no_space(&self.terms, self.name.as_ref(), self.bytes)),
            Err(error) => Err(Failure::from(error).about(self.shown().display())),
        }
    }

    /// As [`Self::write`], for bytes that are there already.
    #[cfg(feature = "farm")]
    pub(crate) fn write_bytes(self, bytes: &[u8]) -> Result<Written, Failure> {
        let put = |target: &mut dyn Write| {
            target.write_all(bytes).map_err(|error| Failure::of(Exit::Storage, &error))
        };
        Ok(self.write(put)?.1)
    }

    /// Refuses if the place doesn't take the bytes written so far; for several outputs that are written all or none.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        let failed =
            |error: io::Error, shown: &Path| Failure::of(Exit::Storage, &error).about(shown.display());
        self.target.flush().map_err(|error| failed(error, self.shown()))?;
        let Some(name) = &self.name else { return Ok(()) };
        let Target::File(file) = self.target.get_ref() else { return Ok(()) };
        let standing = self.terms.standing(name)?;
        if matches!(standing, Standing::There { replaceable: false })
            && !is_same_file(&name.path, file.path()).map_err(|error| failed(error, &name.shown))?
        {
            return Err(self.terms.other_bytes(name));
        }
        Ok(())
    }

    /// Gives the file its name, on the disk; what is at the place is judged once more.
    pub(crate) fn finish(self) -> Result<Written, Failure> {
        let Self { terms, name, target, bytes, .. } = self;
        let written = |is_unchanged| Written { bytes, is_unchanged };
        let name = name.unwrap_or_else(|| Name { shown: PathBuf::new(), path: PathBuf::new() });
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => no_space(&terms, Some(&name), bytes),
            _ => Failure::of(Exit::Storage, &error).about(name.shown.display()),
        };
        let mut file = match target.into_inner().map_err(|error| failed(error.into_error()))? {
            Target::File(file) => file,
            Target::Stream(_) => return Ok(written(false)),
        };
        file.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        for _ in 0..TRIES {
            match terms.standing(&name)? {
                Standing::Free => match persist_new(file, &name.path) {
                    Ok(_) => return sync_directory(&name.path).map_err(failed).map(|()| written(false)),
                    // Somebody was quicker: what is there now is judged too.
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
                    Err(error) => return Err(failed(error.error)),
                },
                Standing::There { .. } if is_same_file(&name.path, file.path()).map_err(failed)? => {
                    return Ok(written(true));
                }
                Standing::There { replaceable: true } => {
                    file.persist(&name.path).map_err(|error| failed(error.error))?;
                    return sync_directory(&name.path).map_err(failed).map(|()| written(false));
                }
                Standing::There { replaceable: false } => return Err(terms.other_bytes(&name)),
            }
        }
        let what =
            format!("{} keeps appearing and disappearing: another process is using it", name.shown.display());
        Err(Failure::new(Exit::Conflict, what).hint(terms.another()))
    }

    /// The path as the user gave it.
    pub(crate) fn shown(&self) -> &Path {
        self.name.as_ref().map_or(Path::new(""), |name| &name.shown)
    }
}

impl Write for OutputPlace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes);
        self.is_full |= written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull);
        let written = written?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

/// A full disk; how much is needed in all isn't known before the end.
fn no_space(terms: &Terms, name: Option<&Name>, written: u64) -> Failure {
    let directory = name.map_or(Path::new("."), |name| parent_of(&name.path));
    let free =
        rustix::fs::statvfs(directory).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    // What was written goes with the temporary file.
    let what = format!(
        "not enough space in {}: needs more than {}, {} free",
        directory.display(),
        bytes(written),
        bytes(free)
    );
    Failure::new(Exit::Storage, what).hint(format!("choose another place with {} FILE", terms.option))
}

/// The temporary file, beside the place.
fn temporary(terms: &Terms, name: &Name) -> Result<NamedTempFile, Failure> {
    let directory = parent_of(&name.path);
    if !directory.exists() {
        let what = format!("{}: the directory {} isn't there", name.shown.display(), directory.display());
        return Err(Failure::new(Exit::Storage, what)
            .hint(format!("make it: mkdir -p {}", directory.display()))
            .hint(format!("or name another place: {} FILE", terms.option)));
    }
    NamedTempFile::new_in(directory).map_err(|error| {
        Failure::of(Exit::Storage, &io::Error::from(error.kind()))
            .about(format!("can't write into {}", directory.display()))
            .hint(format!("name another place: {} FILE", terms.option))
    })
}

/// Opens a device or a pipe. One that nothing reads would make the command wait when its work is done.
fn open_stream(terms: &Terms, name: &Name) -> Result<File, Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::of(Exit::Storage, &error).about(name.shown.display());
        if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
            return Failure::new(
                Exit::Storage,
                format!("{} is a pipe that nothing reads", name.shown.display()),
            )
            .hint(format!("start its reader first, or {}", terms.another()));
        }
        failure
    };
    if name.path == Path::new(OUTPUT) {
        // A descriptor of its own: dropping it must not close standard output for others.
        return io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(failed);
    }
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().append(true).custom_flags(flags).open(&name.path).map_err(failed)?;
    rustix::fs::fcntl_setfl(&file, OFlags::APPEND).map_err(|errno| failed(errno.into()))?;
    Ok(file)
}

/// Whether two regular files have the same bytes.
pub(crate) fn is_same_file(there: &Path, new: &Path) -> io::Result<bool> {
    let mut there = open(there).map_err(FileError::into_source)?;
    let mut new = open(new).map_err(FileError::into_source)?;
    if there.metadata()?.len() != new.metadata()?.len() {
        return Ok(false);
    }
    let mut left = vec![0; BLOCK];
    let mut right = vec![0; BLOCK];
    loop {
        let len = there.read(&mut left)?;
        let Some(one) = left.get(..len) else { return Ok(false) };
        let Some(other) = right.get_mut(..len) else { return Ok(false) };
        // A file that became shorter meanwhile isn't the same.
        match new.read_exact(other) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if one != other || len == 0 {
            return Ok(one == other);
        }
    }
}

/// The name is to last too.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).open(parent_of(path))?.sync_all()
}
