//! Links that lead out of a host's root, and what blocks or never ends in the place of files: nothing outside is touched, and
//! nothing is waited for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::world::{RELEASE, World, name, names};
use crate::{CleanupChoice, GuardRecord, LocalModule};

/// What somebody else has, at the places where a host of ours would have its own.
fn victim() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join(RELEASE);
    fs::create_dir_all(cache.join("uprobes")).unwrap();
    for file in ["a.ko", "a.opts", "b.ko", "uprobes/uprobes.ko", "a.json"] {
        fs::write(cache.join(file), file).unwrap();
    }
    for file in ["boot-guard.json", "a", "systemtap.log", "lock", "run", "failed"] {
        fs::write(dir.path().join(file), file).unwrap();
    }
    dir
}

/// Every file beneath `root`, with its bytes; directories with none.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.insert(path.clone(), fs::read(&path).unwrap_or_default());
    }
    all
}

/// A link to `target` in the place of a path of the host, however much of it is there.
fn link(world: &World, path: &Path, target: &Path) {
    let place = world.at(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let _ = fs::remove_dir_all(&place);
    symlink(target, &place).unwrap();
}

fn cleanup(world: &World) {
    let release = RELEASE.parse().unwrap();
    let named = names("");
    let choice = CleanupChoice { release: &release, named: &named };
    world.with_service(|service| {
        let plan = service.plan_cleanup(&choice).unwrap();
        assert!(plan.files.is_empty(), "{plan:?}");
        let _ = service.cleanup(&choice, &plan);
    });
}

#[test]
fn nothing_outside_of_the_root_is_touched_through_a_link() {
    let directories = |world: &World| {
        let host = &world.host;
        let parent = |path: &Path| path.parent().unwrap().to_owned();
        [
            host.cache_dir.clone(),
            host.state_dir.clone(),
            host.run_dir.clone(),
            host.stat_dir.clone(),
            host.local_dir.clone(),
            parent(&host.log_file),
            parent(&host.state_dir),
        ]
    };
    for place in 0..directories(&World::new()).len() {
        let world = World::new().scripts("a c");
        let path = directories(&world)[place].clone();
        let outside = victim();
        let before = tree(outside.path());
        link(&world, &path, outside.path());
        cleanup(&world);
        let _ = GuardRecord::reset(&world.host);
        let _ = GuardRecord::settle(&world.host);
        let _ = world.try_start("");
        let _ = world.with_service(|service| service.status(&names("")));
        let _ = world.try_stop("");
        let _ = super::compiling::store(&world, "b", "");
        assert!(tree(outside.path()) == before, "{} leads out", path.display());
    }
}

#[test]
fn a_link_in_the_place_of_a_file_leads_nowhere() {
    let world = World::new().scripts("a");
    let outside = victim();
    let before = tree(outside.path());
    for (directory, file) in [
        (&world.host.stat_dir, "a"),
        (&world.host.run_dir, "lock"),
        (&world.host.state_dir, "boot-guard.json"),
    ] {
        link(&world, &directory.join(file), &outside.path().join(file));
    }
    link(&world, &world.host.log_file, &outside.path().join("systemtap.log"));
    let _ = world.with_service(|service| service.boot_guard().map(drop));
    world.try_start("").unwrap_err();
    fs::remove_file(world.at(&world.host.run_dir).join("lock")).unwrap();
    assert_eq!(world.start(""), "a started, exit 0");
    assert!(world.host.unlogged().unwrap().starts_with("can't open /var/log/systemtap.log: "));
    assert_eq!(world.stop(""), "a stopped, exit 0");
    assert!(tree(outside.path()) == before);
}

fn fifo(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn a_fifo_in_the_place_of_any_file_is_not_waited_for() {
    let world = World::new().scripts("a");
    super::compiling::store(&world, "b", "").unwrap();
    let host = &world.host;
    for path in [
        host.run_dir.join("run/x.json"),
        host.run_dir.join("failed/a.json"),
        host.stat_dir.join("a"),
        host.state_dir.join("boot-guard.json"),
        host.script_dir.join("b.stp"),
        host.local_dir.join(RELEASE).join("y.json"),
        host.log_file.clone(),
        host.syslog.clone(),
    ] {
        fifo(&world.at(&path));
    }
    assert_eq!(world.start("a"), "a started, exit 0");
    assert_eq!(world.start("b"), "b refused (local-outdated), exit 1");
    fs::remove_file(world.at(&world.host.script_dir.join("b.stp"))).unwrap();
    let module = world.at(&LocalModule::module_path(&world.host, &RELEASE.parse().unwrap(), &name("b")));
    fifo(&module);
    assert_eq!(world.start("b"), "b refused (local-outdated), exit 1");
    world.status("");
    assert_eq!(world.stop(""), "a stopped, exit 0");
}

/// More than a format's module may have, at no cost to its maker.
#[test]
fn reads_a_local_module_up_to_the_limit_of_the_format_only() {
    let world = World::new();
    super::compiling::store(&world, "b", "").unwrap();
    let module = world.at(&LocalModule::module_path(&world.host, &RELEASE.parse().unwrap(), &name("b")));
    File::create(module).unwrap().set_len(3 << 30).unwrap();
    let before = peak();
    let report = world.try_start("b").unwrap();
    let text = format!("{:?}", report.scripts[0].outcome);
    assert!(text.contains("it has more than 67108864 bytes"), "{text}");
    assert!(peak() - before < 300 << 10, "{} KiB more", peak() - before);
}

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
