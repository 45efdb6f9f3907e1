//! Keeping private keys out of other processes' reach while they are in memory, and out of memory afterwards.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use zeroize::Zeroize as _;

/// Deeper than any stack of reading a key and signing with it, also in an unoptimised build.
const DEEPEST: usize = 256 << 10;

/// Closes this process's memory, for as long as it lives, to every process without `CAP_SYS_PTRACE`: no ptrace, no
/// `/proc/PID/mem`, no core file. Programs that it runs begin open again, as each exec(2) does.
pub(crate) fn close_memory() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A core that is piped to a program isn't limited by size, but is not made either: it asks for the same flag.
    let core = getrlimit(Resource::Core);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum })?;
    Ok(())
}

/// Runs `act`, then overwrites the part of the stack that it used: a value that moves leaves copies there, and hash functions
/// their blocks, which nobody's `drop` sees.
pub(crate) fn without_traces<T>(act: impl FnOnce() -> T) -> T {
    let result = apart(act);
    wipe_below();
    result
}

/// A frame of its own, below that of the caller.
#[inline(never)]
fn apart<T>(act: impl FnOnce() -> T) -> T {
    act()
}

#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe_below() {
    let mut below = [0_u8; DEEPEST];
    below.zeroize();
    std::hint::black_box(&below);
}
