//! A report of all that is wrong with a bundle whose signature holds, and of what is still good in it.
//!
//! Reading for use stops at the first problem; this reader goes on behind each one. Where the file has the length that all
//! frames give, every member's place is known. Else the place behind a spoiled header is guessed once: as if the next
//! frame of the manifest stood there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::container::{MemberReader, Source, VerifiedSet};
use crate::document::{
    BundleError, Extra, FrameOf, Kernel, Manifest, Part, check_provenance, digest_problem,
};
use crate::limits::{BLOCK, MAX_MANIFEST};
use crate::names::{Digest, KernelId, PROVENANCE_NAME, SOURCES_NAME};
use crate::read::bases::{Bases, NoBases, base_of};
use crate::read::found::Found;
use crate::read::frames::{Present, References, frame_of_header, span_of_all};
use crate::read::report::{CheckReport, Depth, KernelState};
use crate::read::sources::{check_packed_size, read_sources};
use crate::read::verified::VerifiedBundle;

impl<S: Source> VerifiedBundle<S> {
    /// Looks at every byte and collects all problems. Fails only where the source can't be read. Frames of a delta are
    /// not decoded.
    pub fn check(self, depth: Depth) -> Result<CheckReport, BundleError> {
        self.check_with(depth, &mut NoBases)
    }

    /// The same; frames of a delta are decoded as far as `bases` has what they refer to.
    pub fn check_with(mut self, depth: Depth, bases: &mut dyn Bases) -> Result<CheckReport, BundleError> {
        check_content(&self.manifest, &mut self.reader, depth, bases)
    }
}

/// As [`VerifiedBundle::check`], for content of which only the manifest was read.
pub(crate) fn check_content<S: Source>(
    manifest: &Manifest,
    reader: &mut MemberReader<S>,
    depth: Depth,
    bases: &mut dyn Bases,
) -> Result<CheckReport, BundleError> {
    let frames = manifest.frames();
    let mut check = Check::new(manifest, &frames, depth, bases);
    match check.run(reader) {
        Ok(()) | Err(Stop::Lost) => {}
        Err(Stop::Failed(error)) => return Err(error),
    }
    Ok(check.report())
}

/// Why the pass ended before the end of the file.
enum Stop {
    /// Nothing behind this can be found; the problem is in the report.
    Lost,
    /// The source failed.
    Failed(BundleError),
}

struct Check<'m> {
    manifest: &'m Manifest,
    frames: &'m [FrameOf<'m>],
    depth: Depth,
    bases: &'m mut dyn Bases,
    /// Frames whose base, or that of what they refer to, can't be had.
    undecoded: BTreeSet<usize>,
    references: References,
    /// Frames whose place was reached; the others are absent if the pass came to the end mark.
    seen: BTreeSet<usize>,
    damaged: BTreeSet<usize>,
    /// Frames whose own bytes are good, whatever they refer to.
    whole: BTreeSet<usize>,
    /// Whether the end mark was reached.
    complete: bool,
    modules: usize,
    found: BTreeMap<KernelId, Found>,
    damaged_kernels: BTreeSet<KernelId>,
    problems: Vec<BundleError>,
}

impl<'m> Check<'m> {
    fn new(
        manifest: &'m Manifest,
        frames: &'m [FrameOf<'m>],
        depth: Depth,
        bases: &'m mut dyn Bases,
    ) -> Self {
        Self {
            manifest,
            frames,
            depth,
            bases,
            undecoded: BTreeSet::new(),
            references: References::of(frames.iter().map(|of| of.frame)),
            seen: BTreeSet::new(),
            damaged: BTreeSet::new(),
            whole: BTreeSet::new(),
            complete: false,
            modules: 0,
            found: BTreeMap::new(),
            damaged_kernels: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// Notes a problem after which the pass goes on, or says why it can't.
    fn note(&mut self, error: BundleError) -> Result<(), Stop> {
        let lost = matches!(error, BundleError::Truncated { .. });
        let of_base = matches!(&error, BundleError::Base(inner) if matches!(**inner, BundleError::Io { .. }));
        if of_base || matches!(error, BundleError::Io { .. }) {
            return Err(Stop::Failed(error));
        }
        self.problems.push(error);
        if lost { Err(Stop::Lost) } else { Ok(()) }
    }

    fn noted(&mut self, result: Result<(), BundleError>) -> Result<bool, Stop> {
        match result {
            Ok(()) => Ok(true),
            Err(error) => self.note(error).map(|()| false),
        }
    }

    fn run<S: Source>(&mut self, reader: &mut MemberReader<S>) -> Result<(), Stop> {
        self.extras(reader)?;
        let read = if reader.remaining().map_err(Stop::Failed)? == Some(span_of_all(self.frames)) {
            for index in 0..self.frames.len() {
                let header = self.frames.get(index).map(|of| (of.member.clone(), of.frame.size));
                let Some((member, size)) = header else { continue };
                let good = reader.header(&member, size);
                let good = self.noted(good)?;
                self.frame(index, good, reader)?;
            }
            0
        } else {
            self.in_sequence(reader)?;
            BLOCK
        };
        self.complete = true;
        let end = reader.end(read);
        self.noted(end).map(|_| ())
    }

    /// The frames of a subset or of a stream, up to the first block of the end mark.
    fn in_sequence<S: Source>(&mut self, reader: &mut MemberReader<S>) -> Result<(), Stop> {
        let mut next = 0;
        let mut guessed = false;
        loop {
            let offset = reader.offset();
            let block = match reader.block("a frame's header") {
                Ok(block) => block,
                Err(error) => return Err(self.note(error).err().unwrap_or(Stop::Lost)),
            };
            if block == [0; BLOCK] {
                return Ok(());
            }
            match frame_of_header(self.frames, next, &block, offset) {
                Ok(index) => {
                    self.frame(index, true, reader)?;
                    (next, guessed) = (index + 1, false);
                    continue;
                }
                Err(error) => self.note(error)?,
            }
            let hopeless = guessed || next >= self.frames.len();
            if hopeless {
                return Err(Stop::Lost);
            }
            self.frame(next, false, reader)?;
            (next, guessed) = (next + 1, true);
        }
    }

    fn extras<S: Source>(&mut self, reader: &mut MemberReader<S>) -> Result<(), Stop> {
        let manifest = self.manifest;
        for extra in &manifest.extras {
            let header = reader.header(&extra.name, extra.size);
            self.noted(header)?;
            let fits = about_size(extra);
            let looked_into = matches!(fits, Some(Ok(())));
            let mut kept = Vec::new();
            let keep = looked_into.then_some(&mut kept as &mut dyn Write);
            let found = self.content(reader, &extra.name, extra.size, keep)?;
            let whole = digest_problem(Part::Extra, &extra.name, &extra.sha256, found);
            let whole = self.noted(whole)?;
            let Some(fits) = fits.filter(|_| whole) else { continue };
            let about = fits.and_then(|()| match extra.name.as_str() {
                PROVENANCE_NAME => check_provenance(&kept, manifest),
                _ => read_sources(&kept, manifest).map(drop),
            });
            self.noted(about)?;
        }
        Ok(())
    }

    /// Reads a member's content and padding; gives the content's digest.
    fn content<S: Source>(
        &mut self,
        reader: &mut MemberReader<S>,
        name: &str,
        len: u64,
        keep: Option<&mut dyn Write>,
    ) -> Result<Digest, Stop> {
        let digest = match reader.copy_content(name, len, keep.unwrap_or(&mut io::sink())) {
            Ok(digest) => digest,
            Err(error) => return Err(self.note(error).err().unwrap_or(Stop::Lost)),
        };
        let padding = reader.padding(name, len);
        self.noted(padding)?;
        Ok(digest)
    }

    fn frame<S: Source>(
        &mut self,
        index: usize,
        good_header: bool,
        reader: &mut MemberReader<S>,
    ) -> Result<(), Stop> {
        let Some(of) = self.frames.get(index) else { return Ok(()) };
        // Damaged until all of it is found good.
        self.seen.insert(index);
        self.damaged.insert(index);
        let mut compressed = Vec::new();
        let keep = (self.depth == Depth::Modules).then_some(&mut compressed as &mut dyn Write);
        let found = self.content(reader, &of.member, of.frame.size, keep)?;
        let whole = digest_problem(Part::Frame, &of.member, &of.frame.sha256, found);
        if !self.noted(whole)? || !good_header {
            return Ok(());
        }
        self.whole.insert(index);
        if let Some(reference) = of.frame.reference {
            if !self.seen.contains(&reference) {
                let problem = format!("frame {reference}, which it refers to, is absent");
                return self.note(BundleError::Frame { frame: of.member.clone(), problem });
            }
            // Its own problem is in the report; this frame can't be decoded for want of it.
            if self.damaged.contains(&reference) {
                return Ok(());
            }
        }
        if of.frame.reference.is_some_and(|reference| self.undecoded.contains(&reference)) {
            self.undecoded.insert(index);
        } else if self.depth == Depth::Modules {
            let decoded = self.decode(of, &compressed);
            if matches!(decoded, Err(BundleError::BaseAbsent { .. } | BundleError::Base(_))) {
                self.undecoded.insert(index);
                self.note_base(decoded)?;
            } else if !self.noted(decoded)? {
                return Ok(());
            }
        }
        self.damaged.remove(&index);
        Ok(())
    }

    /// Damage of the other bundle is reported once, and not as this one's.
    fn note_base(&mut self, decoded: Result<(), BundleError>) -> Result<(), Stop> {
        match decoded {
            Err(error @ BundleError::Base(_)) => {
                let known = self.problems.iter().any(|problem| problem.to_string() == error.to_string());
                if known { Ok(()) } else { self.note(error) }
            }
            _ => Ok(()),
        }
    }

    fn decode(&mut self, of: &FrameOf<'_>, compressed: &[u8]) -> Result<(), BundleError> {
        let name = of.member.as_str();
        let from = self.manifest.from.as_ref();
        let mut give_base = |base: &Digest| base_of(self.bases, from, of, base);
        let plain = self.references.decode(of, compressed, &mut give_base)?;
        let set = VerifiedSet::read(&plain, &of.frame.set_sha256, name)?;
        let wrong = |problem: String| BundleError::Set { frame: name.to_owned(), problem };
        if set.document().kernel != of.kernel.id {
            return Err(wrong(format!("SET.json is for kernel {}", set.document().kernel)));
        }
        self.found.entry(of.kernel.id).or_default().add(set.document()).map_err(wrong)?;
        self.modules += set.modules().count();
        Ok(())
    }

    fn report(mut self) -> CheckReport {
        let kernels = self.manifest.kernels_by_release();
        if self.depth == Depth::Modules {
            let nothing = Found::default();
            for kernel in &kernels {
                let is_undecoded = kernel.frames.iter().any(|frame| self.undecoded.contains(&frame.index));
                if is_undecoded || self.state(kernel) != KernelState::Good {
                    continue;
                }
                let found = self.found.get(&kernel.id).unwrap_or(&nothing);
                if let Err(problem) = found.check(self.manifest, kernel) {
                    self.damaged_kernels.insert(kernel.id);
                    let frame = format!("kernel {}", kernel.release);
                    self.problems.push(BundleError::Set { frame, problem });
                }
            }
        }
        let kernels = kernels.iter().map(|kernel| (kernel.id, self.state(kernel))).collect();
        CheckReport {
            present: Present { present: self.seen.len(), total: self.frames.len() },
            modules: self.modules,
            undecoded: self.undecoded.len(),
            kernels,
            frames: self.seen.iter().map(|index| (*index, self.whole.contains(index))).collect(),
            problems: self.problems,
        }
    }

    fn state(&self, kernel: &Kernel) -> KernelState {
        let mut needed: BTreeSet<usize> = BTreeSet::new();
        for frame in &kernel.frames {
            let mut next = Some(frame.index);
            while let Some(index) = next.filter(|index| needed.insert(*index)) {
                next = self.frames.get(index).and_then(|of| of.frame.reference);
            }
        }
        let absent = needed.iter().any(|index| !self.seen.contains(index));
        let undecoded = needed.iter().any(|index| self.undecoded.contains(index));
        let damaged = needed.iter().any(|index| self.damaged.contains(index));
        if self.damaged_kernels.contains(&kernel.id) || damaged || (absent && !self.complete) {
            KernelState::Damaged
        } else if absent {
            KernelState::Absent
        } else if undecoded {
            KernelState::Undecoded
        } else {
            KernelState::Good
        }
    }
}

/// Whether an extra that is looked into is small enough for that; `None` for one that isn't looked into.
fn about_size(extra: &Extra) -> Option<Result<(), BundleError>> {
    match extra.name.as_str() {
        PROVENANCE_NAME if extra.size <= MAX_MANIFEST => Some(Ok(())),
        PROVENANCE_NAME => {
            let member = format!("`{PROVENANCE_NAME}`");
            Some(Err(BundleError::OverLimit { member, len: extra.size, limit: MAX_MANIFEST }))
        }
        SOURCES_NAME => Some(check_packed_size(extra.size)),
        _ => None,
    }
}
