//! Ending a server.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::ServerError;
use crate::process::Process;

/// The daemon waits three seconds for its requests and then ends them (SRVD-SEC-02); a loaded machine gets more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a server to end and waits for it. A second request, which makes it end at once, only comes after that; then KILL.
/// A server that is gone already is stopped.
pub(crate) fn stop(process: &Process) -> Result<(), ServerError> {
    let failed = |said: String| ServerError::StillRunning { pid: process.pid, said };
    let Some(server) = process.open().map_err(|error| failed(error.to_string()))? else { return Ok(()) };
    for which in [Signal::TERM, Signal::TERM, Signal::KILL] {
        server.signal(which).map_err(|error| failed(error.to_string()))?;
        if server.wait(Instant::now() + PATIENCE) {
            return Ok(());
        }
    }
    Err(failed("it outlived KILL".into()))
}
