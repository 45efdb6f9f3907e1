//! Processors: which there are for this process, and starting a child on one of them.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Numbers of the processors on which this process may run, the lowest first.
///
/// Fails on machines with more processors than a set of the kernel's interface as we use it holds (1,024).
pub fn processors() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect())
}

/// Calls `start` while this thread may run on `processor` only: a child started by it inherits that, this thread goes on as
/// it was.
pub(crate) fn started_on<T>(
    processor: Option<usize>,
    start: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some(processor) = processor else { return start() };
    let before = sched_getaffinity(None)?;
    // Its number comes from somebody's list: a set would panic at one that it can't hold.
    if processor >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("there is no processor {processor}"),
        ));
    }
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    started
}
