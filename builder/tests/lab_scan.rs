//! With the real `stap`: of a kernel's trace headers only those are scanned that scripts need, and the modules are those of a full
//! scan, byte for byte. `STAP_BUNDLE_LAB` is the lab's path. Two minutes of a core.

#![cfg(feature = "lab-tests")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use builder::{
    BuildDirectories, BuildEvent, BuildOptions, BuildRequest, BundleIdentity, JobOutcome, Plan, ScriptSource,
    build,
};
use bundle_format::Digest;
use child::Cancel;
use script_config::{ScriptOptions, ScriptUsers};

/// An alias of the library, a tracepoint that may be absent and isn't, one of a module (kvm), and system calls.
const NARROW: [(&str, &str, &str); 4] = [
    ("by_alias", "probe scheduler.wakeup_new { exit() }", ""),
    ("optional", "probe kernel.trace(\"sched_switch\") ? { exit() }", ""),
    ("of_a_module", "probe kernel.trace(\"kvm:kvm_userspace_exit\") { printf(\"%s\\n\", $$parms) }", ""),
    ("syscalls", "probe syscall.openat { printf(\"%s\\n\", name) }", ""),
];

/// Of headers that nothing before has asked for.
const MORE: [(&str, &str, &str); 1] =
    [("more", "probe kernel.trace(\"block_rq_issue\"), kernel.trace(\"softirq_entry\") { exit() }", "")];

/// What can't be known beforehand: wildcards, a name that is in no header, or only in comments and other code, arguments.
const WHOLE: [(&str, &str, &str); 4] = [
    ("wild", "probe kernel.trace(\"softirq_e*\") { exit() }", ""),
    ("absent", "probe kernel.trace(\"sched_switch\"), kernel.trace(\"no_such\") ? { exit() }", ""),
    ("no_tracepoint", "probe kernel.trace(\"sched_switch\"), kernel.trace(\"task_struct\") ? { exit() }", ""),
    ("mistyped", "probe kernel.trace(\"sched_swich\") { exit() }", ""),
];

struct World {
    root: PathBuf,
    release: String,
    cache: tempfile::TempDir,
}

type Scripts<'s> = &'s [(&'s str, &'s str, &'s str)];

impl World {
    fn new() -> Self {
        let lab = PathBuf::from(std::env::var_os("STAP_BUNDLE_LAB").expect("STAP_BUNDLE_LAB isn't set"));
        let facts: serde_json::Value =
            serde_json::from_slice(&fs::read(lab.join("lab.json")).unwrap()).unwrap();
        let release = facts["releases"][0]["release"].as_str().unwrap().to_owned();
        let cache = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { root: lab.join("root"), release, cache }
    }

    /// What comes of each script: its module's digest, or the reason. And which parts of stap's caches were made for it.
    fn build(&self, scripts: &[Scripts<'_>], full_scan: bool) -> (BTreeMap<String, String>, Vec<String>) {
        let script = |(name, text, options): &(&str, &str, &str)| {
            let options = ScriptOptions::parse(options, None).unwrap();
            let text = format!("{text}\n").into_bytes();
            ScriptSource::new(name.parse().unwrap(), text, 1_000, &options, Vec::new(), ScriptUsers::Root)
        };
        let request = BuildRequest {
            releases: vec![self.release.clone()],
            sysroots: vec![self.root.clone()],
            scripts: scripts.iter().copied().flatten().map(script).collect(),
            full_scan,
            ..BuildRequest::new(BuildDirectories::beneath(self.cache.path()))
        };
        let plan = Plan::make(&request, &Cancel::new()).unwrap();
        let events = Mutex::new(Vec::new());
        let options = BuildOptions::new(BundleIdentity::called("lab".parse().unwrap()));
        let report =
            build(&plan, &options, &|event| events.lock().unwrap().push(event), &Cancel::new()).unwrap();
        let mut made = Vec::new();
        for event in events.into_inner().unwrap() {
            match event {
                BuildEvent::WarmUpFinished { incomplete: Some(why), .. } => panic!("{why}"),
                BuildEvent::WarmUpFinished { report, .. } => made.push(report.part.to_string()),
                // That stap has made something which a leader should have made.
                BuildEvent::Noted { sentence } if !sentence.contains("changed since") => panic!("{sentence}"),
                _ => {}
            }
        }
        made.sort();
        let outcome = |outcome: &JobOutcome| match outcome.module() {
            Some(module) => Digest::of(&fs::read(&module.path).unwrap()).to_string(),
            None => outcome.red_reason().unwrap_or_default(),
        };
        let cells = report.cells.iter();
        (cells.map(|cell| (cell.cell.script.to_string(), outcome(&cell.outcome))).collect(), made)
    }

    /// The objects of the scan.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let is_object = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("tracequery_");
        for key in fs::read_dir(self.cache.path().join("build/warm")).unwrap().flatten() {
            for shelf in fs::read_dir(key.path().join("files")).into_iter().flatten().flatten() {
                found.extend(fs::read_dir(shelf.path()).unwrap().flatten().map(|entry| entry.path()));
            }
        }
        found.retain(|path| is_object(path));
        found.sort();
        found
    }
}

#[test]
fn lab_what_is_in_sight_makes_the_modules_of_a_full_scan() {
    let world = World::new();
    let (narrow, made) = world.build(&[&NARROW], false);
    assert_eq!(made, ["configuration tests", "tracepoint scan"]);
    let first = world.objects();
    assert!((5..60).contains(&first.len()), "{}", first.len());

    // Others add their headers.
    let (more, made) = world.build(&[&NARROW, &MORE], false);
    assert_eq!(made, ["tracepoint scan"]);
    let second = world.objects();
    assert!(first.iter().all(|object| second.contains(object)));
    assert!((1..20).contains(&(second.len() - first.len())), "{} {}", first.len(), second.len());
    let (_, made) = world.build(&[&NARROW, &MORE], false);
    assert_eq!(made, [""; 0]);

    // What is poisoned or gone is made again, and nothing else changes.
    let whole = second.iter().find(|path| path.metadata().unwrap().len() > 0).unwrap();
    let bytes = fs::read(whole).unwrap().len();
    fs::write(whole, "").unwrap();
    fs::remove_file(second.last().unwrap()).unwrap();
    fs::remove_dir_all(world.cache.path().join("artifacts")).unwrap();
    let (healed, made) = world.build(&[&NARROW, &MORE], false);
    assert_eq!((&healed, made), (&more, vec!["tracepoint scan".to_owned()]));
    assert_eq!((world.objects(), fs::read(whole).unwrap().len()), (second.clone(), bytes));

    // The full scan has the same objects and more, and its modules are the same.
    let (full, made) = world.build(&[&NARROW, &MORE, &WHOLE], true);
    assert_eq!(made, ["tracepoint scan"]);
    let all = world.objects();
    assert!(all.len() > 150 && second.iter().all(|object| all.contains(object)), "{}", all.len());
    for (name, outcome) in narrow.iter().chain(&more) {
        assert_eq!(outcome, &full[name], "{name}");
        assert_eq!(outcome.len(), 64, "{name}: {outcome}");
    }
    let (again, made) = world.build(&[&NARROW, &MORE, &WHOLE], false);
    assert_eq!((&again, made), (&full, Vec::new()));
    assert!(full["mistyped"].contains("sched_switch"), "{}", full["mistyped"]);
    for name in ["wild", "absent", "no_tracepoint"] {
        assert_eq!(full[name].len(), 64, "{name}: {}", full[name]);
    }
}
