//! A build with the real `stap` is killed ten times, at any moment: the same command goes on where it was, and what comes out
//! is what a build without kills makes.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Finished, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// Enough work that ten kills don't come after its end, and no tracepoint: to scan a kernel for those takes minutes.
const SCRIPTS: usize = 10;

const KILLS: usize = 10;

/// Milliseconds until a kill: from when the plan is hardly made to when several cells are done.
const MOMENTS: std::ops::Range<u64> = 300..8_000;

/// What `timeout -s KILL` ends with.
const KILLED: i32 = 137;

struct Story {
    farm: Farm,
    arguments: Vec<String>,
}

impl Story {
    /// A farm with a key and scripts.
    fn new(lab: &Lab) -> Self {
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("killed-build")).unwrap();
        let (scripts, settings) = (farm.path("scripts"), farm.path("conf.d"));
        fs::create_dir(&scripts).unwrap();
        fs::create_dir(&settings).unwrap();
        for number in 0..SCRIPTS {
            let text =
                format!("probe timer.s({}) {{ printf(\"%s %d\\n\", execname(), pid()) }}\n", number + 1);
            fs::write(scripts.join(format!("every_{number}.stp")), text).unwrap();
        }
        let config = format!("SCRIPT_PATH={}\nCONFIG_PATH={}\n", scripts.display(), settings.display());
        fs::write(farm.path("config"), config).unwrap();
        let key = ["key", "generate", "--out", "farm"];
        programs::run_expecting(&programs::farm().unwrap(), farm.directory(), &key, &[0]).unwrap();
        let kernel = lab.bootable("stable").unwrap();
        let mut arguments = farm.build_arguments(lab, &[kernel], "farm.key", "out.stapb", &[]).unwrap();
        arguments.extend(["--progress".to_owned(), "json".to_owned()]);
        Self { farm, arguments }
    }

    /// A cache of its own, in which only the first script's module is, and with it what stap finds out about the kernel:
    /// beside the shared one, where the unprivileged user of jobs can get to it.
    fn cache(&self, lab: &Lab) -> PathBuf {
        let own = Farm::cache(lab).unwrap().with_file_name("killed-build");
        if own.exists() {
            fs::remove_dir_all(&own).unwrap();
        }
        // By another name: serials of a name are counted where its bundles are built.
        let only = ["--name", "first", "every_0"].map(str::to_owned);
        let first = Self { farm: self.farm.clone(), arguments: [&self.arguments[..], &only].concat() };
        let finished = first.build(&own, None);
        assert_eq!(finished.status, Ended::Code(0), "{}", finished.stderr.text());
        fs::remove_file(self.farm.path("out.stapb")).unwrap();
        own
    }

    /// The one command, with another cache, killed after a while if wanted.
    fn build(&self, cache: &Path, killed_after: Option<Duration>) -> Finished {
        let mut arguments = self.arguments.clone();
        let place = arguments.iter().position(|argument| argument == "--cache").unwrap();
        arguments[place + 1] = cache.display().to_string();
        let program = programs::farm().unwrap();
        let command = match killed_after {
            // In the foreground it kills the program alone: what that has started has to end by itself.
            Some(after) => ChildCommand::new("timeout")
                .args(["--foreground", "-s", "KILL", &format!("{:.3}", after.as_secs_f64())])
                .arg(program),
            None => ChildCommand::new(program),
        };
        let command = command.args(arguments).current_dir(self.farm.directory());
        let command = command.env("HOME", self.farm.directory()).env_from_here("PATH");
        command.run(&Limits::within(Duration::from_secs(1500)), &Cancel::new()).unwrap()
    }
}

/// The cells of the events of one kind: `script for kernel`.
fn cells(finished: &Finished, event: &str) -> Vec<String> {
    let text = finished.stderr.text();
    let objects = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let wanted = objects.filter(|object| object["event"] == event);
    wanted.map(|object| format!("{} for {}", object["script"], object["kernel"])).collect()
}

#[test]
fn a_real_build_killed_ten_times_gives_the_same_bundle_and_compiles_nothing_twice() {
    let lab = Lab::open().unwrap();
    let story = Story::new(&lab);
    let finished = story.build(&Farm::cache(&lab).unwrap(), None);
    assert_eq!(finished.status, Ended::Code(0), "{}", finished.stderr.text());
    let without_kills = fs::read(story.farm.path("out.stapb")).unwrap();
    fs::remove_file(story.farm.path("out.stapb")).unwrap();

    let cache = story.cache(&lab);
    let mut done: BTreeSet<String> = BTreeSet::new();
    let (mut moment, mut kills, mut while_compiling) = (u64::from(std::process::id()), 0, 0);
    while kills < KILLS {
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = MOMENTS.start + (moment >> 33) % (MOMENTS.end - MOMENTS.start);
        let run = story.build(&cache, Some(Duration::from_millis(after)));
        let begun = cells(&run, "job-started");
        let again: Vec<&String> = begun.iter().filter(|cell| done.contains(*cell)).collect();
        assert!(again.is_empty(), "after {kills} kills: compiled again: {again:?}");
        if run.status == Ended::Code(0) {
            // It was at its end before: from the beginning once more.
            assert!(fs::read(story.farm.path("out.stapb")).unwrap() == without_kills, "another bundle");
            fs::remove_file(story.farm.path("out.stapb")).unwrap();
            fs::remove_dir_all(cache.join("artifacts")).unwrap();
            done.clear();
            continue;
        }
        assert_eq!(run.status, Ended::Code(KILLED), "{}", run.stderr.text());
        assert!(!story.farm.path("out.stapb").exists(), "a killed build left a bundle");
        kills += 1;
        while_compiling += usize::from(!begun.is_empty());
        done.extend(cells(&run, "cell-done"));
        eprintln!("kill {kills} after {after} ms: {} begun, {} of all done", begun.len(), done.len());
    }
    assert!(while_compiling >= KILLS / 2, "{while_compiling} kills hit a compile");

    let last = story.build(&cache, None);
    assert_eq!(last.status, Ended::Code(0), "{}", last.stderr.text());
    let begun = cells(&last, "job-started");
    assert!(!begun.iter().any(|cell| done.contains(cell)), "compiled again by the last build: {begun:?}");
    assert!(cells(&last, "warm-up-started").is_empty(), "what stap had found out was lost");
    assert!(fs::read(story.farm.path("out.stapb")).unwrap() == without_kills, "another bundle");
    fs::remove_dir_all(cache).unwrap();
}
