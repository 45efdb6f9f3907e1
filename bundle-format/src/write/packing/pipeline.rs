//! Frames on their way: decided in order, compressed by whoever is free, written in order.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::document::{BundleError, Frame, io_while};
use crate::names::Digest;

use super::Spooled;
use super::candidates::{Candidates, Choice};
use super::crew::{Compressed, Crew, Job};

/// A frame that the crew has, or has given back while an earlier one isn't done.
struct OnItsWay {
    kernel: usize,
    reference: Option<usize>,
    base: Option<Digest>,
    plain_size: u64,
    set_sha256: Digest,
    result: Option<io::Result<Compressed>>,
}

/// The frames between choice and spool; never more than `limit`.
pub(super) struct Pipeline<'p, 's> {
    crew: &'p Crew,
    spooled: &'p mut Spooled<'s>,
    frames: BTreeMap<usize, OnItsWay>,
    next: usize,
    limit: usize,
    cancelled: &'p dyn Fn() -> bool,
}

impl<'p, 's> Pipeline<'p, 's> {
    pub(super) fn new(
        crew: &'p Crew,
        spooled: &'p mut Spooled<'s>,
        limit: usize,
        cancelled: &'p dyn Fn() -> bool,
    ) -> Self {
        let next = spooled.done;
        Self { crew, spooled, frames: BTreeMap::new(), next, limit, cancelled }
    }

    /// Waits until one more frame may be on its way.
    pub(super) fn make_room(&mut self) -> Result<(), BundleError> {
        self.wait_until_fewer_than(self.limit)
    }

    /// Decides what the next frame refers to and gives it to the crew.
    pub(super) fn take(
        &mut self,
        kernel: usize,
        plain: Vec<u8>,
        set_sha256: Digest,
        base: Option<Arc<Vec<u8>>>,
        candidates: &mut Candidates,
    ) -> Result<(), BundleError> {
        let index = self.next;
        let plain = Arc::new(plain);
        let choice = match &base {
            Some(base) => candidates.choose_beside(&plain, base),
            None => candidates.choose(&plain),
        };
        let choice = choice.map_err(io_while("compressing a frame"))?;
        let base = base.filter(|_| choice.by_base);
        candidates.made(index, Arc::clone(&plain), &choice);
        let reference = choice.reference.as_ref().map(|kept| kept.index);
        let plain_size = plain.len() as u64;
        let named = base.as_ref().map(|base| Digest::of(base));
        let frame = OnItsWay { kernel, reference, base: named, plain_size, set_sha256, result: None };
        self.frames.insert(index, frame);
        self.next += 1;
        let referred = choice.reference.as_ref().map(|kept| Arc::clone(&kept.plain));
        let Choice { encoding, promised, .. } = choice;
        let reference = base.or(referred);
        self.crew.give(Job { index, plain, reference, encoding, promised })
    }

    /// Waits for all that is on its way. The error is that of the first frame that has one, in their order.
    pub(super) fn finish(&mut self) -> Result<(), BundleError> {
        self.wait_until_fewer_than(1)
    }

    fn wait_until_fewer_than(&mut self, limit: usize) -> Result<(), BundleError> {
        while self.frames.len() >= limit {
            if (self.cancelled)() {
                return Err(BundleError::Cancelled);
            }
            let Some((index, result)) = self.crew.next_result()? else { continue };
            if let Some(frame) = self.frames.get_mut(&index) {
                frame.result = Some(result);
            }
            self.write_finished()?;
        }
        Ok(())
    }

    /// Writes what is done and has no unfinished frame before it.
    fn write_finished(&mut self) -> Result<(), BundleError> {
        while let Some(entry) = self.frames.first_entry() {
            if entry.get().result.is_none() {
                return Ok(());
            }
            let (index, frame) = entry.remove_entry();
            let Some(result) = frame.result else { return Ok(()) };
            let compressed = result.map_err(io_while("compressing a frame"))?;
            let record = Frame {
                base: frame.base,
                index,
                reference: frame.reference,
                size: compressed.bytes.len() as u64,
                sha256: compressed.sha256,
                plain_size: frame.plain_size,
                plain_sha256: compressed.plain_sha256,
                set_sha256: frame.set_sha256,
            };
            self.spooled.write(frame.kernel, &compressed.bytes, record, false)?;
        }
        Ok(())
    }
}
