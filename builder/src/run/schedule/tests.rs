use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::run::schedule_state::TRIES;
use crate::warm::WarmUp;

const PLAIN: WarmUp = WarmUp { configured: true, scanned: false };
const TRACE: WarmUp = WarmUp { configured: true, scanned: true };
const CONFIGURATION: WarmUpPart = WarmUpPart::Configuration;
const SCAN: WarmUpPart = WarmUpPart::Scan;

/// The only site of most tests.
const HERE: usize = 0;

fn schedule_of(jobs: &[(u8, WarmUp, u64)], warm: &[(u8, WarmUp)]) -> Schedule<u8> {
    let site = SiteEntry { warm: warm.iter().copied().collect(), last_resort: false };
    schedule_at(&[site], jobs, &[&[HERE]])
}

/// A leader costs 10 s. The last list of `at` is that of all further jobs, too.
fn schedule_at(sites: &[SiteEntry<u8>], jobs: &[(u8, WarmUp, u64)], at: &[&[usize]]) -> Schedule<u8> {
    let entry = |(number, (key, needs, seconds)): (usize, &(u8, WarmUp, u64))| Entry {
        key: *key,
        needs: *needs,
        expected: Duration::from_secs(*seconds),
        sites: at[number.min(at.len() - 1)].iter().copied().collect(),
    };
    let costs = WarmUpPart::ALL.map(|part| (part, Duration::from_secs(10)));
    Schedule::new(jobs.iter().enumerate().map(entry).collect(), sites, costs.into())
}

fn cold() -> SiteEntry<u8> {
    SiteEntry { warm: HashMap::new(), last_resort: false }
}

fn warm(keys: &[u8]) -> SiteEntry<u8> {
    SiteEntry { warm: keys.iter().map(|key| (*key, TRACE)).collect(), last_resort: false }
}

#[test]
fn a_lost_sites_jobs_go_to_another_one_which_warms_the_kernel_only_then() {
    let cancel = Cancel::new();
    let schedule = schedule_at(&[warm(&[1]), cold()], &[(1, PLAIN, 3), (1, PLAIN, 2)], &[&[0, 1]]);
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
    // The work that waits isn't worth a second leader.
    assert_eq!(schedule.choose(1, &schedule.lock()), None);
    assert!(schedule.lost(0, Some(0)));
    assert!(!schedule.lost(0, None));
    assert_eq!(schedule.next(0, &cancel), None);
    assert_eq!(schedule.next(1, &cancel), Some(lead(1, CONFIGURATION)));
    schedule.led(1, 1, CONFIGURATION, Ok(()));
    for index in [0, 1] {
        assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(index)));
        schedule.done(index);
    }
    assert_eq!(schedule.next(1, &cancel), None);
}

/// A site waited for ever for another one that had the kernel warm, and took none of its jobs any more.
#[test]
fn a_kernel_whose_jobs_another_site_refuses_was_never_warmed_here() {
    let cancel = Cancel::new();
    let schedule = schedule_at(&[warm(&[1]), cold()], &[(1, PLAIN, 1)], &[&[0, 1]]);
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
    schedule.refuse(0, 0, "closed".to_owned());
    assert_eq!(schedule.next(0, &cancel), None);
    assert_eq!(schedule.next(1, &cancel), Some(lead(1, CONFIGURATION)));
}

/// It warmed another site's kernel first if its worker came first, and that site was left without anything to do.
#[test]
fn a_site_that_alone_takes_a_kernel_began_with_another_ones() {
    let cancel = Cancel::new();
    let jobs = [(1, PLAIN, 3), (2, PLAIN, 3)];
    let schedule = schedule_at(&[cold(), cold()], &jobs, &[&[0, 1], &[1]]);
    assert_eq!(schedule.next(1, &cancel), Some(lead(2, CONFIGURATION)));
    assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
}

/// Each had one part, and left the other one to the other site.
#[test]
fn two_sites_never_wait_for_each_others_part() {
    let cancel = Cancel::new();
    let schedule = schedule_at(&[cold(), cold()], &[(1, TRACE, 1), (1, TRACE, 1)], &[&[0, 1]]);
    assert_eq!(schedule.next(0, &cancel), Some(lead(1, SCAN)));
    assert_eq!(schedule.choose(1, &schedule.lock()), None);
    assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
    schedule.led(0, 1, CONFIGURATION, Ok(()));
    schedule.led(0, 1, SCAN, Ok(()));
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
}

/// A server waited for this machine, which was warm and waited for all servers.
#[test]
fn nobody_waits_for_a_last_resort() {
    let here = SiteEntry { last_resort: true, ..warm(&[1]) };
    let schedule = schedule_at(&[cold(), here], &[(1, PLAIN, 1)], &[&[0, 1]]);
    assert_eq!(schedule.next(0, &Cancel::new()), Some(lead(1, CONFIGURATION)));
}

#[test]
fn a_second_site_warms_a_kernel_that_has_much_work() {
    let jobs: Vec<(u8, WarmUp, u64)> = (0..6).map(|_| (1, PLAIN, 2)).collect();
    let schedule = schedule_at(&[warm(&[1]), cold()], &jobs, &[&[0, 1]]);
    assert_eq!(schedule.next(1, &Cancel::new()), Some(lead(1, CONFIGURATION)));
}

#[test]
fn a_last_resort_takes_what_no_other_site_takes() {
    let cancel = Cancel::new();
    let here = SiteEntry { last_resort: true, ..warm(&[1]) };
    let jobs = [(1, PLAIN, 1), (1, PLAIN, 1)];
    let schedule = schedule_at(&[warm(&[1]), here], &jobs, &[&[0, 1], &[1]]);
    assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(1)));
    assert_eq!(schedule.choose(1, &schedule.lock()), None);
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
    schedule.refuse(0, 0, "too large".to_owned());
    assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(0)));
}

#[test]
fn what_every_site_refuses_is_given_up_and_what_all_that_take_it_lost_is_left() {
    let cancel = Cancel::new();
    let schedule = schedule_at(&[warm(&[1]), warm(&[1])], &[(1, PLAIN, 2), (1, PLAIN, 1)], &[&[0], &[1]]);
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Job(0)));
    schedule.refuse(0, 0, "too large".to_owned());
    assert_eq!(schedule.next(1, &cancel), Some(Assignment::Job(1)));
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Blocked(0, "too large".to_owned())));
    assert_eq!(schedule.next(0, &cancel), None);
    schedule.lost(1, Some(1));
    assert_eq!(schedule.next(1, &cancel), None);
}

#[test]
fn a_kernel_that_one_site_gives_up_is_compiled_by_another_one() {
    let cancel = Cancel::new();
    let schedule = schedule_at(&[cold(), warm(&[1])], &[(1, PLAIN, 30)], &[&[0, 1]]);
    for _ in 0..TRIES {
        assert_eq!(schedule.next(0, &cancel), Some(lead(1, CONFIGURATION)));
        schedule.led(0, 1, CONFIGURATION, Err("another compiler".to_owned()));
    }
    assert_eq!(schedule.choose(0, &schedule.lock()), None);
    schedule.lost(1, None);
    assert_eq!(schedule.next(0, &cancel), Some(Assignment::Blocked(0, "another compiler".to_owned())));
}

fn lead(key: u8, part: WarmUpPart) -> Assignment<u8> {
    Assignment::Lead { key, part }
}

#[test]
fn each_part_has_one_leader_and_only_its_jobs_wait() {
    let cancel = Cancel::new();
    let schedule = schedule_of(&[(1, PLAIN, 1), (1, TRACE, 1), (2, PLAIN, 1)], &[]);
    assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, SCAN)));
    assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, CONFIGURATION)));
    assert_eq!(schedule.next(HERE, &cancel), Some(lead(2, CONFIGURATION)));
    assert_eq!(schedule.choose(HERE, &schedule.lock()), None);
    assert_eq!(schedule.leaders(HERE), 3);
    schedule.led(HERE, 1, CONFIGURATION, Ok(()));
    // The scan still runs; the job that doesn't need it needn't wait for it.
    assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(0)));
    assert_eq!(schedule.choose(HERE, &schedule.lock()), None);
    schedule.led(HERE, 1, SCAN, Ok(()));
    assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(1)));
}

#[test]
fn no_scan_is_made_where_no_job_needs_one() {
    let cancel = Cancel::new();
    let schedule = schedule_of(&[(1, PLAIN, 1)], &[]);
    assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, CONFIGURATION)));
    schedule.led(HERE, 1, CONFIGURATION, Ok(()));
    assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(0)));
    assert_eq!(schedule.next(HERE, &cancel), None);
}

#[test]
fn on_a_warm_kernel_the_longest_job_comes_first() {
    let cancel = Cancel::new();
    let schedule = schedule_of(&[(1, PLAIN, 2), (1, PLAIN, 9), (1, PLAIN, 2), (2, PLAIN, 1)], &[(1, TRACE)]);
    assert_eq!(schedule.next(HERE, &cancel), Some(lead(2, CONFIGURATION)));
    for index in [1, 0, 2] {
        assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(index)));
    }
}

#[test]
fn the_leader_for_which_most_work_waits_comes_first() {
    let schedule = schedule_of(&[(1, PLAIN, 2), (2, PLAIN, 1), (2, PLAIN, 3), (3, TRACE, 1)], &[]);
    for expected in [lead(3, SCAN), lead(2, CONFIGURATION), lead(1, CONFIGURATION)] {
        assert_eq!(schedule.next(HERE, &Cancel::new()), Some(expected));
    }
}

#[test]
fn after_a_failed_leader_another_leads_and_then_its_jobs_are_given_up() {
    let cancel = Cancel::new();
    let schedule = schedule_of(&[(1, TRACE, 1), (1, PLAIN, 1)], &[(1, PLAIN)]);
    for _ in 0..TRIES {
        assert_eq!(schedule.next(HERE, &cancel), Some(lead(1, SCAN)));
        schedule.led(HERE, 1, SCAN, Err("no memory".to_owned()));
    }
    assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Blocked(0, "no memory".to_owned())));
    assert_eq!(schedule.next(HERE, &cancel), Some(Assignment::Job(1)));
}

#[test]
fn leaders_never_overlap_and_every_job_runs_once() {
    let jobs: Vec<(u8, WarmUp, u64)> =
        (0..60).map(|number| (number % 3, if number % 4 == 0 { TRACE } else { PLAIN }, 1)).collect();
    let schedule = schedule_of(&jobs, &[]);
    let cancel = Cancel::new();
    let runs: Vec<AtomicUsize> = jobs.iter().map(|_| AtomicUsize::new(0)).collect();
    let leaders: [[AtomicUsize; 2]; 3] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(assignment) = schedule.next(HERE, &cancel) {
                    match assignment {
                        Assignment::Lead { key, part } => {
                            // Each is made once: nobody begins what somebody is at, or what is complete.
                            let count = &leaders[usize::from(key)][part as usize];
                            assert_eq!(count.fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::sleep(Duration::from_millis(2));
                            schedule.led(HERE, key, part, Ok(()));
                        }
                        Assignment::Job(index) => {
                            let led = |part: WarmUpPart| {
                                leaders[usize::from(jobs[index].0)][part as usize].load(Ordering::SeqCst) == 1
                            };
                            assert!(led(CONFIGURATION) && (led(SCAN) || !jobs[index].1.scanned));
                            runs[index].fetch_add(1, Ordering::SeqCst);
                        }
                        Assignment::Blocked(index, why) => panic!("{index}: {why}"),
                    }
                }
            });
        }
    });
    assert!(runs.iter().all(|count| count.load(Ordering::SeqCst) == 1));
}

#[test]
fn a_cancelled_build_hands_out_nothing_even_to_those_who_wait() {
    let schedule = schedule_of(&[(1, PLAIN, 1), (1, PLAIN, 1)], &[]);
    let cancel = Cancel::new();
    schedule.next(HERE, &cancel).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| schedule.next(HERE, &cancel));
        cancel.cancel();
        assert_eq!(waiting.join().unwrap(), None);
    });
    schedule.stop();
    assert_eq!(schedule.next(HERE, &Cancel::new()), None);
}
