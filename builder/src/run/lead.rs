//! Leaders of a build: each makes a part of stap's caches, and tells the schedule whether jobs may count on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::BuildError;
use super::event::BuildEvent;
use super::report::WarmUpReport;
use super::schedule::Schedule;
use super::site::Site;
use super::workers::Run;
use crate::compile::{ExecutorError, LeaderTask, Leading};
use crate::job::CompileJob;
use crate::sandbox::JobLimits;
use crate::warm::{Led, Scan, WarmUpKey, WarmUpPart};

/// A leader does some 90 CPU seconds of work, so it may take this many times the limit of a job.
const LEADER_SHARE: u32 = 3;

/// A leader at work.
struct Leader<'r> {
    run: &'r Run<'r>,
    schedule: &'r Schedule<WarmUpKey>,
    number: usize,
    key: WarmUpKey,
    part: WarmUpPart,
    /// A job that needs the part.
    job: &'r CompileJob,
    begun: Instant,
}

impl Run<'_> {
    /// Makes a part of a key's caches.
    pub(crate) fn lead(
        &self,
        schedule: &Schedule<WarmUpKey>,
        number: usize,
        key: WarmUpKey,
        part: WarmUpPart,
    ) -> Result<(), BuildError> {
        let mut jobs = (0..self.open.len()).map(|entry| self.job(entry));
        let Some(job) = jobs.find(|job| job.warm_up_key == key) else {
            schedule.led(number, key, part, Ok(()));
            return Ok(());
        };
        Leader { run: self, schedule, number, key, part, job, begun: Instant::now() }.lead()
    }
}

impl<'r> Leader<'r> {
    fn lead(&self) -> Result<(), BuildError> {
        let run = self.run;
        (run.work.events)(BuildEvent::WarmUpStarted {
            release: self.job.kernel.release.clone(),
            part: self.part,
            maker: self.site().maker(),
        });
        let limits = run.work.options.limits;
        let limits = JobLimits { time: limits.time.saturating_mul(LEADER_SHARE), ..limits };
        match self.site().executor.lead(&self.task(), &limits, run.work.cancel) {
            Ok(leading) => self.ended(leading),
            Err(ExecutorError::ServerLost { said }) => {
                self.came_to_nothing(said.clone());
                run.lost(self.schedule, self.number, None, said);
            }
            Err(ExecutorError::ServerRefused { why }) => self.came_to_nothing(why),
            Err(error) => {
                self.came_to_nothing(error.to_string());
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn task(&self) -> LeaderTask {
        let workers = self.site().workers.min(self.run.open.len());
        LeaderTask {
            key: self.key,
            part: self.part,
            flags: self.job.warm_up_flags.clone(),
            kernel: Arc::clone(&self.job.kernel),
            scan: match self.part {
                WarmUpPart::Scan if self.site().server.is_none() => self.run.scan_of(self.key),
                _ => Scan::whole(),
            },
            threads: threads(workers, self.schedule.leaders(self.number)),
        }
    }

    fn ended(&self, leading: Leading) {
        let run = self.run;
        if let Some(sentence) = leading.note.clone() {
            (run.work.events)(BuildEvent::ServerNoted { sentence });
        }
        let report = self.report(leading.wall, leading.cpu);
        let cpu = leading.cpu;
        let led = match leading.led {
            Led::Complete(diagnosis) => match self.site().executor.changed_input(self.job) {
                Some(why) => Led::Incomplete(why),
                None => Led::Complete(diagnosis),
            },
            other => other,
        };
        let incomplete = match led {
            Led::Complete(diagnosis) => {
                if self.site().server.is_none() {
                    let stamp = self.job.kernel.stamp;
                    let warm_ups = run.work.warm_ups;
                    match (leading.scan, &diagnosis) {
                        (Some(scan), None) => warm_ups.accept_scan(self.key, stamp, scan, leading.taken),
                        _ => warm_ups.accept(self.key, stamp, self.part, leading.taken, diagnosis.clone()),
                    }
                }
                if let Some(diagnosis) = diagnosis {
                    run.diagnosed(self.job, diagnosis);
                }
                None
            }
            Led::Incomplete(why) => Some(why),
            Led::Cancelled => return self.came_to_nothing("cancelled".to_owned()),
        };
        self.tell_schedule(incomplete.as_deref());
        (run.work.events)(BuildEvent::WarmUpFinished {
            report: report.clone(),
            incomplete: incomplete.clone(),
        });
        let mut state = run.lock();
        if let (None, Some(cpu)) = (incomplete, cpu) {
            state.durations.part_took(self.part, cpu);
        }
        state.results.warm_ups.push(report);
        drop(state);
        // One that is tried again is a surprise in any case.
        run.tell_work_left(|left| left.part_done(self.key, self.part));
    }

    /// Reported in every case: the schedule has jobs that wait for the part, and the user saw it begin.
    fn came_to_nothing(&self, why: String) {
        self.tell_schedule(Some(&why));
        let report = self.report(self.begun.elapsed(), None);
        (self.run.work.events)(BuildEvent::WarmUpFinished { report, incomplete: Some(why) });
    }

    fn tell_schedule(&self, incomplete: Option<&str>) {
        let by = |why: &str| match self.site().server {
            Some(server) => format!("{}: {why}", server.address()),
            None => format!("stap's caches for this kernel: {why}"),
        };
        self.schedule.led(self.number, self.key, self.part, incomplete.map_or(Ok(()), |why| Err(by(why))));
    }

    fn report(&self, wall: Duration, cpu: Option<Duration>) -> WarmUpReport {
        let release = self.job.kernel.release.clone();
        WarmUpReport { release, part: self.part, wall, cpu, maker: self.site().maker() }
    }

    fn site(&self) -> &'r Site<'r> {
        &self.run.work.sites[self.number]
    }
}

/// Of a leader, where so many are at work or still to come. Twice the workers are kept busy, for two leaders of a kernel don't end at
/// the same time: the longer one then has all cores, and until then the processes share them.
fn threads(workers: usize, leaders: usize) -> usize {
    (2 * workers / leaders.max(1)).clamp(1, workers.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_leaders_of_one_kernel_may_each_use_all_cores_and_many_leaders_one_each() {
        let of_sixteen_cores = [1, 2, 4, 8, 16, 300].map(|leaders| threads(17, leaders));
        assert_eq!(of_sixteen_cores, [17, 17, 8, 4, 2, 1]);
        assert_eq!((threads(0, 0), threads(1, 2)), (1, 1));
    }
}
