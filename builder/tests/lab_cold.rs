//! What a cold build costs with the real `stap`: each kernel is warmed up once, and then each script compiled as on a warm one.
//! Ten minutes of a core or more, so not among the tests of every day. `STAP_BUNDLE_LAB` is the lab's path. The figures that it
//! prints of time by the clock and of busy cores are those of the whole machine, so they want one with nothing else to do.

#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use builder::{
    BuildDirectories, BuildEvent, BuildOptions, BuildReport, BuildRequest, BundleIdentity, CellReport,
    JobLimits, Plan, ScriptSource, build,
};
use child::{Cancel, ChildCommand, Limits};
use script_config::{ScriptOptions, ScriptUsers};

/// Scripts of the fixtures; eleven of them use tracepoints.
const SCRIPTS: [&str; 12] = [
    "block_io_count",
    "block_io_latency",
    "context_switches",
    "heartbeat",
    "kernel_metrics",
    "lock_contention",
    "page_faults",
    "process_log",
    "runq_latency",
    "softirq_latency",
    "syscall_count",
    "timer_load",
];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/scripts/{name}.stp"))
}

fn script(name: &str) -> ScriptSource {
    let text = fs::read(fixture(name)).expect("a fixture script");
    let options = ScriptOptions::default();
    ScriptSource::new(name.parse().unwrap(), text, 1_000, &options, Vec::new(), ScriptUsers::Root)
}

fn plan(lab: &Path, releases: &[String], cache: &Path, full_scan: bool) -> Plan {
    let request = BuildRequest {
        full_scan,
        releases: releases.to_vec(),
        sysroots: vec![lab.join("root")],
        scripts: SCRIPTS.map(script).to_vec(),
        ..BuildRequest::new(BuildDirectories::beneath(cache))
    };
    Plan::make(&request, &Cancel::new()).unwrap()
}

/// Seconds of processor time that the machine has spent on anything, over all cores (proc(5), `/proc/stat`).
fn busy_seconds() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<u32> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|field| field.parse().unwrap()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq; in hundredths of a second.
    f64::from([0, 1, 2, 5, 6].map(|field| fields[field]).iter().sum::<u32>()) / 100.0
}

/// How long it took until the last compile was started, how much of the cores was used by then, and how long it took until the
/// last one was done.
#[derive(Clone, Copy)]
struct Compiling {
    until_last_start: Duration,
    share: f64,
    all: Duration,
}

fn run(plan: &Plan) -> (BuildReport, Vec<BuildEvent>, Compiling) {
    let identity = BundleIdentity::called("lab".parse().unwrap());
    let mut options = BuildOptions::new(identity);
    options.limits = JobLimits { time: Duration::from_secs(1_200), ..JobLimits::default() };
    let cores = f64::from(u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap());
    let nothing = Compiling { until_last_start: Duration::ZERO, share: 0.0, all: Duration::ZERO };
    let seen = Mutex::new((Vec::new(), nothing));
    let (begun, busy) = (Instant::now(), busy_seconds());
    let note = |event| {
        let (events, compiling) = &mut *seen.lock().unwrap();
        match event {
            BuildEvent::JobStarted { .. } => {
                compiling.until_last_start = begun.elapsed();
                compiling.share = (busy_seconds() - busy) / begun.elapsed().as_secs_f64() / cores;
            }
            BuildEvent::JobEnded { .. } => compiling.all = begun.elapsed(),
            _ => {}
        }
        events.push(event);
    };
    let report = build(plan, &options, &note, &Cancel::new()).unwrap();
    let (events, compiling) = seen.into_inner().unwrap();
    (report, events, compiling)
}

/// Seconds that the initscript takes for the same compiles: one `stap -p4` after another, as `compile` of it calls it, in the
/// lab's root. What is done once for a kernel is in the cache of stap's before.
fn the_initscripts_way(lab: &Path, releases: &[String]) -> f64 {
    let root = lab.join("root");
    let work = tempfile::tempdir_in(root.join("tmp")).unwrap();
    let inside = Path::new("/tmp").join(work.path().file_name().unwrap());
    let compile = |script: &str, release: &str| {
        fs::copy(fixture(script), work.path().join(format!("{script}.stp"))).unwrap();
        let line = r#"mount -t proc proc "$1/proc" && cd "$1$2" && exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin \
            HOME="$2" /bin/sh -c 'cd "$HOME" && exec stap -m "$1" -p4 -r "$2" "$1.stp"' sh "$3" "$4""#;
        let command = ChildCommand::new("unshare").args(["--mount", "/bin/sh", "-c", line, "sh"]);
        let command = command.arg(&root).arg(&inside).args([script, release]).env_from_here("PATH");
        let finished = command.run(&Limits::within(Duration::from_secs(1_200)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{script} for {release}: {}", finished.stderr.text());
    };
    for release in releases {
        // Not one of those that are measured: stap keeps modules, too.
        compile("memory_reclaim", release);
    }
    let begun = Instant::now();
    for release in releases {
        for script in SCRIPTS {
            compile(script, release);
        }
    }
    begun.elapsed().as_secs_f64()
}

/// A cache that the unprivileged users of jobs can get to.
fn cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
    cache
}

fn lab() -> (PathBuf, Vec<String>) {
    let lab = PathBuf::from(std::env::var_os("STAP_BUNDLE_LAB").expect("STAP_BUNDLE_LAB isn't set"));
    let facts: serde_json::Value = serde_json::from_slice(&fs::read(lab.join("lab.json")).unwrap()).unwrap();
    // One of each family: the first and the last.
    let all = facts["releases"].as_array().unwrap();
    let release = |at: usize| all[at]["release"].as_str().unwrap().to_owned();
    (lab, vec![release(0), release(all.len() - 1)])
}

/// Modules by cell.
fn modules(report: &BuildReport) -> BTreeMap<String, Vec<u8>> {
    let module = |cell: &CellReport| {
        let module = cell.outcome.module().unwrap_or_else(|| panic!("{cell:?}"));
        (cell.cell.to_string(), fs::read(&module.path).unwrap())
    };
    report.cells.iter().map(module).collect()
}

/// Kernels as they come to a farm, one after the other; and how long the last took from the start to its bundle's draft.
struct Arriving {
    reports: Vec<BuildReport>,
    modules: BTreeMap<String, Vec<u8>>,
    last: Duration,
}

impl Arriving {
    fn of(lab: &Path, releases: &[String], full_scan: bool) -> Self {
        let cache = cache();
        let mut arriving = Self { reports: Vec::new(), modules: BTreeMap::new(), last: Duration::ZERO };
        for release in releases {
            let begun = Instant::now();
            let (report, _, _) = run(&plan(lab, std::slice::from_ref(release), cache.path(), full_scan));
            arriving.last = begun.elapsed();
            assert_eq!(report.red(), 0, "{:#?}", report.cells);
            arriving.modules.extend(modules(&report));
            arriving.reports.push(report);
        }
        arriving
    }

    fn cpu(&self, of: impl Fn(&BuildReport) -> Duration) -> f64 {
        self.reports.iter().map(of).sum::<Duration>().as_secs_f64()
    }
}

#[test]
fn lab_a_cold_build_costs_half_of_one_with_a_full_scan() {
    let (lab, releases) = lab();
    let narrow = Arriving::of(&lab, &releases, false);
    let full = Arriving::of(&lab, &releases, true);
    let ratio = narrow.cpu(BuildReport::cpu) / full.cpu(BuildReport::cpu);
    for (name, way) in [("narrow", &narrow), ("full scan", &full)] {
        let all = way.cpu(BuildReport::cpu);
        let warm_ups = way.cpu(BuildReport::warm_up_cpu);
        println!(
            "{name}: {all:.0} s of CPU time, {warm_ups:.0} s of it for warm-ups; the second kernel {:.0} s by the clock",
            way.last.as_secs_f64()
        );
    }
    println!(
        "CPU time: ratio {ratio:.3} (limit 0.5); a new kernel by the clock: {:.3} (limit 0.6)",
        narrow.last.as_secs_f64() / full.last.as_secs_f64()
    );
    assert!(narrow.modules == full.modules, "modules differ");
    assert!(ratio <= 0.5, "{ratio:.3}");
}

#[test]
fn lab_a_cold_build_pays_for_each_warm_up_once() {
    let (lab, releases) = lab();
    let cache = cache();

    let (cold, events, until) = run(&plan(&lab, &releases, cache.path(), false));
    assert_eq!((cold.green(), cold.red()), (SCRIPTS.len() * releases.len(), 0), "{:#?}", cold.cells);
    let mut started: BTreeMap<String, usize> = BTreeMap::new();
    for event in &events {
        if let BuildEvent::WarmUpStarted { release, part, .. } = event {
            *started.entry(format!("{part} of {release}")).or_default() += 1;
        }
    }
    assert!(started.len() == 4 && started.values().all(|count| *count == 1), "{started:?}");

    let rebuild = || {
        fs::remove_dir_all(cache.path().join("artifacts")).unwrap();
        let (report, _, compiling) = run(&plan(&lab, &releases, cache.path(), false));
        (report, compiling.all.as_secs_f64())
    };
    let (warm, side_by_side) = rebuild();
    let one_by_one = the_initscripts_way(&lab, &releases);
    assert!(warm.warm_ups.is_empty(), "{:?}", warm.warm_ups);
    assert_eq!(format!("{:?}", warm.draft), format!("{:?}", cold.draft));

    let once = cold.warm_up_cpu() + warm.compile_cpu();
    let ratio = cold.cpu().as_secs_f64() / once.as_secs_f64();
    println!(
        "cold: {:.0} s of CPU time, of it {:.0} s for warm-ups; warm compiles: {:.0} s; ratio {ratio:.3}",
        cold.cpu().as_secs_f64(),
        cold.warm_up_cpu().as_secs_f64(),
        warm.compile_cpu().as_secs_f64()
    );
    println!(
        "until the last compile began: {:.0} s, {:.1} % of all cores used; warm compiles by the clock: {side_by_side:.1} s, one \
         `stap -p4` after another {one_by_one:.1} s; ratio {:.3}",
        until.until_last_start.as_secs_f64(),
        until.share * 100.0,
        side_by_side / one_by_one
    );
    // Of processor time, so whatever else the machine does. The others are for who looks at them on a quiet machine.
    assert!(ratio <= 1.1, "{ratio:.3}");
}
