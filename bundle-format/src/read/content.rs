//! Reading content for use, which ends at the first problem.
//!
//! One pass, front to back: a pipe is as good as a file. Every header is computed and compared, every
//! frame is hashed before it is decoded, and the end mark must end the bytes. A receiver must show
//! nothing to anyone before [`VerifiedBundle::read_content`] has returned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::container::{MemberReader, PASSED_OVER, Source, VerifiedSet, member_span};
use crate::document::{BaseBundle, BundleError, FrameOf, Kernel, Manifest, Part, digest_problem};
use crate::limits::BLOCK;
use crate::names::{Digest, KernelId};
use crate::read::bases::{Bases, NoBases, base_of};
use crate::read::found::Found;
use crate::read::frames::{Present, References, needed_by, next_frame, span_of_all};
use crate::read::verified::VerifiedBundle;
use crate::read::waiting::{WaitingFrame, must_wait_for, side_by_side};

/// How much of a bundle's content to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Hash every member; decode what is wanted.
    Everything,
    /// Pass over what isn't needed for the wanted kernels.
    Wanted,
}

/// Takes a kernel's verified modules.
pub type Receive<'r> =
    dyn FnMut(&Kernel, &VerifiedSet<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'r;

impl<S: Source> VerifiedBundle<S> {
    /// Reads the frames; `receive` gets the content of each frame of a wanted kernel. A wanted kernel
    /// whose frames are absent is an error.
    pub fn read_content(
        self,
        wanted: &BTreeSet<KernelId>,
        extent: Extent,
        receive: &mut Receive<'_>,
    ) -> Result<Present, BundleError> {
        self.read_content_with(wanted, extent, &mut NoBases, receive).map(|(present, _)| present)
    }

    /// The same for a delta too: `bases` gives what its frames need. Also gives the kernels whose frames are all in
    /// the file.
    pub fn read_content_with(
        mut self,
        wanted: &BTreeSet<KernelId>,
        extent: Extent,
        bases: &mut dyn Bases,
        receive: &mut Receive<'_>,
    ) -> Result<(Present, BTreeSet<KernelId>), BundleError> {
        match extent {
            _ if self.extras_passed => {}
            Extent::Everything => self.check_extras()?,
            Extent::Wanted => self.pass_extras()?,
        }
        let frames = self.manifest.frames();
        let mut pass = Pass::new(&frames, wanted, extent);
        let mut content = Content { bases, receive, from: self.manifest.from.as_ref() };
        let read = pass.run(&mut self.reader, &mut content);
        // What is wrong with an earlier frame comes first.
        pass.deliver(&mut content)?;
        read?;
        pass.check_complete(&self.manifest)?;
        let kernels = self.manifest.kernels_of(&pass.present);
        Ok((Present { present: pass.present.len(), total: frames.len() }, kernels))
    }
}

/// Where what is read goes to, and where bases come from.
struct Content<'c, 'r> {
    bases: &'c mut dyn Bases,
    receive: &'c mut Receive<'r>,
    from: Option<&'c BaseBundle>,
}

impl Content<'_, '_> {
    fn base(&mut self, of: &FrameOf<'_>, base: &Digest) -> Result<Arc<Vec<u8>>, BundleError> {
        base_of(self.bases, self.from, of, base)
    }
}

/// One pass over the frames.
struct Pass<'a> {
    frames: &'a [FrameOf<'a>],
    wanted: &'a BTreeSet<KernelId>,
    extent: Extent,
    /// Wanted frames and what they refer to.
    needed: BTreeSet<usize>,
    references: References,
    /// Frames that were read and aren't decoded yet: those that don't refer to one another are decoded side by side.
    waiting: Vec<WaitingFrame<'a>>,
    present: BTreeSet<usize>,
    /// What the SETs of each wanted kernel hold.
    found: BTreeMap<KernelId, Found>,
}

impl<'a> Pass<'a> {
    fn new(frames: &'a [FrameOf<'a>], wanted: &'a BTreeSet<KernelId>, extent: Extent) -> Self {
        let needed = needed_by(frames, |of| wanted.contains(&of.kernel.id));
        let decoded = frames.iter().map(|of| of.frame).filter(|frame| needed.contains(&frame.index));
        let references = References::of(decoded);
        Self {
            frames,
            wanted,
            extent,
            needed,
            references,
            waiting: Vec::new(),
            present: BTreeSet::new(),
            found: BTreeMap::new(),
        }
    }

    fn run<S: Source>(
        &mut self,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        if self.extent == Extent::Wanted && reader.remaining()? == Some(span_of_all(self.frames)) {
            return self.run_direct(reader, content);
        }
        let mut next = 0;
        loop {
            let Some(index) = next_frame(reader, self.frames, next)? else { return reader.end(BLOCK) };
            self.frame(index, reader, content)?;
            next = index + 1;
        }
    }

    /// The file has all frames, so each one's place is known: only needed ones are touched.
    fn run_direct<S: Source>(
        &mut self,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        let mut passed = 0;
        for (index, of) in self.frames.iter().enumerate() {
            if self.needed.contains(&index) {
                reader.skip(PASSED_OVER, std::mem::take(&mut passed))?;
                reader.header(&of.member, of.frame.size)?;
                self.frame(index, reader, content)?;
            } else {
                self.present.insert(index);
                passed += member_span(of.frame.size);
            }
        }
        reader.skip(PASSED_OVER, passed)?;
        reader.end(0)
    }

    fn frame<S: Source>(
        &mut self,
        index: usize,
        reader: &mut MemberReader<S>,
        content: &mut Content<'_, '_>,
    ) -> Result<(), BundleError> {
        let Some(of) = self.frames.get(index) else { return Ok(()) };
        let FrameOf { frame, member: name, .. } = of;
        if let Some(reference) = frame.reference.filter(|reference| !self.present.contains(reference)) {
            let problem = format!("frame {reference}, which it refers to, is absent");
            return Err(BundleError::Frame { frame: name.clone(), problem });
        }
        self.present.insert(index);
        if !self.needed.contains(&index) {
            if self.extent == Extent::Wanted {
                return reader.skip(name, frame.size);
            }
            let found = reader.hash_body(name, frame.size)?;
            return digest_problem(Part::Frame, name, &frame.sha256, found);
        }
        if must_wait_for(&self.waiting, of) {
            self.deliver(content)?;
        }
        let compressed = reader.body(name, frame.size)?;
        let reference = self.references.reference_of(of, &mut |base| content.base(of, base))?;
        self.waiting.push(WaitingFrame { of, compressed, reference });
        Ok(())
    }

    /// Decodes what waits, and hands it on in the order of the frames.
    fn deliver(&mut self, content: &mut Content<'_, '_>) -> Result<(), BundleError> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut decoded = Vec::new();
        let mut failed = None;
        for (frame, plain) in waiting.iter().zip(side_by_side(&waiting, WaitingFrame::decoded)) {
            match plain {
                Ok(plain) if failed.is_none() => {
                    self.references.keep(frame.of.frame, &plain);
                    decoded.push((frame.of, plain));
                }
                Ok(_) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        decoded.retain(|(of, _)| self.wanted.contains(&of.kernel.id));
        let sets =
            side_by_side(&decoded, |(of, plain)| VerifiedSet::read(plain, &of.frame.set_sha256, &of.member));
        for ((of, _), set) in decoded.iter().zip(sets) {
            self.hand_on(of, &set?, content.receive)?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn hand_on(
        &mut self,
        of: &FrameOf<'_>,
        set: &VerifiedSet<'_>,
        receive: &mut Receive<'_>,
    ) -> Result<(), BundleError> {
        let wrong = |problem: String| BundleError::Set { frame: of.member.clone(), problem };
        if set.document().kernel != of.kernel.id {
            return Err(wrong(format!("SET.json is for kernel {}", set.document().kernel)));
        }
        self.found.entry(of.kernel.id).or_default().add(set.document()).map_err(wrong)?;
        receive(of.kernel, set).map_err(BundleError::Receiver)
    }

    /// Each wanted kernel's modules are exactly its green cells.
    fn check_complete(&self, manifest: &Manifest) -> Result<(), BundleError> {
        let absent = self
            .frames
            .iter()
            .enumerate()
            .find(|(index, of)| self.wanted.contains(&of.kernel.id) && !self.present.contains(index));
        if let Some((_, of)) = absent {
            return Err(BundleError::AbsentFrame {
                release: of.kernel.release.clone(),
                kernel: of.kernel.id,
            });
        }
        let nothing = Found::default();
        for kernel in manifest.kernels.iter().filter(|kernel| self.wanted.contains(&kernel.id)) {
            let found = self.found.get(&kernel.id).unwrap_or(&nothing);
            found.check(manifest, kernel).map_err(|problem| BundleError::Set {
                frame: format!("kernel {}", kernel.release),
                problem,
            })?;
        }
        Ok(())
    }
}
