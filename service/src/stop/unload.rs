//! Taking one module of ours out of the kernel.

use std::time::Instant;

use script_config::ScriptName;

use crate::host::{Host, ServiceError, log};
use crate::kernel::{ModuleState, Stapio, watch};
use crate::records::{RunRecord, is_ours, status_file};
use crate::staprun::Staprun;
use files::with_causes;

/// Why a script couldn't be stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopFailure {
    /// A module of that name is loaded, and nothing shows that it is the service's.
    #[error("a module of that name is loaded, but it isn't one that this service runs")]
    NotOurs,
    /// The process that writes its output doesn't end.
    #[error("process {pid} (stapio), which writes its output, doesn't end within {seconds} s")]
    StapioStays {
        pid: u32,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// `staprun -d` failed.
    #[error("staprun -d failed: {0}")]
    Staprun(String),
    /// `staprun -d` ended well, but the module is still loaded.
    #[error("its module is still loaded {seconds} s after staprun -d")]
    StillLoaded {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// Something on the host failed.
    #[error("{0}")]
    Host(String),
}

impl From<ServiceError> for StopFailure {
    fn from(error: ServiceError) -> Self {
        Self::Host(with_causes(&error))
    }
}

/// Stops the script: ends its `stapio`, removes its module, waits until it is gone, removes its records. A script
/// that isn't loaded only loses its records.
pub(crate) fn unload(staprun: &Staprun<'_>, host: &Host, name: &ScriptName) -> Result<(), StopFailure> {
    let record = RunRecord::read(host, name)?;
    let state = ModuleState::observe(host, name)?;
    if state != ModuleState::Absent {
        if !is_ours(state, record.as_ref()) {
            return Err(StopFailure::NotOurs);
        }
        // All waits together end by then, however many processes there are to wait for.
        let until = Instant::now() + host.patience.unload;
        end_stapio(host, name, record.as_ref(), until)?;
        detach_readers(host, name, until);
        remove_module(staprun, host, name, until)?;
    }
    forget(host, name);
    Ok(())
}

/// Removes what the service remembers of a running script. What can't be removed goes to the log: the script doesn't
/// run any more, and that counts.
pub(crate) fn forget(host: &Host, name: &ScriptName) {
    for removed in [RunRecord::remove(host, name), status_file::remove(host, name)] {
        if let Err(error) = removed {
            log::line(host, &format!("{name}: {}", with_causes(&error)));
        }
    }
}

/// The daemon of a script: by the record, else by the status file, else by its command line (INIT-STOP-05: the
/// original would signal whatever process has that number now).
fn stapio_of(host: &Host, name: &ScriptName, record: Option<&RunRecord>) -> Option<Stapio> {
    if let Some(id) = record.and_then(|record| record.recorder.stapio()) {
        return Stapio::recorded(host, id);
    }
    let noted = status_file::read(host, name).filter(|pid| *pid != 0);
    let noted = noted.and_then(|pid| Stapio::of_script(host, pid, name));
    noted.or_else(|| Stapio::find(host, name))
}

/// Asks the daemon to end and waits. It takes the third TERM for force (INIT-STOP-06), so a slow one gets one half
/// of the patience before it gets the other two.
fn end_stapio(
    host: &Host,
    name: &ScriptName,
    record: Option<&RunRecord>,
    until: Instant,
) -> Result<(), StopFailure> {
    let Some(stapio) = stapio_of(host, name, record) else { return Ok(()) };
    stapio.ask_to_end();
    if stapio.wait(halfway(until)) {
        return Ok(());
    }
    stapio.ask_to_end();
    stapio.ask_to_end();
    if stapio.wait(until) {
        return Ok(());
    }
    Err(StopFailure::StapioStays { pid: stapio.id.pid, seconds: host.patience.unload.as_secs() })
}

/// Whoever looks at the recorder's data has to let go first: a module with a reader can't be removed (RUN-09). One that
/// doesn't within half of the time, stopped by its user for instance, is killed: who shows data doesn't decide whether a
/// script can be stopped.
fn detach_readers(host: &Host, name: &ScriptName, until: Instant) {
    let mut readers = Stapio::readers(host, name);
    for reader in &readers {
        reader.ask_to_detach();
    }
    let halfway = halfway(until);
    readers.retain(|reader| !reader.wait(halfway));
    for reader in &readers {
        reader.kill();
        log::line(
            host,
            &format!("{name}: process {} (stapio), a reader that didn't let go, is killed", reader.id.pid),
        );
    }
    for reader in &readers {
        // One that even outlives that is named by the removal's failure.
        let _ = reader.wait(until);
    }
}

/// The moment between now and `until`.
fn halfway(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

/// `staprun -d`, unless the ending `stapio` has removed the module itself, and a look whether it is gone.
fn remove_module(
    staprun: &Staprun<'_>,
    host: &Host,
    name: &ScriptName,
    until: Instant,
) -> Result<(), StopFailure> {
    if ModuleState::observe(host, name)? == ModuleState::Absent {
        return Ok(());
    }
    let end = staprun.delete(name)?;
    let failed = !end.ended.success();
    let begun = Instant::now();
    // A failed removal may have found the module gone already; one look tells.
    let limit = if failed { std::time::Duration::ZERO } else { until.saturating_duration_since(begun) };
    match watch(host, name, limit, |state| state == ModuleState::Absent)? {
        ModuleState::Absent => Ok(()),
        _ if failed => Err(StopFailure::Staprun(end.summary())),
        _ => Err(StopFailure::StillLoaded { seconds: begun.elapsed().as_secs() }),
    }
}
