//! What the frames of a delta refer to and its file doesn't have: plain tars of frames of the full bundle that it was
//! made from (`docs/bundle-spec.md`, section 8.6).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use crate::container::{MemberReader, decompress};
use crate::document::{BaseBundle, BundleError, BundleKind, FrameOf, Kernel, Manifest, Part, digest_problem};
use crate::limits::{MAX_LIVE_REFERENCES, MAX_REFERENCE_AND_FRAME};
use crate::names::{BundleId, Digest, KernelId};
use crate::read::frames::next_frame;
use crate::read::verified::VerifiedBundle;

/// Gives plain tars that the frames of a delta refer to.
pub trait Bases {
    /// The plain tar with this digest, which a frame of `kernel` refers to; `None` if it can't be had. What is given is
    /// compared with the digest before it is used.
    fn plain(&mut self, base: &Digest, kernel: &Kernel) -> Result<Option<Arc<Vec<u8>>>, BundleError>;
}

/// There are none: a full bundle needs none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoBases;

impl Bases for NoBases {
    fn plain(&mut self, _base: &Digest, _kernel: &Kernel) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
        Ok(None)
    }
}

/// The base of a frame, compared with its digest; an error that says what to bring if it can't be had.
pub(crate) fn base_of(
    bases: &mut dyn Bases,
    from: Option<&BaseBundle>,
    of: &FrameOf<'_>,
    base: &Digest,
) -> Result<Arc<Vec<u8>>, BundleError> {
    let found = bases.plain(base, of.kernel).map_err(|error| BundleError::Base(Box::new(error)))?;
    let Some(plain) = found else {
        return Err(BundleError::BaseAbsent {
            release: of.kernel.release.clone(),
            base: *base,
            from: from.cloned().map(Box::new),
        });
    };
    digest_problem(Part::Plain, &format!("{} (its base)", of.member), base, Digest::of(&plain))
        .map_err(|error| BundleError::Base(Box::new(error)))?;
    let both = plain.len() as u64 + of.frame.plain_size;
    if both > MAX_REFERENCE_AND_FRAME {
        let member = format!("`{}` and its base", of.member);
        return Err(BundleError::OverLimit { member, len: both, limit: MAX_REFERENCE_AND_FRAME });
    }
    Ok(plain)
}

/// The frames of a verified full bundle in a file, each to be had by the digest of its plain tar, in any order.
#[derive(Debug)]
pub struct BaseFile {
    id: BundleId,
    manifest: Arc<Manifest>,
    reader: MemberReader<File>,
    /// Where the content of each frame in the file begins.
    places: BTreeMap<usize, u64>,
    recent: Recent,
}

/// Plain tars by their frame's index that were asked for last, the newest last: as many as a reader may hold of a
/// bundle's own references. A tar has at most a quarter of that, so a frame, its reference, and that one's are among them.
#[derive(Debug, Default)]
struct Recent {
    plains: Vec<(usize, Arc<Vec<u8>>)>,
}

impl Recent {
    fn get(&mut self, index: usize) -> Option<Arc<Vec<u8>>> {
        let place = self.plains.iter().position(|(recent, _)| *recent == index)?;
        let found = self.plains.remove(place);
        let plain = Arc::clone(&found.1);
        self.plains.push(found);
        Some(plain)
    }

    /// Lets go of the oldest until there is room for `len` bytes more.
    fn make_room(&mut self, len: u64) {
        while !self.plains.is_empty() && self.bytes().saturating_add(len) > MAX_LIVE_REFERENCES {
            self.plains.remove(0);
        }
    }

    fn add(&mut self, index: usize, plain: Arc<Vec<u8>>) {
        self.make_room(plain.len() as u64);
        self.plains.push((index, plain));
    }

    fn bytes(&self) -> u64 {
        self.plains.iter().map(|(_, plain)| plain.len() as u64).sum()
    }
}

impl BaseFile {
    /// Finds the frames that are in the file; none is decoded yet.
    pub fn open(mut bundle: VerifiedBundle<File>) -> Result<Self, BundleError> {
        let id = bundle.id();
        bundle.pass_extras()?;
        let (manifest, mut reader) = bundle.into_parts();
        let mut places = BTreeMap::new();
        let frames = manifest.frames();
        let mut next = 0;
        while let Some(index) = next_frame(&mut reader, &frames, next)? {
            places.insert(index, reader.offset());
            let Some(of) = frames.get(index) else { break };
            reader.skip(&of.member, of.frame.size)?;
            next = index + 1;
        }
        Ok(Self { id, manifest, reader, places, recent: Recent::default() })
    }

    /// What a delta says of it.
    #[must_use]
    pub fn bundle(&self) -> BaseBundle {
        let Manifest { version, serial, .. } = self.manifest.as_ref();
        BaseBundle { id: self.id, version: version.clone(), serial: *serial }
    }

    /// The index of a kernel's frame at position `number`.
    pub(crate) fn index_for(&self, kernel: &KernelId, number: usize) -> Option<usize> {
        let kernel = self.manifest.kernels.iter().find(|candidate| candidate.id == *kernel)?;
        kernel.frames.get(number).map(|frame| frame.index)
    }

    /// Refuses what no delta can be made from: a delta, or a file without all its frames.
    pub fn check_is_full(&self) -> Result<(), BundleError> {
        let no_base = |problem: &str| BundleError::NoBase { problem: problem.to_owned() };
        if self.manifest.kind == BundleKind::Delta {
            return Err(no_base("it is a delta itself; name the full bundle"));
        }
        if self.places.len() != self.manifest.frames().len() {
            return Err(no_base("it is a subset; name the whole bundle"));
        }
        Ok(())
    }

    /// The signed account.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The kernels all of whose frames are in the file, by the headers alone: no frame is read for it.
    #[must_use]
    pub fn kernels(&self) -> BTreeSet<KernelId> {
        self.manifest.kernels_of(&self.places.keys().copied().collect())
    }

    /// The plain tar of frame `index`, proven down to its digest; `None` if the file lacks it or a reference of it.
    pub fn plain_of(&mut self, index: usize) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
        if let Some(plain) = self.recent.get(index) {
            return Ok(Some(plain));
        }
        let Some(place) = self.places.get(&index).copied() else { return Ok(None) };
        let manifest = self.manifest.clone();
        let frames = manifest.frames();
        let Some(of) = frames.get(index) else { return Ok(None) };
        let reference = match of.frame.reference {
            None => None,
            // An earlier frame, so this ends.
            Some(reference) => match self.plain_of(reference)? {
                None => return Ok(None),
                found => found,
            },
        };
        if of.frame.base.is_some() {
            return Ok(None);
        }
        self.reader.go_to(place)?;
        let compressed = self.reader.body(&of.member, of.frame.size)?;
        digest_problem(Part::Frame, &of.member, &of.frame.sha256, Digest::of(&compressed))?;
        let reference = reference.as_ref().map(|plain| plain.as_slice());
        // Before the new one is made: the two together are the most that is in memory.
        self.recent.make_room(of.frame.plain_size);
        let plain = Arc::new(decompress(&compressed, reference, of.frame.plain_size, &of.member)?);
        digest_problem(Part::Plain, &of.member, &of.frame.plain_sha256, Digest::of(&plain))?;
        self.recent.add(index, Arc::clone(&plain));
        Ok(Some(plain))
    }
}

impl Bases for BaseFile {
    fn plain(&mut self, base: &Digest, _kernel: &Kernel) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
        let frames = self.manifest.kernels.iter().flat_map(|kernel| &kernel.frames);
        let found = frames.into_iter().find(|frame| frame.plain_sha256 == *base).map(|frame| frame.index);
        found.map_or(Ok(None), |index| self.plain_of(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_PLAIN_FRAME;

    #[test]
    fn the_cache_of_bases_counted_tars_and_not_bytes() {
        let largest = usize::try_from(MAX_PLAIN_FRAME).unwrap();
        let mut recent = Recent::default();
        let mut most = 0;
        for index in 0..12 {
            // Six of this size are half as much again as a reader may hold. Nobody touches their pages.
            recent.add(index, Arc::new(vec![0; largest]));
            most = most.max(recent.bytes());
        }
        assert_eq!(most, MAX_LIVE_REFERENCES);
        assert!(recent.get(7).is_none() && recent.get(8).is_some());
        // What was asked for last goes last.
        recent.add(12, Arc::new(vec![0; largest]));
        assert!(recent.get(9).is_none() && recent.get(8).is_some());
        // Of small ones there may be many.
        let mut recent = Recent::default();
        (0..1000).for_each(|index| recent.add(index, Arc::new(vec![0; 1000])));
        assert!((0..1000).all(|index| recent.get(index).is_some()));
    }
}
