//! Power cuts: installs, upgrades, rollbacks and collections in a virtual machine, on ext4 on a virtio disk. Whatever the
//! disk had kept when the power went, the old set is there or the new one, whole; no floor is above what was
//! installed; and what had been reported as done is done.
//!
//! In two ways. The emulator logs every write and every flush, and thousands of states that a disk may be in after a cut
//! are made from the log: nothing that was flushed is lost, anything else may be. And the emulator itself is
//! killed. The first finds a missing flush of the disk, the second has nothing of ours in between.
//!
//! The same machine shows what becomes of files that fs-verity seals, for it has a disk and a kernel that can.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]
#![expect(clippy::print_stderr, reason = "a seed and a count are worth a line")]

mod guest;
mod judge;
mod plan;
mod sealed;

use std::fs;
use std::path::PathBuf;

use end_to_end::write_log::{Chance, Replay, WriteLog, write_sparse};

use crate::guest::{Host, MARKS, file_of};
use crate::judge::{Allowed, Judge, Verdict};
use crate::plan::{Installed, LAST, NOTHING, Step};

/// States that are made of each log; there are two.
const STATES: usize = 1050;
const KILLS: usize = 20;
const SEED: u64 = 20_260_101;

/// Processes that judge at once: as many as the smallest machine for these tests has processors.
const CREW: usize = 2;

/// Every so-many-th state is gone on with.
const GO_ON: usize = 10;

/// A run of the steps, with a log of all that was written.
struct Logged {
    host: Host,
    steps: Vec<Step>,
    base: PathBuf,
    log: WriteLog,
    /// For each request the number of steps that had ended by then, and whether one was under way.
    when: Vec<(usize, bool)>,
}

impl Logged {
    fn run(family: &str, steps: Vec<Step>) -> Self {
        let host = Host::new(family);
        let (base, log) = (host.path("base"), host.path("log"));
        fs::copy(host.disk(), &base).unwrap();
        fs::File::create(&log).unwrap().set_len(4 << 30).unwrap();
        let machine = host.boot(&host.disk(), Some(&log), 0, &steps);
        machine.wait(&|(_, ended)| ended == steps.len());
        machine.end();
        let log = WriteLog::read(&log).unwrap();
        let when = phases(&log);
        assert_eq!(when.last().map(|(ended, _)| *ended), Some(steps.len()));
        Self { host, steps, base, log, when }
    }

    /// What may be there after a cut behind request `cut`.
    fn allowed(&self, cut: usize) -> Allowed {
        let (ended, under_way) = self.when[cut];
        let before = state(&self.steps, ended);
        Allowed { before, after: if under_way { state(&self.steps, ended + 1) } else { before } }
    }

    /// Makes `count` states of `log` and judges them; how many were good, and the bad ones.
    fn judge(&self, log: &WriteLog, count: usize, seed: u64) -> (usize, Vec<String>) {
        let mut chance = Chance::of(seed);
        let begun = self.when.iter().position(|(_, under_way)| *under_way).unwrap();
        let choice = (log.len() - begun) as u64;
        let mut cuts: Vec<usize> =
            (0..count).map(|_| begun + usize::try_from(chance.below(choice)).unwrap()).collect();
        cuts.sort_unstable();
        let shares = cuts.chunks(count.div_ceil(CREW));
        let verdicts: Vec<Vec<(usize, Verdict)>> = std::thread::scope(|scope| {
            let crew: Vec<_> = shares
                .enumerate()
                .map(|(number, share)| {
                    let chance = Chance::of(seed + 1 + number as u64);
                    scope.spawn(move || self.judge_share(log, share, chance))
                })
                .collect();
            crew.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        let (good, bad): (Vec<_>, Vec<_>) =
            verdicts.into_iter().flatten().partition(|(_, verdict)| verdict.is_ok());
        let bad = bad.into_iter().map(|(cut, verdict)| {
            let (ended, under_way) = self.when[cut];
            let step = self.steps.get(ended).map_or("the end", |step| step.line.as_str());
            let when = if under_way { "in" } else { "before" };
            format!("cut behind request {cut}, {when} step {ended} ({step}): {}", verdict.unwrap_err())
        });
        (good.len(), bad.collect())
    }

    fn judge_share(&self, log: &WriteLog, cuts: &[usize], mut chance: Chance) -> Vec<(usize, Verdict)> {
        let mut replay = Replay::new(&self.base, log.clone()).unwrap();
        let judge = self.host.judge();
        let mut verdicts = Vec::new();
        for (number, cut) in cuts.iter().enumerate() {
            let disk = replay.cut_after(*cut, &mut chance).unwrap();
            let file_system = &disk[..usize::try_from(MARKS).unwrap()];
            write_sparse(file_system, &judge.disk()).unwrap();
            let verdict = judge.judge(self.allowed(*cut), number % GO_ON == 0);
            verdicts.push((*cut, verdict));
        }
        verdicts
    }
}

impl Host {
    fn judge(&self) -> Judge {
        Judge::new(&self.release.release, self.path("media").join(file_of(LAST)))
    }
}

/// What is installed after so many steps.
fn state(steps: &[Step], ended: usize) -> Installed {
    ended.checked_sub(1).map_or(NOTHING, |last| steps[last].after)
}

/// For each request of the log how far the steps were, by the marks.
fn phases(log: &WriteLog) -> Vec<(usize, bool)> {
    let mut marks = log.written_behind(MARKS).unwrap().into_iter().peekable();
    let mut now = (0, false);
    let mut phases = Vec::new();
    for request in 0..log.len() {
        if let Some((_, mark)) = marks.next_if(|(number, _)| *number == request) {
            let text = String::from_utf8_lossy(&mark);
            let mut words = text.split(['\0', '\n']).next().unwrap().split(' ').skip(1);
            let begins = words.next() == Some("begin");
            let number: usize = words.next().unwrap().parse().unwrap();
            now = if begins { (number, true) } else { (number + 1, false) };
        }
        phases.push(now);
    }
    phases
}

fn every_state_is_the_old_set_or_the_new_one(family: &str) {
    let logged = Logged::run(family, plan::steps());
    eprintln!(
        "{family}: {} steps, {} requests, {} flushes, seed {SEED}",
        logged.steps.len(),
        logged.log.len(),
        logged.log.flushes()
    );
    let (good, bad) = logged.judge(&logged.log, STATES, SEED);
    assert!(bad.is_empty(), "seed {SEED}: {} bad states of {STATES}:\n{}", bad.len(), bad.join("\n"));
    assert_eq!(good, STATES);
    // The same log, as if no flush had reached the disk, must be told from it.
    let (_, bad) = logged.judge(&logged.log.clone().without_flushes(), 40, SEED);
    eprintln!("{family}: without flushes {} of 40 states are bad", bad.len());
    assert!(bad.len() > 10, "flushes that never were go unnoticed: {bad:?}");
}

#[test]
fn e1_every_state_on_debian_stable_is_the_old_set_or_the_new_one() {
    every_state_is_the_old_set_or_the_new_one("stable");
}

#[test]
fn e1_every_state_on_debian_testing_is_the_old_set_or_the_new_one() {
    every_state_is_the_old_set_or_the_new_one("testing");
}

/// How an incomplete set shows depends on what the disk had by then: no generation at all, no modules in it, or links that
/// lead nowhere.
const INCOMPLETE: [&str; 3] =
    ["neither the old set nor the new one", "kernels: No such file or directory", " is missing"];

/// The test of the test: every call is made and flushed, but in the wrong order.
#[test]
fn e1_an_installer_that_switches_too_early_is_found() {
    let step = |serial: u64| {
        let after = Installed { fleet: serial, storage: false, highest: LAST };
        Step { line: format!("careless {serial}"), after }
    };
    let logged = Logged::run("testing", (1..=3).map(step).collect());
    let (_, bad) = logged.judge(&logged.log, 60, SEED);
    let found = bad.iter().filter(|bad| INCOMPLETE.iter().any(|word| bad.contains(word))).count();
    eprintln!("{} of 60 states are bad, {found} of them a mixed or empty set", bad.len());
    assert!(found > 5, "{bad:?}");
}

#[test]
fn e1_twenty_kills_of_the_emulator_leave_the_old_set_or_the_new_one() {
    let host = Host::new("testing");
    let steps = plan::steps();
    let mut chance = Chance::of(SEED);
    eprintln!("seed {SEED}");
    let judge = host.judge();
    let mut done = 0;
    for kill in 0..KILLS {
        // Where the steps are used up, begin anew.
        if done + 6 > steps.len() {
            done = 0;
        }
        let disk = host.path("killed");
        if done == 0 {
            fs::copy(host.disk(), &disk).unwrap();
        }
        let machine = host.boot(&disk, None, done, &steps);
        // Somewhere in one of the next steps; how long one takes here shows the one before.
        let wait_for = 1 + usize::try_from(chance.below(3)).unwrap();
        machine.wait(&|(begun, _)| begun >= wait_for);
        let since = std::time::Instant::now();
        machine.wait(&|(_, ended)| ended >= wait_for);
        machine.wait(&|(begun, _)| begun > wait_for);
        let one = since.elapsed().as_micros().max(1);
        std::thread::sleep(std::time::Duration::from_micros(chance.below(u64::try_from(one).unwrap())));
        let (begun, ended) = machine.kill();
        let image = fs::read(&disk).unwrap();
        write_sparse(&image[..usize::try_from(MARKS).unwrap()], &judge.disk()).unwrap();
        let allowed = Allowed { before: state(&steps, done + ended), after: state(&steps, done + begun) };
        let found = judge.judge(allowed, true).unwrap_or_else(|what| {
            panic!("kill {kill}, {begun} steps begun and {ended} ended from step {done} on: {what}")
        });
        // A step that was not reported may have been done all the same; a rollback must not be done twice.
        done += if found == allowed.after { begun } else { ended };
    }
}
