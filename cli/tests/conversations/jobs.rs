//! What is done to a host while it is killed or failed (`crash`), and what may hold afterwards.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use files::FileSystem;
use installer::{HistoryEvent, TrustStore, fsck, history, masks, pinned};

/// What is done to a host, and what may be current afterwards.
pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// The command, behind `--root host`.
    pub(crate) line: &'static str,
    /// Commands that make the host on which it begins, in order.
    pub(crate) before: &'static [&'static str],
    /// What no command makes there.
    pub(crate) prepare: fn(&Path),
    /// Serials of the bundle that may be current, the old one first; 0 for nothing.
    pub(crate) serials: [u64; 2],
    /// The highest serial that was ever current when the old one is.
    pub(crate) floor_before: u64,
    /// What it changes beside the current generation.
    pub(crate) other: Option<OtherState>,
    /// Fewer calls than that, and the log wasn't understood.
    pub(crate) least_calls: usize,
}

/// A state with an old and a new value and nothing between.
pub(crate) struct OtherState {
    pub(crate) see: fn(&Path) -> String,
    /// The old one first.
    pub(crate) may_be: [&'static str; 2],
}

const fn nothing(_: &Path) {}

/// A host with generation 1; a job that changes no generation.
const BESIDE: Job = Job {
    name: "",
    line: "",
    before: &["install fleet-1.stapb"],
    prepare: nothing,
    serials: [1, 1],
    floor_before: 1,
    other: None,
    least_calls: 15,
};

/// A host with these bundles; a job that changes the generation.
const fn generations(name: &'static str, line: &'static str, serials: [u64; 2], floor_before: u64) -> Job {
    Job { name, line, serials, floor_before, before: &[], least_calls: 50, ..BESIDE }
}

pub(crate) const JOBS: [Job; 22] = [
    generations("install", "install fleet-1.stapb", [0, 1], 0),
    Job { before: &["install fleet-1.stapb"], ..generations("upgrade", "install fleet-2.stapb", [1, 2], 1) },
    Job {
        before: &["install fleet-1.stapb", "install fleet-2.stapb"],
        ..generations("rollback", "rollback 1", [2, 1], 2)
    },
    Job {
        before: &["install fleet-1.stapb", "install fleet-2.stapb", "install fleet-3.stapb"],
        ..generations("gc", "gc --keep 1", [3, 3], 3)
    },
    Job { before: &["install fleet-1.stapb"], ..generations("uninstall", "uninstall fleet", [1, 0], 1) },
    Job {
        before: &["install fleet-1.stapb --all-kernels"],
        other: Some(OtherState { see: unpacked_kernels, may_be: ["2 kernels", "1 kernels"] }),
        ..generations("gone-kernels", "gc --gone-kernels", [1, 1], 1)
    },
    // A name that stays with other bytes, options and kernel, one that goes and one that comes.
    Job {
        before: &["install fleet-1.stapb"],
        ..generations("other-set", "install fleet-4.stapb", [1, 4], 1)
    },
    Job {
        before: &["install fleet-1.stapb"],
        prepare: links_of_an_earlier_version,
        ..generations("earlier-links", "install fleet-4.stapb", [1, 4], 1)
    },
    Job {
        name: "earlier-links-repaired",
        line: "fsck --repair",
        prepare: |host| {
            links_of_an_earlier_version(host);
            damage(host);
        },
        other: Some(OtherState { see: damaged, may_be: ["damaged", "whole"] }),
        least_calls: 50,
        ..BESIDE
    },
    Job {
        before: &["install fleet-1.stapb", "install fleet-4.stapb"],
        ..generations("other-set-back", "rollback 1", [4, 1], 4)
    },
    Job {
        name: "repair",
        line: "fsck --repair",
        prepare: damage,
        other: Some(OtherState { see: damaged, may_be: ["damaged", "whole"] }),
        least_calls: 50,
        ..BESIDE
    },
    Job {
        name: "trust-update",
        line: "trust update roots-2.stapr",
        before: &["install fleet-1.stapb", "trust update roots-1.stapr"],
        other: Some(OtherState { see: newest_root, may_be: ["root 1", "root 2"] }),
        ..BESIDE
    },
    Job {
        name: "repair-chain",
        line: "fsck --repair",
        before: &["install fleet-1.stapb", "trust update roots-1.stapr"],
        prepare: lose_a_copy,
        other: Some(OtherState { see: copies_of_the_chain, may_be: ["root 1 once", "root 1 twice"] }),
        ..BESIDE
    },
    Job {
        name: "add-domain",
        line: "trust add stranger.pub --domain team-b --bundles b-*",
        other: Some(OtherState { see: domains, may_be: ["default: 1", "default: 1, team-b: 1"] }),
        ..BESIDE
    },
    Job {
        name: "remove-domain",
        line: "trust remove --domain team-b",
        before: &["install fleet-1.stapb", "trust add stranger.pub --domain team-b --bundles b-*"],
        other: Some(OtherState { see: domains, may_be: ["default: 1, team-b: 1", "default: 1"] }),
        ..BESIDE
    },
    Job {
        name: "pin",
        line: "pin 1",
        other: Some(OtherState { see: pins, may_be: ["{}", "{1}"] }),
        ..BESIDE
    },
    Job {
        name: "shorten",
        line: "pin 1",
        prepare: long_history,
        other: Some(OtherState { see: pins_beside_the_history, may_be: ["{}", "{1}"] }),
        ..BESIDE
    },
    Job {
        name: "unpin",
        line: "pin 1 --remove",
        before: &["install fleet-1.stapb", "pin 1"],
        other: Some(OtherState { see: pins, may_be: ["{1}", "{}"] }),
        ..BESIDE
    },
    Job {
        name: "mask",
        line: "mask latency later",
        other: Some(OtherState { see: masked, may_be: ["", "latency later"] }),
        ..BESIDE
    },
    Job {
        name: "unmask",
        line: "unmask --all",
        before: &["install fleet-1.stapb", "mask latency later"],
        other: Some(OtherState { see: masked, may_be: ["latency later", ""] }),
        ..BESIDE
    },
    Job {
        name: "settle",
        line: "boot-guard settle",
        prepare: unsettled_boot,
        other: Some(OtherState { see: guard, may_be: ["unsettled", "settled"] }),
        ..BESIDE
    },
    Job {
        name: "reset",
        line: "boot-guard reset",
        prepare: unsettled_boot,
        other: Some(OtherState { see: guard, may_be: ["unsettled", "none"] }),
        least_calls: 3,
        ..BESIDE
    },
];

/// As version 0.1.0 left it: no view, links past it, plain files of options.
fn links_of_an_earlier_version(host: &Path) {
    let module = module(host);
    let kernel = module.parent().unwrap();
    let cache = host.join("var/cache/systemtap/6.12.1-test");
    for name in ["counter", "latency"] {
        let [link, options] = ["ko", "opts"].map(|kind| cache.join(name).with_extension(kind));
        let text = fs::read(&options).unwrap();
        fs::remove_file(&options).unwrap();
        fs::write(options, text).unwrap();
        fs::remove_file(&link).unwrap();
        let kernel = kernel.file_name().unwrap().to_str().unwrap();
        let target = format!("../../../../var/lib/stap-bundle/current/kernels/{kernel}/{name}.ko");
        symlink(target, link).unwrap();
    }
    let current = host.join("var/lib/stap-bundle/current");
    fs::remove_dir_all(current.join("initscript")).unwrap();
    configuration_of_an_earlier_version(host, &current);
}

/// All of it in the last file of conf.d.
fn configuration_of_an_earlier_version(host: &Path, current: &Path) {
    let options = fs::read_to_string(current.join("stap-bundle-options.conf")).unwrap();
    let plain = |line: &str| match line.split_once("=${") {
        Some((name, rest)) => format!("{name}={}\n", &rest[name.len() + 2..rest.len() - 1]),
        None if line.starts_with("# Written") => String::new(),
        None => format!("{line}\n"),
    };
    let options: String = options.lines().map(plain).collect();
    let switches = fs::read_to_string(current.join("stap-bundle.conf")).unwrap();
    fs::write(current.join("stap-bundle.conf"), switches + &options).unwrap();
    fs::remove_file(current.join("stap-bundle-options.conf")).unwrap();
    fs::remove_file(host.join("etc/systemtap/conf.d/00-stap-bundle.conf")).unwrap();
    assert!(fsck(&FileSystem::open(host).unwrap(), None, None).unwrap().unwrap().problems.is_empty());
}

/// The unpacked module of a script for the only installed kernel.
fn module(host: &Path) -> std::path::PathBuf {
    let kernels = host.join("var/lib/stap-bundle/current/kernels");
    fs::read_dir(kernels).unwrap().next().unwrap().unwrap().path().join("counter.ko")
}

/// Another file in the module's place: its bytes may have further names.
fn damage(host: &Path) {
    let module = module(host);
    fs::remove_file(&module).unwrap();
    fs::write(module, "half").unwrap();
}

fn unpacked_kernels(host: &Path) -> String {
    let kernels = fs::read_dir(host.join("var/lib/stap-bundle/current/kernels")).unwrap();
    format!("{} kernels", kernels.count())
}

fn damaged(host: &Path) -> String {
    let report = fsck(&FileSystem::open(host).unwrap(), None, None).unwrap().unwrap();
    let what = report.problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>();
    match what.as_slice() {
        [] => "whole".to_owned(),
        [one] if one.ends_with("counter.ko") => "damaged".to_owned(),
        other => other.join(", "),
    }
}

fn newest_root(host: &Path) -> String {
    let store = TrustStore::open(&FileSystem::open(host).unwrap()).unwrap();
    match store.chain() {
        Some(chain) => format!("root {}", chain.newest().version()),
        None => "no chain".to_owned(),
    }
}

/// Each domain and its number of pins. A domain is there as a whole, or not at all.
fn domains(host: &Path) -> String {
    let store = TrustStore::open(&FileSystem::open(host).unwrap()).unwrap();
    let seen = store.domains().iter().map(|trust| format!("{}: {}", trust.domain(), trust.keys().len()));
    seen.collect::<Vec<_>>().join(", ")
}

const CHAIN: &str = "var/lib/stap-bundle/state/roots/default/chain.stapr";

fn lose_a_copy(host: &Path) {
    fs::remove_file(host.join(CHAIN)).unwrap();
}

fn copies_of_the_chain(host: &Path) -> String {
    let alarms = TrustStore::open(&FileSystem::open(host).unwrap()).unwrap().alarms();
    format!("{} {}", newest_root(host), if alarms.is_empty() { "twice" } else { "once" })
}

fn pins(host: &Path) -> String {
    format!("{:?}", pinned(&FileSystem::open(host).unwrap()).unwrap())
}

/// A history that the next event finds too long.
fn long_history(host: &Path) {
    let line = |kind: &str, generation: u64| {
        format!("{{\"time\":1,\"event\":{{\"kind\":\"{kind}\",\"generation\":{generation}}}}}\n")
    };
    let lines: String = (0..25_000).map(|_| line("pin", 10_000)).chain([line("unpin", 77)]).collect();
    fs::write(host.join("var/lib/stap-bundle/state/history"), lines).unwrap();
}

/// The pins; the newest events are shown whatever was done to the history.
fn pins_beside_the_history(host: &Path) -> String {
    let shown = history(&FileSystem::open(host).unwrap()).unwrap();
    let newest = HistoryEvent::Unpin { generation: 77 };
    assert!(shown.iter().any(|record| record.event == newest), "{} events", shown.len());
    pins(host)
}

fn masked(host: &Path) -> String {
    let masks = masks(&FileSystem::open(host).unwrap()).unwrap();
    masks.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

const GUARD: &str = "var/lib/stap-bundle/state/boot-guard.json";

/// A boot under way, and a culprit that must not be forgotten.
fn unsettled_boot(host: &Path) {
    let boot_id = "3f0c7b1e-0000-4000-8000-000000000001";
    let random = host.join("proc/sys/kernel/random");
    fs::create_dir_all(&random).unwrap();
    fs::write(random.join("boot_id"), format!("{boot_id}\n")).unwrap();
    let record = serde_json::json!({
        "schema": 1, "boot_id": boot_id, "bundles": ["fleet"], "stage": "one-by-one",
        "culprits": ["latency"], "under_way": ["counter"], "settled": false,
    });
    fs::write(host.join(GUARD), record.to_string()).unwrap();
}

fn guard(host: &Path) -> String {
    let Ok(text) = fs::read_to_string(host.join(GUARD)) else { return "none".to_owned() };
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["culprits"], serde_json::json!(["latency"]), "{text}");
    if record["settled"] == true { "settled" } else { "unsettled" }.to_owned()
}
