//! `attach`: showing the data of a recorder in memory while its script runs on.

use std::path::PathBuf;

use child::{Ended, OutputStream};
use script_config::ScriptName;

use crate::host::{Host, ServiceError, log};
use crate::kernel::ModuleState;
use crate::records::{RecorderMode, RunRecord};
use crate::staprun::Staprun;

/// Where what a reader writes belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachOutput<'d> {
    /// The script's data.
    Data(&'d [u8]),
    /// What `staprun` says besides.
    Message(&'d [u8]),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachEnd {
    /// The reader let go, and the script runs on.
    Detached,
    ScriptEnded,
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// It doesn't run.
    #[error("{0} doesn't run")]
    NotRunning(ScriptName),
    /// A process writes its data into a file already.
    #[error("{script} writes its data to {}", output.display())]
    IntoFile { script: ScriptName, output: PathBuf },
    /// `staprun` couldn't attach, or has failed.
    #[error("staprun -A {script} failed: {end}")]
    Staprun {
        script: ScriptName,
        /// How it ended and what it said last.
        end: String,
    },
    /// Something on the host failed.
    #[error(transparent)]
    Host(#[from] ServiceError),
}

/// Shows the data until the host's token is set or the script ends. Takes no lock: a stop must get through, and makes
/// the reader let go.
pub(crate) fn attach(
    host: &Host,
    script: &ScriptName,
    on_output: &mut dyn FnMut(AttachOutput<'_>),
) -> Result<AttachEnd, AttachError> {
    let state = ModuleState::observe(host, script)?;
    let record = RunRecord::read(host, script)?;
    // What is done has left its data in memory, as long as its module is there.
    let is_done = state == ModuleState::Ended && record.as_ref().is_some_and(|record| record.is_done(state));
    if state != ModuleState::Running && !is_done {
        return Err(AttachError::NotRunning(script.clone()));
    }
    if let Some(RecorderMode::File { output, .. }) = record.map(|record| record.recorder) {
        return Err(AttachError::IntoFile { script: script.clone(), output });
    }
    let staprun = Staprun::find(host)?;
    log::line(host, &format!("Exec: staprun -A {script}"));
    let end = staprun.attach(script, &mut |stream, bytes| {
        on_output(match stream {
            OutputStream::Stdout => AttachOutput::Data(bytes),
            OutputStream::Stderr => AttachOutput::Message(bytes),
        });
    })?;
    let runs_on = ModuleState::observe(host, script)? == ModuleState::Running;
    match end.ended {
        Ended::Cancelled if runs_on => Ok(AttachEnd::Detached),
        Ended::Code(0) | Ended::Cancelled if !runs_on => Ok(AttachEnd::ScriptEnded),
        // Somebody else asked the reader to let go.
        Ended::Code(0) => Ok(AttachEnd::Detached),
        _ => Err(AttachError::Staprun { script: script.clone(), end: end.summary() }),
    }
}
