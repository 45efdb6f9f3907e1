//! What everyone needs who goes through the frames of a bundle: which of them are needed, which one a header belongs to,
//! and the plain tars that later frames refer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::container::{MemberReader, Source, decompress, member_header, member_span};
use crate::document::{BundleError, Frame, FrameOf, Part, digest_problem};
use crate::limits::{BLOCK, END_MARK};
use crate::names::Digest;

/// What of a bundle's frames is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// Frames in the file.
    pub present: usize,
    /// Frames in the manifest.
    pub total: usize,
}

/// Bytes from the first frame's header to the end of a file that has all frames.
pub(crate) fn span_of_all(frames: &[FrameOf<'_>]) -> u64 {
    frames.iter().map(|of| member_span(of.frame.size)).sum::<u64>() + END_MARK as u64
}

/// The wanted frames and all that they refer to.
pub(crate) fn needed_by(frames: &[FrameOf<'_>], is_wanted: impl Fn(&FrameOf<'_>) -> bool) -> BTreeSet<usize> {
    let mut needed = BTreeSet::new();
    for (index, of) in frames.iter().enumerate().rev() {
        if is_wanted(of) || needed.contains(&index) {
            needed.insert(index);
            needed.extend(of.frame.reference);
        }
    }
    needed
}

/// Which frame a header belongs to: the next one, or a later one if some are absent.
pub(crate) fn frame_of_header(
    frames: &[FrameOf<'_>],
    next: usize,
    block: &[u8; BLOCK],
    offset: u64,
) -> Result<usize, BundleError> {
    for (index, of) in frames.iter().enumerate().skip(next) {
        if *block == member_header(&of.member, of.frame.size)? {
            return Ok(index);
        }
    }
    let expected =
        frames.get(next).map_or_else(|| "the end mark".to_owned(), |of| format!("`{}`", of.member));
    Err(BundleError::Header { offset, expected })
}

/// Reads the header of a frame, the one at `next` or a later one; `None` at the end mark, whose first block was read then.
pub(crate) fn next_frame<S: Source>(
    reader: &mut MemberReader<S>,
    frames: &[FrameOf<'_>],
    next: usize,
) -> Result<Option<usize>, BundleError> {
    let offset = reader.offset();
    let block = reader.block("a frame's header")?;
    if block == [0; BLOCK] {
        return Ok(None);
    }
    frame_of_header(frames, next, &block, offset).map(Some)
}

/// Gives the plain tar of a base by its digest.
pub(crate) type GiveBase<'g> = dyn FnMut(&Digest) -> Result<Arc<Vec<u8>>, BundleError> + 'g;

/// The plain tars that later frames refer to, each until its last use.
#[derive(Debug, Default)]
pub(crate) struct References {
    last_use: BTreeMap<usize, usize>,
    plain: BTreeMap<usize, Arc<Vec<u8>>>,
}

impl References {
    /// For these frames to be decoded, in the order of their indexes.
    pub(crate) fn of<'f>(decoded: impl IntoIterator<Item = &'f Frame>) -> Self {
        let uses = decoded.into_iter().filter_map(|frame| Some((frame.reference?, frame.index)));
        Self { last_use: uses.collect(), plain: BTreeMap::new() }
    }

    /// Decodes a frame whose compressed digest was compared, compares the plain one, and keeps the tar if a later frame
    /// refers to it.
    pub(crate) fn decode(
        &mut self,
        of: &FrameOf<'_>,
        compressed: &[u8],
        base: &mut GiveBase<'_>,
    ) -> Result<Arc<Vec<u8>>, BundleError> {
        let reference = self.reference_of(of, base)?;
        let plain = Arc::new(decoded(of, compressed, reference.as_deref())?);
        self.keep(of.frame, &plain);
        Ok(plain)
    }

    /// The plain tar that a frame refers to; none if it refers to none.
    pub(crate) fn reference_of(
        &self,
        of: &FrameOf<'_>,
        base: &mut GiveBase<'_>,
    ) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
        match &of.frame.base {
            Some(digest) => base(digest).map(Some),
            None => Ok(of.frame.reference.and_then(|reference| self.plain.get(&reference)).cloned()),
        }
    }

    /// Keeps the tar of a frame if a later one refers to it, and lets go of those that no later one does.
    pub(crate) fn keep(&mut self, frame: &Frame, plain: &Arc<Vec<u8>>) {
        self.plain
            .retain(|reference, _| self.last_use.get(reference).is_some_and(|last| *last > frame.index));
        if self.last_use.contains_key(&frame.index) {
            self.plain.insert(frame.index, Arc::clone(plain));
        }
    }
}

/// Decodes a frame whose compressed digest was compared, and compares the plain one.
pub(crate) fn decoded(
    of: &FrameOf<'_>,
    compressed: &[u8],
    reference: Option<&Vec<u8>>,
) -> Result<Vec<u8>, BundleError> {
    let FrameOf { frame, member, .. } = of;
    let plain = decompress(compressed, reference.map(Vec::as_slice), frame.plain_size, member)?;
    digest_problem(Part::Plain, member, &frame.plain_sha256, Digest::of(&plain))?;
    Ok(plain)
}
