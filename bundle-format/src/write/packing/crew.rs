//! The threads that compress.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::container::{Encoding, compress};
use crate::document::{BundleError, io_while};
use crate::names::Digest;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) plain: Arc<Vec<u8>>,
    pub(super) reference: Option<Arc<Vec<u8>>>,
    pub(super) encoding: Encoding,
    /// Most bytes that a near copy may take before it is compressed as any other frame too.
    pub(super) promised: usize,
}

#[derive(Debug)]
pub(super) struct Compressed {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: Digest,
    pub(super) plain_sha256: Digest,
}

/// The way to the threads and back.
#[derive(Debug)]
pub(super) struct Crew {
    jobs: Sender<Job>,
    results: Receiver<(usize, io::Result<Compressed>)>,
}

impl Crew {
    /// Gives a job to the next free thread.
    pub(super) fn give(&self, job: Job) -> Result<(), BundleError> {
        self.jobs.send(job).map_err(|_| gone())
    }

    /// The next result, of whichever frame; `None` after a short wait.
    pub(super) fn next_result(&self) -> Result<Option<(usize, io::Result<Compressed>)>, BundleError> {
        match self.results.recv_timeout(Duration::from_millis(100)) {
            Ok(result) => Ok(Some(result)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
        }
    }
}

fn gone() -> BundleError {
    io_while("compressing a frame")(io::Error::other("the thread that did it has ended"))
}

/// Runs `lead` beside that many threads. When it returns, they begin nothing more; and where it failed or was asked to stop, nobody
/// waits for the frames that they are at, for one may take many seconds.
pub(super) fn with_crew<T>(
    threads: usize,
    lead: impl FnOnce(&Crew) -> Result<T, BundleError>,
) -> Result<T, BundleError> {
    let stop = Arc::new(AtomicBool::new(false));
    let (jobs, queue) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    let (done, results) = mpsc::channel();
    let mut crew_threads = Vec::new();
    let mut failed = None;
    for _ in 0..threads {
        let queue = Arc::clone(&queue);
        let stop = Arc::clone(&stop);
        let done = done.clone();
        let begun =
            thread::Builder::new().name("compress".to_owned()).spawn(move || work(&queue, &done, &stop));
        match begun {
            Ok(thread) => crew_threads.push(thread),
            Err(error) => failed = Some(error),
        }
    }
    drop(done);
    let crew = Crew { jobs, results };
    let result = match failed {
        Some(error) => Err(io_while("starting a thread to compress frames")(error)),
        None => lead(&crew),
    };
    stop.store(true, Ordering::Relaxed);
    drop(crew);
    if result.is_ok() {
        for thread in crew_threads {
            thread.join().map_err(|_| gone())?;
        }
    }
    result
}

/// A near copy that takes more than its cheap trial promised is compressed as any other frame too: its small tables and
/// sparse long matches can miss what it has in common with its reference (measured: 160,777 bytes in place of some 4,000, and
/// 26,636 for one changed script of real modules, where the trial took 1,400).
fn compress_well(
    plain: &[u8],
    reference: Option<&[u8]>,
    encoding: Encoding,
    promised: usize,
) -> io::Result<Vec<u8>> {
    let bytes = compress(plain, reference, encoding)?;
    if encoding != Encoding::NearCopy || bytes.len() <= promised {
        return Ok(bytes);
    }
    let whole = compress(plain, reference, Encoding::Whole)?;
    Ok(if whole.len() < bytes.len() { whole } else { bytes })
}

/// Does jobs until there are no more.
fn work(queue: &Mutex<Receiver<Job>>, done: &Sender<(usize, io::Result<Compressed>)>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { index, plain, reference, encoding, promised }) = next else { return };
        let reference = reference.as_ref().map(|plain| plain.as_slice());
        let result = compress_well(&plain, reference, encoding, promised).map(|bytes| Compressed {
            sha256: Digest::of(&bytes),
            plain_sha256: Digest::of(&plain),
            bytes,
        });
        if done.send((index, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One changed script of real modules took 26,636 bytes where the trial took 1,400: less than 1/64, so it was left at that.
    /// Of whoever waited, the frame's bytes would have one owner only.
    #[test]
    fn a_stop_waited_for_the_frames_that_were_being_compressed() {
        let noise: Vec<u8> =
            (0..400_000_u32).flat_map(|number| *Digest::of(&number.to_le_bytes()).as_bytes()).collect();
        let large = Arc::new(noise);
        let job = |index, plain: &Arc<Vec<u8>>| Job {
            index,
            plain: Arc::clone(plain),
            reference: None,
            encoding: Encoding::Whole,
            promised: usize::MAX,
        };
        let result: Result<(), BundleError> = with_crew(1, |crew| {
            // By then the thread is there, and takes the next one at once.
            crew.give(job(0, &Arc::new(vec![0; 10])))?;
            while crew.next_result()?.is_none() {}
            crew.give(job(1, &large))?;
            assert!(crew.next_result()?.is_none(), "12 MB are not compressed within a tenth of a second");
            Err(BundleError::Cancelled)
        });
        assert!(matches!(result, Err(BundleError::Cancelled)));
        assert!(Arc::strong_count(&large) > 1);
    }

    #[test]
    fn a_near_copy_of_a_base_was_not_held_to_its_trial() {
        let block = |number: u32| *Digest::of(&number.to_le_bytes()).as_bytes();
        let old: Vec<u8> = (0..20_000).flat_map(block).collect();
        let mut new = old.clone();
        (0..new.len()).step_by(999).for_each(|place| new[place] ^= 1);
        let len = |encoding| compress(&new, Some(&old), encoding).unwrap().len();
        let near = len(Encoding::NearCopy);
        let whole = len(Encoding::Whole);
        let well = |promised| compress_well(&new, Some(&old), Encoding::NearCopy, promised).unwrap().len();
        assert_eq!((well(near), well(near - 1)), (near, near.min(whole)));
    }
}
