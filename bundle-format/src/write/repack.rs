//! Bundles made of the frames of verified ones: a subset of the kernels, or a union of subsets. They need no private key,
//! because the manifest stays the same (`docs/bundle-spec.md`, section 8.5).

use std::collections::BTreeSet;
use std::io::Write;

use crate::container::{ContainerKind, MemberReader, MemberWriter, PASSED_OVER, Source, member_header};
use crate::document::{BundleError, FrameOf, Part, digest_problem};
use crate::limits::{BLOCK, END_MARK};
use crate::names::KernelId;
use crate::read::{Present, VerifiedBundle, needed_by, next_frame, span_of_all};

impl<S: Source> VerifiedBundle<S> {
    /// Writes a bundle with the same signatures, roots, manifest and extras, and of the frames only those of `wanted` and
    /// what they refer to, each byte for byte.
    ///
    /// Frames that aren't wanted may be damaged or absent: so this also saves what is good in a damaged file.
    pub fn write_subset(
        mut self,
        wanted: &BTreeSet<KernelId>,
        target: &mut dyn Write,
    ) -> Result<Present, BundleError> {
        let mut out = MemberWriter::new(target);
        self.head.write(ContainerKind::Bundle, &mut out)?;
        self.write_extras(&mut out)?;
        let frames = self.manifest.frames();
        let needed = needed_by(&frames, |of| wanted.contains(&of.kernel.id));
        let mut walk = FrameWalk::new(&mut self.reader, &frames)?;
        for index in &needed {
            walk.copy(*index, &mut out)?;
        }
        walk.end()?;
        out.bytes(&[0; END_MARK])?;
        Ok(Present { present: needed.len(), total: frames.len() })
    }

    /// Writes a bundle with the frames `ours` of this file and `theirs` of `other`, which is another file of the same
    /// bundle, but for those whose references neither has. What both have is taken from this one; so are signatures and
    /// extras. Gives the kernels that the new file has.
    pub fn write_union<T: Source>(
        mut self,
        ours: &BTreeSet<usize>,
        mut other: VerifiedBundle<T>,
        theirs: &BTreeSet<usize>,
        target: &mut dyn Write,
    ) -> Result<BTreeSet<KernelId>, BundleError> {
        if self.id() != other.id() {
            let problem = format!("it is bundle {}, the other file is {}", self.id(), other.id());
            return Err(BundleError::Manifest { problem });
        }
        let mut out = MemberWriter::new(target);
        self.head.write(ContainerKind::Bundle, &mut out)?;
        self.write_extras(&mut out)?;
        other.pass_extras()?;
        let frames = self.manifest.frames();
        let both = closed(&frames, ours.union(theirs));
        let mut walk = FrameWalk::new(&mut self.reader, &frames)?;
        let mut second = FrameWalk::new(&mut other.reader, &frames)?;
        for index in &both {
            if ours.contains(index) {
                walk.copy(*index, &mut out)?;
            } else {
                second.copy(*index, &mut out)?;
            }
        }
        out.bytes(&[0; END_MARK])?;
        Ok(self.manifest.kernels_of(&both))
    }

    fn write_extras(&mut self, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            out.bytes(&member_header(&extra.name, extra.size)?)?;
            let found = self.reader.copy_content(&extra.name, extra.size, out)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
            self.reader.padding(&extra.name, extra.size)?;
            out.padding(extra.size)?;
        }
        Ok(())
    }
}

/// Those of `present` whose references are there too.
fn closed<'p>(frames: &[FrameOf<'_>], present: impl Iterator<Item = &'p usize>) -> BTreeSet<usize> {
    let mut closed = BTreeSet::new();
    // In the order of their indexes, so a reference was looked at before.
    for index in present {
        let reference = frames.get(*index).map(|of| of.frame.reference);
        if reference.is_some_and(|reference| reference.is_none_or(|reference| closed.contains(&reference))) {
            closed.insert(*index);
        }
    }
    closed
}

/// A pass over the frames of one file, which stops at those that are wanted.
struct FrameWalk<'w, S> {
    reader: &'w mut MemberReader<S>,
    frames: &'w [FrameOf<'w>],
    /// Whether the file has the length that all frames give, so that each one's place is known.
    direct: bool,
    /// The frame at whose header the reader stands, if all are there.
    next: usize,
    /// The frame whose header was read, but not its content.
    begun: Option<usize>,
    /// Whether the first block of the end mark was read.
    ended: bool,
}

impl<'w, S: Source> FrameWalk<'w, S> {
    fn new(reader: &'w mut MemberReader<S>, frames: &'w [FrameOf<'w>]) -> Result<Self, BundleError> {
        let direct = reader.remaining()? == Some(span_of_all(frames));
        Ok(Self { reader, frames, direct, next: 0, begun: None, ended: false })
    }

    /// Copies frame `index`, which is not before the last one that was asked for.
    fn copy(&mut self, index: usize, out: &mut MemberWriter<'_>) -> Result<(), BundleError> {
        let Some(of) = self.frames.get(index) else { return Ok(()) };
        if self.go_to(index)? {
            self.begun = None;
            self.next = index + 1;
            return copy_frame(self.reader, of, out);
        }
        Err(BundleError::AbsentFrame { release: of.kernel.release.clone(), kernel: of.kernel.id })
    }

    /// Goes on behind the header of frame `index`; false if it isn't in the file.
    fn go_to(&mut self, index: usize) -> Result<bool, BundleError> {
        if self.direct {
            let passed = self.frames.iter().take(index).skip(self.next);
            for of in passed {
                self.reader.skip(&of.member, BLOCK as u64 + of.frame.size)?;
            }
            self.next = index;
            let Some(of) = self.frames.get(index) else { return Ok(false) };
            return self.reader.header(&of.member, of.frame.size).map(|()| true);
        }
        while !self.ended {
            match self.begun {
                Some(begun) if begun >= index => return Ok(begun == index),
                Some(begun) => {
                    let size = self.frames.get(begun).map_or(0, |of| of.frame.size);
                    self.reader.skip(PASSED_OVER, size)?;
                    self.begun = None;
                    self.next = begun + 1;
                }
                None => {
                    self.begun = next_frame(self.reader, self.frames, self.next)?;
                    self.ended = self.begun.is_none();
                }
            }
        }
        Ok(false)
    }

    fn end(mut self) -> Result<(), BundleError> {
        if self.direct {
            for of in self.frames.iter().skip(self.next) {
                self.reader.skip(&of.member, BLOCK as u64 + of.frame.size)?;
            }
            return self.reader.end(0);
        }
        self.go_to(self.frames.len())?;
        self.reader.end(BLOCK)
    }
}

/// Copies a frame's content, the header having been read, and compares its digest.
fn copy_frame<S: Source>(
    reader: &mut MemberReader<S>,
    of: &FrameOf<'_>,
    out: &mut MemberWriter<'_>,
) -> Result<(), BundleError> {
    let name = of.member.as_str();
    let size = of.frame.size;
    out.bytes(&member_header(name, size)?)?;
    let found = reader.copy_content(name, size, out)?;
    digest_problem(Part::Frame, name, &of.frame.sha256, found)?;
    reader.padding(name, size)?;
    out.padding(size)
}
