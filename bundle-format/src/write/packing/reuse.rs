//! Frames of an older bundle, copied where nothing changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::container::{Source, VerifiedSet};
use crate::document::{BundleError, Frame, Manifest, Part, digest_problem};
use crate::limits::BLOCK;
use crate::names::Digest;
use crate::read::{References, VerifiedBundle, next_frame};

/// Which frames of an older bundle are wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    frames: BTreeSet<usize>,
    /// Frames that any other refers to, wanted or not.
    references: BTreeSet<usize>,
}

impl Wanted {
    /// Whether in the older bundle another frame refers to this one.
    pub(super) fn is_reference(&self, index: usize) -> bool {
        self.references.contains(&index)
    }
}

/// The frames whose SET.json is wanted, so long as what they refer to is wanted too.
pub(super) fn wanted(old: &Manifest, is_wanted: impl Fn(&Digest) -> bool) -> Wanted {
    let mut wanted = Wanted { frames: BTreeSet::new(), references: BTreeSet::new() };
    for of in old.frames() {
        let Frame { index, reference, set_sha256, .. } = of.frame;
        wanted.references.extend(reference);
        let has_base = of.frame.base.is_some();
        if !has_base
            && is_wanted(set_sha256)
            && reference.is_none_or(|reference| wanted.frames.contains(&reference))
        {
            wanted.frames.insert(*index);
        }
    }
    wanted
}

/// Takes a frame, its compressed bytes and its plain ones.
pub(super) type TakeFrame<'t> = dyn FnMut(&Frame, &[u8], Arc<Vec<u8>>) -> Result<(), BundleError> + 't;

/// A verified bundle of any source.
pub(super) trait OldFrames {
    fn manifest(&self) -> &Manifest;

    /// Gives out the wanted frames that are in the file, in the order of their indexes, each verified down to
    /// its modules.
    fn copy(self: Box<Self>, wanted: &Wanted, take: &mut TakeFrame<'_>) -> Result<(), BundleError>;
}

impl<S: Source> OldFrames for VerifiedBundle<S> {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn copy(self: Box<Self>, wanted: &Wanted, take: &mut TakeFrame<'_>) -> Result<(), BundleError> {
        copy(*self, wanted, take).map_err(|error| match error {
            BundleError::Cancelled => error,
            other => BundleError::OldBundle(Box::new(other)),
        })
    }
}

/// Frames with a base are never wanted.
fn no_base() -> BundleError {
    BundleError::NoBase { problem: "it is a delta itself".to_owned() }
}

fn copy<S: Source>(
    mut old: VerifiedBundle<S>,
    wanted: &Wanted,
    take: &mut TakeFrame<'_>,
) -> Result<(), BundleError> {
    old.pass_extras()?;
    let (manifest, mut reader) = old.into_parts();
    let frames = manifest.frames();
    let decoded = frames.iter().map(|of| of.frame).filter(|frame| wanted.frames.contains(&frame.index));
    let mut references = References::of(decoded);
    let mut next = 0;
    loop {
        let Some(index) = next_frame(&mut reader, &frames, next)? else { return reader.end(BLOCK) };
        next = index + 1;
        let Some(of) = frames.get(index) else { continue };
        if !wanted.frames.contains(&index) {
            reader.skip(&of.member, of.frame.size)?;
            continue;
        }
        let compressed = reader.body(&of.member, of.frame.size)?;
        digest_problem(Part::Frame, &of.member, &of.frame.sha256, Digest::of(&compressed))?;
        let plain = references.decode(of, &compressed, &mut |_| Err(no_base()))?;
        VerifiedSet::read(&plain, &of.frame.set_sha256, &of.member)?;
        take(of.frame, &compressed, plain)?;
    }
}
