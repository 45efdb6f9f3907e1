//! Frames of an older bundle, copied where nothing changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::container::member_header;
use crate::digest::Digest;
use crate::error::{BundleError, Part};
use crate::frame::decompress;
use crate::limits::BLOCK;
use crate::manifest::{Frame, FrameOf, Manifest};
use crate::reader::VerifiedBundle;
use crate::set::VerifiedSet;
use crate::source::{MemberReader, Source};

/// Which frames of an older bundle are wanted.
#[derive(Debug)]
pub(super) struct Plan {
    wanted: BTreeSet<usize>,
    /// For each frame that a wanted one refers to, the last one that does.
    last_use: BTreeMap<usize, usize>,
    /// Frames that any other refers to, wanted or not.
    references: BTreeSet<usize>,
}

impl Plan {
    /// Whether in the older bundle another frame refers to this one.
    pub(super) fn is_reference(&self, index: usize) -> bool {
        self.references.contains(&index)
    }
}

/// The frames whose SET.json is wanted, so long as what they refer to is wanted too.
pub(super) fn plan(old: &Manifest, is_wanted: impl Fn(&Digest) -> bool) -> Plan {
    let mut plan = Plan { wanted: BTreeSet::new(), last_use: BTreeMap::new(), references: BTreeSet::new() };
    for of in old.frames() {
        let Frame { index, reference, set_sha256, .. } = of.frame;
        plan.references.extend(reference);
        if is_wanted(set_sha256) && reference.is_none_or(|reference| plan.wanted.contains(&reference)) {
            plan.wanted.insert(*index);
            plan.last_use.extend(reference.map(|reference| (reference, *index)));
        }
    }
    plan
}

/// Takes a frame, its compressed bytes and its plain ones.
pub(super) type TakeFrame<'t> = dyn FnMut(&Frame, &[u8], Arc<Vec<u8>>) -> Result<(), BundleError> + 't;

/// A verified bundle of any source.
pub(super) trait OldFrames {
    /// Its signed account.
    fn manifest(&self) -> &Manifest;

    /// Gives out the planned frames that are in the file, in the order of their indexes, each verified down to
    /// its modules.
    fn copy(self: Box<Self>, plan: &Plan, take: &mut TakeFrame<'_>) -> Result<(), BundleError>;
}

impl<S: Source> OldFrames for VerifiedBundle<S> {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn copy(self: Box<Self>, plan: &Plan, take: &mut TakeFrame<'_>) -> Result<(), BundleError> {
        let (manifest, mut reader) = self.into_parts();
        copy(&manifest, &mut reader, plan, take).map_err(|error| match error {
            BundleError::Cancelled => error,
            other => BundleError::OldBundle(Box::new(other)),
        })
    }
}

fn copy<S: Source>(
    manifest: &Manifest,
    reader: &mut MemberReader<S>,
    Plan { wanted, last_use, .. }: &Plan,
    take: &mut TakeFrame<'_>,
) -> Result<(), BundleError> {
    for extra in &manifest.extras {
        reader.header(&extra.name, extra.size)?;
        reader.skip(extra.size)?;
    }
    let frames = manifest.frames();
    let mut references: BTreeMap<usize, Arc<Vec<u8>>> = BTreeMap::new();
    let mut rest = frames.iter();
    loop {
        let offset = reader.offset();
        let block = reader.block("a frame's header")?;
        if block == [0; BLOCK] {
            return reader.end(BLOCK);
        }
        let of = frame_of_header(&mut rest, &block, offset)?;
        let index = of.frame.index;
        if !wanted.contains(&index) {
            reader.skip(of.frame.size)?;
            continue;
        }
        let (compressed, plain) = verified_frame(of, reader, &references)?;
        let plain = Arc::new(plain);
        references.retain(|reference, _| last_use.get(reference).is_some_and(|last| *last > index));
        if last_use.contains_key(&index) {
            references.insert(index, Arc::clone(&plain));
        }
        take(of.frame, &compressed, plain)?;
    }
}

/// The frame that a header belongs to: the next one, or a later one if some are absent.
fn frame_of_header<'f, 'm>(
    rest: &mut impl Iterator<Item = &'f FrameOf<'m>>,
    block: &[u8; BLOCK],
    offset: u64,
) -> Result<&'f FrameOf<'m>, BundleError>
where
    'm: 'f,
{
    for of in rest {
        if *block == member_header(&of.member, of.frame.size)? {
            return Ok(of);
        }
    }
    Err(BundleError::Header { offset, expected: "a frame, or the end mark".to_owned() })
}

/// The next frame's bytes, compressed and plain.
fn verified_frame<S: Source>(
    of: &FrameOf<'_>,
    reader: &mut MemberReader<S>,
    references: &BTreeMap<usize, Arc<Vec<u8>>>,
) -> Result<(Vec<u8>, Vec<u8>), BundleError> {
    let (frame, name) = (of.frame, of.member.as_str());
    let compressed = reader.body(name, frame.size)?;
    check(name, &frame.sha256, &compressed)?;
    let reference = frame.reference.and_then(|reference| references.get(&reference));
    let plain = decompress(&compressed, reference.map(|plain| plain.as_slice()), frame.plain_size, name)?;
    check(name, &frame.plain_sha256, &plain)?;
    VerifiedSet::read(&plain, &frame.set_sha256, name)?;
    Ok((compressed, plain))
}

fn check(name: &str, expected: &Digest, bytes: &[u8]) -> Result<(), BundleError> {
    let found = Digest::of(bytes);
    if found == *expected {
        return Ok(());
    }
    Err(BundleError::Digest { part: Part::Frame, what: format!("`{name}`"), expected: *expected, found })
}
