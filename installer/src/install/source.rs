//! Where a bundle comes from: a file, or a stream that can be read once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bundle_format::{Positioned, Source, Stream};

/// Where a bundle comes from.
pub enum BundleSource<'s> {
    /// A file, or the bytes of a small one. Several may read it at the same time.
    File(Positioned),
    /// A pipe or the like. As it may stall, it is read to its end before the lock is taken.
    Stream(Box<dyn Read + 's>),
}

impl std::fmt::Debug for BundleSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "BundleSource::File",
            Self::Stream(_) => "BundleSource::Stream",
        })
    }
}

impl From<File> for BundleSource<'_> {
    /// What is opened by a name may also be a pipe; and a small file is read once for all who look at it.
    fn from(file: File) -> Self {
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => {
                let small = small(&file, metadata.len()).map(Positioned::in_memory);
                Self::File(small.unwrap_or_else(|| Positioned::new(Arc::new(file))))
            }
            _ => Self::Stream(Box::new(file)),
        }
    }
}

/// Bytes of a file that is small. Most deltas are.
const SMALL: u64 = 1 << 20;

/// All of a small file; nothing if it isn't, or can't be read, which its reader will tell.
fn small(file: &File, len: u64) -> Option<Arc<Vec<u8>>> {
    if len > SMALL {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(Arc::new(bytes))
}

impl<'s> BundleSource<'s> {
    /// A source that can be read once.
    pub fn stream(source: impl Read + 's) -> Self {
        Self::Stream(Box::new(source))
    }
}

/// What a bundle is read on from once its manifest is proven.
pub(super) trait Arriving: Source {
    /// Another reader of the same from the first byte, if that can be had: what is wanted is then read in any order, by several.
    fn again(&self) -> Option<Positioned>;

    /// All of it from the first byte, and how many bytes were read of it.
    fn whole(self) -> (impl Read, u64);

    /// Nobody will ask for the whole of it.
    fn forget(&mut self) {}
}

impl Arriving for Positioned {
    fn again(&self) -> Option<Positioned> {
        Some(Self::again(self))
    }

    fn whole(self) -> (impl Read, u64) {
        (Self::again(&self), self.position())
    }
}

/// A stream of which nothing is lost: the limits of the format keep what is read up to the manifest to some 8 MiB.
pub(crate) struct Remembering<R> {
    source: R,
    /// `None` once nobody will ask for it.
    read: Option<Vec<u8>>,
}

impl<R: Read> Remembering<R> {
    pub(crate) const fn new(source: R) -> Stream<Self> {
        Stream(Self { source, read: Some(Vec::new()) })
    }

    /// What was read, and then the rest.
    pub(crate) fn into_whole(self) -> io::Chain<io::Cursor<Vec<u8>>, R> {
        io::Cursor::new(self.read.unwrap_or_default()).chain(self.source)
    }
}

impl<R: Read> Read for Remembering<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if let Some(remembered) = &mut self.read {
            remembered.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
        Ok(read)
    }
}

impl<R: Read> Arriving for Stream<Remembering<R>> {
    fn again(&self) -> Option<Positioned> {
        None
    }

    fn whole(self) -> (impl Read, u64) {
        let read = self.0.read.as_ref().map_or(0, Vec::len) as u64;
        (self.0.into_whole(), read)
    }

    fn forget(&mut self) {
        self.0.read = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_of_a_stream_comes_once_more() {
        let mut source = Remembering::new(&b"0123456789"[..]);
        assert_eq!(source.read_full(&mut [0; 3]).unwrap(), 3);
        source.skip(2).unwrap();
        let (mut whole, read) = source.whole();
        assert_eq!(read, 5);
        let mut text = String::new();
        whole.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123456789");
        assert!(Remembering::new(&b"01"[..]).skip(3).is_err());
    }

    #[test]
    fn a_bundle_that_was_installed_again_from_a_pipe_was_kept_in_memory() {
        let mut source = Remembering::new(io::repeat(1));
        source.read_full(&mut [0; 3]).unwrap();
        source.forget();
        source.skip(100_000).unwrap();
        assert_eq!(source.0.read, None);
    }

    #[test]
    fn a_pipe_that_was_opened_as_a_file_is_a_stream() {
        let (pipe, _writer) = io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        assert!(matches!(BundleSource::from(pipe), BundleSource::Stream(_)));
        let file = tempfile::tempfile().unwrap();
        file.set_len(SMALL).unwrap();
        assert!(matches!(BundleSource::from(file.try_clone().unwrap()), BundleSource::File(_)));
        file.set_len(SMALL + 1).unwrap();
        assert!(matches!(BundleSource::from(file), BundleSource::File(_)));
    }
}
