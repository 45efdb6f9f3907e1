//! Frames that were read and aren't decoded yet: those that don't refer to one another are decoded side by side.

use std::sync::Arc;
use std::thread::{Builder, available_parallelism, scope};

use crate::document::{BundleError, FrameOf, Part, digest_problem};
use crate::names::Digest;
use crate::read::frames::decoded;

/// Most frames that wait: what they take together stays in proportion to what one may.
const MOST: usize = 4;
/// Most bytes of their plain tars.
const MOST_BYTES: u64 = 64 << 20;

/// A frame as it was read.
#[derive(Debug)]
pub(crate) struct WaitingFrame<'a> {
    pub of: &'a FrameOf<'a>,
    pub compressed: Vec<u8>,
    /// What it refers to.
    pub reference: Option<Arc<Vec<u8>>>,
}

impl WaitingFrame<'_> {
    pub(crate) fn decoded(&self) -> Result<Arc<Vec<u8>>, BundleError> {
        let FrameOf { frame, member, .. } = self.of;
        digest_problem(Part::Frame, member, &frame.sha256, Digest::of(&self.compressed))?;
        decoded(self.of, &self.compressed, self.reference.as_deref()).map(Arc::new)
    }
}

/// Whether such a frame must wait until those before it are decoded: it refers to one of them, or they are enough.
pub(crate) fn must_wait_for(waiting: &[WaitingFrame<'_>], of: &FrameOf<'_>) -> bool {
    let most = available_parallelism().map_or(1, |count| count.get().min(MOST));
    let plain: u64 = waiting.iter().map(|frame| frame.of.frame.plain_size).sum();
    waiting.len() >= most
        || (!waiting.is_empty() && plain + of.frame.plain_size > MOST_BYTES)
        || waiting.iter().any(|frame| of.frame.reference == Some(frame.of.frame.index))
}

/// What `work` makes of each item, in their order; several at once, as far as there are threads to be had.
pub(crate) fn side_by_side<'i, T: Sync, R: Send>(items: &'i [T], work: impl Fn(&'i T) -> R + Sync) -> Vec<R> {
    let Some((first, others)) = items.split_first() else { return Vec::new() };
    let work = &work;
    scope(|scope| {
        let others: Vec<_> = others
            .iter()
            .map(|item| (item, Builder::new().spawn_scoped(scope, move || work(item))))
            .collect();
        let mut made = vec![work(first)];
        for (item, thread) in others {
            made.push(match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(_) => work(item),
            });
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_side_by_side_is_in_order() {
        let items: Vec<u64> = (0..4).collect();
        let slow = |item: &u64| {
            std::thread::sleep(std::time::Duration::from_millis(20 - 5 * item));
            item * 2
        };
        assert_eq!(side_by_side(&items, slow), [0, 2, 4, 6]);
        assert_eq!(side_by_side(&items[..1], slow), [0]);
        assert_eq!(side_by_side(&[], slow), [0; 0]);
    }
}
