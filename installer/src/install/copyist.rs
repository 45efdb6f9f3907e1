//! Writes the kept file beside the unpacking.
//!
//! A host unpacks one kernel of a bundle that may have hundreds, and keeps all of it. So a thread reads the whole file once
//! more, writes what it reads, hashes every member and waits for the disk, while the kernels that are wanted are unpacked:
//! what a bundle has for other kernels costs next to nothing then. The copy is what was verified, for it is judged by itself:
//! its first members must be the ones whose signatures were checked, and every other must have the digest that those give.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SendError, Sender};
use std::thread::JoinHandle;

use bundle_format::{
    BundleError, Extent, Kernel, KernelId, NoBases, Positioned, RawBundle, Stream, Twin, VerifiedSet,
};
use files::FileError;

use crate::install::error::InstallError;

/// Bytes that are read and written at once.
const PIECE: usize = 256 << 10;
/// Bytes after which the disk is told to begin.
const FLUSHED: u64 = 1 << 20;

/// What is to be copied.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) source: Positioned,
    /// The bundle in it that was verified.
    pub(super) twin: Twin,
    /// Whether the scripts that travel along are looked into.
    pub(super) with_sources: bool,
}

/// A copy that is being written.
#[derive(Debug)]
pub(super) struct Copyist {
    copied: Receiver<Result<BTreeSet<KernelId>, BundleError>>,
    /// Set once nobody wants it any more.
    unwanted: Arc<AtomicBool>,
    /// `None` once its end was asked for.
    written: Option<Written>,
    path: PathBuf,
}

/// Whether all is on the disk.
#[derive(Debug)]
enum Written {
    /// The thread knows once it has ended.
    ByThread(JoinHandle<io::Result<()>>),
    /// There was no thread.
    Already(io::Result<()>),
}

/// What is to be done, by whichever thread.
struct Work {
    original: Original,
    target: File,
    unwanted: Arc<AtomicBool>,
    tell: Sender<Result<BTreeSet<KernelId>, BundleError>>,
}

impl Work {
    fn carry_out(self) -> io::Result<()> {
        let result = copy(self.original, &self.target, &self.unwanted);
        let is_whole = result.is_ok();
        // Nobody listens any more where the install has failed meanwhile.
        let _ = self.tell.send(result);
        if is_whole && !self.unwanted.load(Ordering::Relaxed) { self.target.sync_data() } else { Ok(()) }
    }
}

impl Copyist {
    /// Begins a copy in `target`, which errors call `path`. Where no thread can be started (a sandbox that denies clone3, a limit
    /// of processes), all of it is written before this returns.
    pub(super) fn begin(original: Original, target: File, path: PathBuf) -> Self {
        let (tell, copied) = mpsc::channel();
        let unwanted = Arc::new(AtomicBool::new(false));
        let work = Work { original, target, unwanted: Arc::clone(&unwanted), tell };
        let (hand_over, taken) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("copy".into())
            .spawn(move || taken.recv().map_or(Ok(()), Work::carry_out));
        let written = match thread {
            Ok(thread) => match hand_over.send(work) {
                Ok(()) => Written::ByThread(thread),
                Err(SendError(work)) => Written::Already(work.carry_out()),
            },
            Err(_) => Written::Already(work.carry_out()),
        };
        Self { copied, unwanted, written: Some(written), path }
    }

    /// Waits until all is read, good and written; the kernels of which all frames are in it. To be asked once.
    pub(super) fn copied(&self) -> Result<BTreeSet<KernelId>, InstallError> {
        let ended = || BundleError::Io { what: "the copy has ended", source: io::ErrorKind::Other.into() };
        let result = self.copied.recv().unwrap_or_else(|_| Err(ended()));
        result.map_err(|error| self.cause(error))
    }

    /// Whether the bundle or our own disk is the matter.
    fn cause(&self, error: BundleError) -> InstallError {
        match error {
            BundleError::Io { what, source } => match source.downcast::<NotWritten>() {
                Ok(NotWritten(error)) => FileError::new("write", &self.path, error).into(),
                Err(source) => BundleError::Io { what, source }.into(),
            },
            other => other.into(),
        }
    }

    /// Waits until the copy is on the disk.
    pub(super) fn finish(mut self) -> Result<(), FileError> {
        self.ended().map_err(|error| FileError::new("write", &self.path, error))
    }

    fn ended(&mut self) -> io::Result<()> {
        match self.written.take() {
            None => Ok(()),
            Some(Written::Already(result)) => result,
            Some(Written::ByThread(thread)) => {
                thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes has panicked")))
            }
        }
    }
}

impl Drop for Copyist {
    /// Who removes what was staged must not meet one who still writes it.
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
        let _ = self.ended();
    }
}

/// What couldn't be written, on its way through who reads.
#[derive(Debug, thiserror::Error)]
#[error("the copy can't be written")]
struct NotWritten(#[source] io::Error);

fn copy(original: Original, target: &File, unwanted: &AtomicBool) -> Result<BTreeSet<KernelId>, BundleError> {
    let Original { source, twin, with_sources } = original;
    let copying = Copying { source, target, unwanted, flushed: 0 };
    let copying = Stream(BufReader::with_capacity(PIECE, copying));
    let bundle = RawBundle::read(copying)?.verify_twin(&twin)?.checking_sources(with_sources);
    let nothing = &mut |_: &Kernel, _: &VerifiedSet<'_>| Ok(());
    let read = bundle.read_content_with(&BTreeSet::new(), Extent::Everything, &mut NoBases, nothing);
    read.map(|(_, kernels)| kernels)
}

/// A source that writes what is read of it.
struct Copying<'c> {
    source: Positioned,
    target: &'c File,
    unwanted: &'c AtomicBool,
    /// Bytes of the copy that the disk was told of.
    flushed: u64,
}

impl Copying<'_> {
    /// Lets the disk begin with what was written: else it would idle until the end, and then be waited for. Linux begins to
    /// write dirty pages that are said not to be needed any more (`mm/fadvise.c`), and keeps them while it does. A file system
    /// that doesn't has just more to do at the end.
    fn begin_to_flush(&mut self) {
        let written = self.source.position();
        if let Some(len) = NonZeroU64::new(written - self.flushed).filter(|len| len.get() >= FLUSHED) {
            let _ = rustix::fs::fadvise(self.target, self.flushed, Some(len), rustix::fs::Advice::DontNeed);
            self.flushed = written;
        }
    }
}

impl Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unwanted.load(Ordering::Relaxed) {
            return Err(io::Error::other("nobody wants the copy any more"));
        }
        let read = self.source.read(buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        self.target.write_all(bytes).map_err(|error| io::Error::other(NotWritten(error)))?;
        self.begin_to_flush();
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use bundle_format::TrustedKeys;

    use super::*;
    use crate::tests::choices::subset;
    use crate::tests::world::{bundle, farm, file, public};

    /// Begins to copy a bundle's file after `change` was made to it, and gives what comes of it.
    fn copied(target: File, change: impl FnOnce(&File, &[u8])) -> Result<BTreeSet<KernelId>, InstallError> {
        let bytes = bundle(1).bytes();
        let file = Arc::new(file(&bytes));
        let raw = RawBundle::read(Positioned::new(Arc::clone(&file))).unwrap();
        let twin = raw.verify(&TrustedKeys::any_of([public(&farm())])).unwrap().twin();
        change(&file, &bytes);
        let original = Original { source: Positioned::new(file), twin, with_sources: false };
        let copyist = Copyist::begin(original, target, "/copy".into());
        let kernels = copyist.copied()?;
        copyist.finish()?;
        Ok(kernels)
    }

    fn place_of(bytes: &[u8], what: &[u8]) -> u64 {
        bytes.windows(what.len()).position(|window| window == what).unwrap() as u64
    }

    #[test]
    fn the_copy_has_the_same_bytes() {
        let target = tempfile::NamedTempFile::new().unwrap();
        copied(target.reopen().unwrap(), |_, _| ()).unwrap();
        assert!(std::fs::read(target.path()).unwrap() == bundle(1).bytes());
    }

    #[test]
    fn a_file_that_was_changed_after_it_was_verified_is_not_kept() {
        let target = || tempfile::tempfile().unwrap();
        let other = bundle(2).bytes();
        let result = copied(target(), |file, _| {
            file.set_len(0).unwrap();
            file.write_all_at(&other, 0).unwrap();
        });
        assert!(matches!(result, Err(InstallError::Bundle(BundleError::Changed))), "{result:?}");
        // The same manifest with other signatures would be refused at the next look.
        let result = copied(target(), |file, bytes| {
            let place = place_of(bytes, b"signatures") + 512;
            let mut block = bytes[usize::try_from(place).unwrap()..][..512].to_vec();
            let last = block.iter().rposition(|byte| *byte != 0).unwrap();
            block[last] ^= 1;
            file.write_all_at(&block, place).unwrap();
        });
        assert!(matches!(result, Err(InstallError::Bundle(BundleError::Changed))), "{result:?}");
        let result = copied(target(), |file, bytes| file.set_len(bytes.len() as u64 - 1).unwrap());
        assert!(matches!(result, Err(InstallError::Bundle(BundleError::Truncated { .. }))), "{result:?}");
        let result = copied(target(), |file, bytes| file.write_all_at(b"x", bytes.len() as u64).unwrap());
        assert!(matches!(result, Err(InstallError::Bundle(BundleError::TrailingBytes { .. }))), "{result:?}");
    }

    /// The same manifest with the same signatures: only what is in it tells it from the file that is unpacked.
    #[test]
    fn a_subset_in_the_place_of_the_whole_is_told_by_its_kernels() {
        let subset = subset(&bundle(1), &["6.12.1"]);
        let target = || tempfile::tempfile().unwrap();
        let whole = copied(target(), |_, _| ()).unwrap();
        let less = copied(target(), |file, _| {
            file.set_len(0).unwrap();
            file.write_all_at(&subset, 0).unwrap();
        });
        assert_eq!((whole.len(), less.unwrap().len()), (3, 1));
    }

    #[test]
    fn a_full_disk_is_told_from_a_bundle_that_cannot_be_read() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        match copied(full, |_, _| ()) {
            Err(InstallError::Storage(error)) => assert!(error.is_no_space()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_does_not_want_it_any_more_does_not_wait_for_all_of_it() {
        let file = Arc::new(file(&bundle(1).bytes()));
        let unwanted = AtomicBool::new(true);
        let raw = RawBundle::read(Positioned::new(Arc::clone(&file))).unwrap();
        let twin = raw.verify(&TrustedKeys::any_of([public(&farm())])).unwrap().twin();
        let target = tempfile::tempfile().unwrap();
        copy(Original { source: Positioned::new(file), twin, with_sources: false }, &target, &unwanted)
            .unwrap_err();
        assert_eq!(target.metadata().unwrap().len(), 0);
    }
}
