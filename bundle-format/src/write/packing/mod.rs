//! From modules to frames. The order of the frames and what each refers to are decided here, one after
//! another; a crew of threads compresses what was decided. So the bytes never depend on the number of threads.
//!
//! Every module is read once. What is in memory: the candidates for a reference, and two frames a thread.

mod candidates;
mod crew;
mod pipeline;
mod reuse;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use crate::container::{Source, write_plain};
use crate::document::{BaseBundle, BundleError, Frame, Part, SetDocument, io_while, write_set};
use crate::limits::MAX_FRAMES;
use crate::names::Digest;
use crate::read::{BaseFile, VerifiedBundle};
use crate::write::draft::{KernelDraft, ModuleDraft};

use candidates::Candidates;
use crew::with_crew;
use pipeline::Pipeline;
use reuse::OldFrames;

/// What packing has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FramePacked {
    /// Frames made.
    pub done: usize,
    /// Frames in all.
    pub total: usize,
    /// Bytes of the plain tar.
    pub plain: u64,
    /// Bytes of the frame.
    pub compressed: u64,
    /// The frame it refers to.
    pub reference: Option<usize>,
    /// Whether it refers to a frame of the bundle that the delta is made from.
    pub has_base: bool,
    /// Whether it was copied from the older bundle.
    pub copied: bool,
}

/// How to pack. None of it changes what the bundle says; only [`Packing::reuse`] changes its bytes.
pub struct Packing<'p> {
    threads: NonZeroUsize,
    old: Option<Box<dyn OldFrames + 'p>>,
    base: Option<BaseFile>,
    cancelled: &'p dyn Fn() -> bool,
}

impl fmt::Debug for Packing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packing")
            .field("threads", &self.threads)
            .field("reuse", &self.old.is_some())
            .field("delta", &self.base.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for Packing<'_> {
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { threads, old: None, base: None, cancelled: &|| false }
    }
}

impl<'p> Packing<'p> {
    /// Compress on this many threads; by default, one a core. Beyond some sixteen, reading the modules and
    /// choosing references, which one thread does, takes longest.
    #[must_use]
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Copy unchanged frames from an older bundle, byte for byte. It is an input like the modules: another one
    /// may give other bytes.
    #[must_use]
    pub fn reuse<S: Source + 'p>(mut self, old: VerifiedBundle<S>) -> Self {
        self.old = Some(Box::new(old));
        self
    }

    /// Make a delta: let frames refer to those of `base`, which the hosts have.
    #[must_use]
    pub fn delta_from(mut self, base: BaseFile) -> Self {
        self.base = Some(base);
        self
    }

    /// The bundle that a delta is made from.
    pub(crate) fn base_bundle(&self) -> Option<BaseBundle> {
        self.base.as_ref().map(BaseFile::bundle)
    }

    /// Stop with [`BundleError::Cancelled`] soon after `cancelled` says so.
    #[must_use]
    pub const fn cancelled(mut self, cancelled: &'p dyn Fn() -> bool) -> Self {
        self.cancelled = cancelled;
        self
    }
}

/// One frame that is to be made.
struct NewFrame<'d> {
    /// Position of its kernel among those given to [`pack_frames`].
    kernel: usize,
    /// Position among the frames of its kernel.
    number: usize,
    modules: Vec<&'d ModuleDraft>,
    set: SetDocument,
}

/// The frames of all kernels: the first ones of each kernel, in the order given, then the second ones, and so on.
/// So what can refer to each other stands near each other also where a kernel has many frames.
fn new_frames<'d>(kernels: &[&'d KernelDraft]) -> Vec<NewFrame<'d>> {
    let mut frames = Vec::new();
    for (kernel, draft) in kernels.iter().enumerate() {
        let id = draft.id();
        for (number, modules) in draft.frames().into_iter().enumerate() {
            let records = modules.iter().map(|module| module.record.clone()).collect();
            let set = SetDocument { kernel: id, modules: records, uprobes: None };
            frames.push(NewFrame { kernel, number, modules, set });
        }
    }
    frames.sort_by_key(|frame| (frame.number, frame.kernel));
    frames
}

/// Digests of the SET.json of all frames of `kernels`, in the order in which they would be made.
pub(crate) fn sets_of(kernels: &[&KernelDraft]) -> Result<Vec<Digest>, BundleError> {
    new_frames(kernels).iter().map(|frame| Ok(Digest::of(&write_set(&frame.set)?))).collect()
}

/// Makes the frames of all `kernels` and writes them to `spool`, one after another; returns the frames of each
/// kernel.
pub(crate) fn pack_frames(
    kernels: &[&KernelDraft],
    packing: Packing<'_>,
    spool: &mut dyn Write,
    progress: &mut dyn FnMut(FramePacked),
) -> Result<Vec<Vec<Frame>>, BundleError> {
    let mut new = new_frames(kernels);
    let total = new.len();
    if total > MAX_FRAMES {
        let problem = format!("{total} frames, limit {MAX_FRAMES}");
        return Err(BundleError::Manifest { problem });
    }
    let Packing { threads, old, mut base, cancelled } = packing;
    let mut spooled = Spooled { spool, progress, total, frames: vec![Vec::new(); kernels.len()], done: 0 };
    let mut candidates = Candidates::new(total);
    if let Some(old) = old {
        new = copy_unchanged(old, new, &mut candidates, &mut spooled, cancelled)?;
    }
    let workers = threads.get().min(new.len());
    with_crew(workers, |crew| {
        let mut pipeline = Pipeline::new(crew, &mut spooled, 2 * workers, cancelled);
        for frame in &new {
            pipeline.make_room()?;
            let made = plain_of(frame).and_then(|made| Ok((made, base_for(frame, base.as_mut())?)));
            match made {
                Ok(((plain, set), base)) => {
                    pipeline.take(frame.kernel, plain, set, base, &mut candidates)?;
                }
                // An error of an earlier frame comes first, however the threads stand.
                Err(error) => return Err(pipeline.finish().err().unwrap_or(error)),
            }
        }
        pipeline.finish()
    })?;
    let mut frames = spooled.frames;
    for frames in &mut frames {
        frames.sort_by_key(|frame| frame.index);
    }
    Ok(frames)
}

/// The frame of the same kernel at the same position.
fn base_for(frame: &NewFrame<'_>, base: Option<&mut BaseFile>) -> Result<Option<Arc<Vec<u8>>>, BundleError> {
    let Some(base) = base else { return Ok(None) };
    let Some(index) = base.index_for(&frame.set.kernel, frame.number) else { return Ok(None) };
    base.plain_of(index)
}

/// Reads a frame's modules and writes its plain tar; also returns the digest of its SET.json.
fn plain_of(frame: &NewFrame<'_>) -> Result<(Vec<u8>, Digest), BundleError> {
    let bodies = frame.modules.iter().map(|module| read_body(module)).collect::<Result<Vec<_>, _>>()?;
    write_plain(&frame.set, &bodies)
}

fn read_body(module: &ModuleDraft) -> Result<Vec<u8>, BundleError> {
    let bytes = module.bytes.read().map_err(io_while("reading a compiled module"))?;
    let found = Digest::of(&bytes);
    if found == module.record.sha256 && bytes.len() as u64 == module.record.size {
        return Ok(bytes);
    }
    Err(BundleError::Digest {
        part: Part::Module,
        what: format!("module {}", module.record.name),
        expected: module.record.sha256,
        found,
    })
}

/// Copies the frames of `old` whose SET.json is that of a new one, and whose reference is there too; returns
/// those that are left to be made. A SET.json has the digests of its modules, so it stands for the whole frame.
fn copy_unchanged<'d>(
    old: Box<dyn OldFrames + '_>,
    new: Vec<NewFrame<'d>>,
    candidates: &mut Candidates,
    spooled: &mut Spooled<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<NewFrame<'d>>, BundleError> {
    let mut wanted: BTreeMap<Digest, NewFrame<'d>> = BTreeMap::new();
    let mut order = Vec::with_capacity(new.len());
    for frame in new {
        let set = Digest::of(&write_set(&frame.set)?);
        order.push(set);
        wanted.insert(set, frame);
    }
    let in_old = reuse::wanted(old.manifest(), |set| wanted.contains_key(set));
    let mut new_index: BTreeMap<usize, usize> = BTreeMap::new();
    old.copy(&in_old, &mut |frame, compressed, plain| {
        if cancelled() {
            return Err(BundleError::Cancelled);
        }
        let reference = match frame.reference.map(|reference| new_index.get(&reference)) {
            None => None,
            Some(Some(reference)) if candidates.holds(*reference) => Some(*reference),
            // What it refers to is not kept that long here: it's made anew.
            Some(_) => return Ok(()),
        };
        let Some(new) = wanted.remove(&frame.set_sha256) else { return Ok(()) };
        let index = spooled.done;
        new_index.insert(frame.index, index);
        candidates.copied(index, plain, reference, in_old.is_reference(frame.index));
        spooled.write(new.kernel, compressed, Frame { index, reference, ..frame.clone() }, true)
    })?;
    Ok(order.iter().filter_map(|set| wanted.remove(set)).collect())
}

struct Spooled<'s> {
    spool: &'s mut dyn Write,
    progress: &'s mut dyn FnMut(FramePacked),
    total: usize,
    frames: Vec<Vec<Frame>>,
    done: usize,
}

impl Spooled<'_> {
    /// Writes the next frame, which belongs to the kernel at `kernel`.
    fn write(
        &mut self,
        kernel: usize,
        compressed: &[u8],
        frame: Frame,
        copied: bool,
    ) -> Result<(), BundleError> {
        self.spool.write_all(compressed).map_err(io_while("writing a frame to the temporary file"))?;
        self.done += 1;
        (self.progress)(FramePacked {
            done: self.done,
            total: self.total,
            plain: frame.plain_size,
            compressed: frame.size,
            reference: frame.reference,
            has_base: frame.base.is_some(),
            copied,
        });
        if let Some(frames) = self.frames.get_mut(kernel) {
            frames.push(frame);
        }
        Ok(())
    }
}
