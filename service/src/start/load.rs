//! Loading one script: private copy, record, `staprun`, proof that it runs; or everything undone.

use std::time::Instant;

use child::Ended;
use script_config::ScriptName;

use crate::host::{Host, log};
use crate::kernel::ModuleState;
use crate::offers::VerifiedModule;
use crate::reasons::StartFailure;
use crate::records::{Phase, RecorderMode, RunRecord, is_ours, status_file};
use crate::staprun::{LoadDir, Staprun, StaprunEnd, StaprunRefusal};
use crate::start::confirm::{self, Proof, Recorders};
use crate::stop::{forget, unload};

/// What loading needs of the host, found before the first load.
#[derive(Debug)]
pub(crate) struct Loader<'h> {
    pub(crate) host: &'h Host,
    pub(crate) staprun: Staprun<'h>,
    pub(crate) load_dir: LoadDir,
    pub(crate) recorders: Recorders<'h>,
}

impl Loader<'_> {
    /// Loads a verified module and returns the record once the script runs, or has done its work. The buffer that was hashed is the one that is
    /// written (E5). After a failure nothing of it is left, as far as that is possible.
    pub(crate) fn load(
        &self,
        mut record: RunRecord,
        module: &VerifiedModule,
        args: &[String],
    ) -> Result<RunRecord, StartFailure> {
        let name = record.script.clone();
        self.make_room(&name)?;
        record.write(self.host)?;
        match self.run_staprun(&mut record, module.bytes(), args) {
            Ok(()) => Ok(record),
            Err(failure) => {
                self.undo(&name, &failure);
                Err(failure)
            }
        }
    }

    /// Looks again whether the name is free, since the plan may be seconds old. What an earlier start of ours left
    /// there without running is taken out.
    fn make_room(&self, name: &ScriptName) -> Result<(), StartFailure> {
        let state = ModuleState::observe(self.host, name)?;
        let left_by_us = matches!(state, ModuleState::NotStarted | ModuleState::Ended)
            && is_ours(state, RunRecord::read(self.host, name)?.as_ref());
        if left_by_us {
            return unload(&self.staprun, self.host, name)
                .map_err(|left| StartFailure::Host(left.to_string()));
        }
        if state == ModuleState::Absent {
            return Ok(());
        }
        Err(StartFailure::Staprun(StaprunRefusal::NameTaken))
    }

    fn run_staprun(&self, record: &mut RunRecord, bytes: &[u8], args: &[String]) -> Result<(), StartFailure> {
        let name = record.script.clone();
        let begun = Instant::now();
        let end = {
            let copy = self.load_dir.place(&name, bytes)?;
            self.staprun.load(&copy, args)?
        };
        self.judge_end(&name, &end)?;
        let proof = match &record.recorder {
            RecorderMode::Memory => confirm::in_memory(self.host, &name)?,
            RecorderMode::File { .. } => {
                confirm::by_daemon(self.host, &name, &self.recorders, end.daemon_pid())?
            }
        };
        record.phase = Phase::Running;
        let took = begun.elapsed().as_millis();
        match proof {
            Proof::Runs(found) => {
                if let RecorderMode::File { stapio, .. } = &mut record.recorder {
                    *stapio = found;
                }
                log::line(self.host, &format!("{name}: started in {took} ms"));
            }
            Proof::Done => {
                record.done = Some(self.host.now());
                log::line(self.host, &format!("{name}: done in {took} ms, it has ended itself"));
            }
        }
        record.write(self.host)?;
        self.write_status_file(record)
    }

    /// A recorder in memory keeps its module until it is stopped, whether the script has ended or not. One into a file takes it
    /// away.
    fn write_status_file(&self, record: &RunRecord) -> Result<(), StartFailure> {
        let name = &record.script;
        let stapio = record.recorder.stapio().map(|id| id.pid);
        match (&record.recorder, record.done) {
            (RecorderMode::File { .. }, Some(_)) => status_file::remove(self.host, name)?,
            _ => status_file::write(self.host, name, stapio)?,
        }
        Ok(())
    }

    /// A `staprun` that didn't end with 0 has failed, whatever the module does now: what it left isn't relied on.
    fn judge_end(&self, name: &ScriptName, end: &StaprunEnd) -> Result<(), StartFailure> {
        match end.ended {
            Ended::Code(0) => return Ok(()),
            Ended::TimedOut(limit) => return Err(StartFailure::TimedOut { seconds: limit.as_secs() }),
            Ended::Cancelled => return Err(StartFailure::Interrupted),
            Ended::Code(_) | Ended::Signal(_) => {}
        }
        let refusal = match StaprunRefusal::of(self.host, &end.stderr) {
            StaprunRefusal::Other(text) if end.stderr.trim().is_empty() => {
                StaprunRefusal::Other(format!("{}, {text}", end.ended))
            }
            refusal => refusal,
        };
        if refusal == StaprunRefusal::NameTaken
            || ModuleState::observe(self.host, name)? == ModuleState::Absent
        {
            return Err(StartFailure::Staprun(refusal));
        }
        Err(StartFailure::NotStarted(refusal))
    }

    /// Takes out what a failed load left. The module isn't touched if somebody else was quicker to load one of that name.
    fn undo(&self, name: &ScriptName, failure: &StartFailure) {
        log::line(self.host, &format!("{name}: {failure}"));
        let undone = match failure {
            StartFailure::Staprun(StaprunRefusal::NameTaken) => {
                forget(self.host, name);
                Ok(())
            }
            _ => unload(&self.staprun, self.host, name),
        };
        if let Err(left) = undone {
            log::line(self.host, &format!("{name}: couldn't be removed again: {left}"));
        }
    }
}
