//! How a build scales with processors, as far as it can be seen on a machine that has two: compiles are stand-ins that sleep.

use std::time::Instant;

use super::*;

/// What a compile and a kernel's first compile take is this many times as long.
const SCALE: u32 = 50;
const COMPILE: Duration = Duration::from_secs(6);
const LEADER: Duration = Duration::from_secs(56);
const SCRIPTS: usize = 20;
const KERNELS: usize = 60;
const CELLS: u32 = 1200;

fn asleep(job: &CompileJob) -> Compilation {
    std::thread::sleep(COMPILE / SCALE);
    sized(job)
}

/// `VmHWM` of this process, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() >> 10
}

/// What `make bench-cores` prints.
#[test]
#[ignore = "a figure, with an optimised build"]
fn cells_a_minute_by_jobs() {
    println!(
        "{} cells; as simulated: only the schedule, the results and the packing are real",
        SCRIPTS * KERNELS
    );
    for jobs in [1, 2, 4, 8, 16] {
        let directory = tempfile::tempdir().unwrap();
        let mut plan = plan(directory.path());
        let job = |n: usize| fake_job(&format!("s{}", n % SCRIPTS), &format!("{}.0", n / SCRIPTS));
        plan.jobs = (0..SCRIPTS * KERNELS).map(job).collect();
        plan.scripts = plan.jobs[..SCRIPTS].iter().map(|job| Arc::clone(&job.script)).collect();
        plan.kernels = plan.jobs.iter().step_by(SCRIPTS).map(|job| Arc::clone(&job.kernel)).collect();
        let mut executor = StandIn::new(|job| Ok(asleep(job)));
        executor.led = |_| {
            std::thread::sleep(LEADER / SCALE);
            Led::Complete(None)
        };
        let begun = Instant::now();
        let report = run_with(&plan, &executor, &Cancel::new(), |options| options.workers = jobs).0.unwrap();
        let cells = begun.elapsed() * SCALE;
        let leaders = u32::try_from(executor.leaders().len()).unwrap();
        let work = COMPILE * CELLS + LEADER * leaders;
        let begun = Instant::now();
        bundled(&report, None);
        let packing = begun.elapsed();
        let whole = cells + packing;
        println!(
            "{jobs:2} jobs: {:6.1} cells a minute, {:.2} of what {jobs} processors could, packing {:4.1} % of the time, {} MiB besides stap",
            f64::from(CELLS) * 60.0 / whole.as_secs_f64(),
            work.as_secs_f64() / f64::from(u32::try_from(jobs).unwrap()) / cells.as_secs_f64(),
            packing.as_secs_f64() * 100.0 / whole.as_secs_f64(),
            peak(),
        );
    }
}
