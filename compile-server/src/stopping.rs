//! Ending a server.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::error::ServerError;
use crate::process::{Process, signal};

/// The daemon waits three seconds for its requests and then ends them (SRVD-SEC-02); a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a server to end and waits for it. A second request, which makes it end at once, only comes after that; then KILL.
/// A server that is gone already is stopped.
pub(crate) fn stop(process: &Process) -> Result<(), ServerError> {
    let failed = |said: String| ServerError::StillRunning { pid: process.pid, said };
    let Some(pidfd) = process.open().map_err(|error| failed(error.to_string()))? else { return Ok(()) };
    for which in [Signal::TERM, Signal::TERM, Signal::KILL] {
        signal(&pidfd, which).map_err(|error| failed(error.to_string()))?;
        let end = Instant::now() + PATIENCE;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if !process.is_alive() {
                return Ok(());
            }
            // A pidfd becomes readable when its process ends. A zombie's is readable for good, which `is_alive` tells.
            let slice = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(left.min(Duration::from_millis(200)).subsec_nanos()),
            };
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&slice));
        }
    }
    if process.is_alive() { Err(failed("it outlived KILL".into())) } else { Ok(()) }
}
