//! Cleanup: what goes from the initscript's cache, and what never does.

use std::fs;
use std::path::PathBuf;

use super::world::{RELEASE, World, name, names};
use crate::{CleanupChoice, CleanupReport, KeptReason};

const OTHER: &str = "6.1.0-other";

/// Puts files into the cache directory of a release; returns that.
fn cache(world: &World, release: &str, files: &str) -> PathBuf {
    let directory = world.at(&world.host.cache_dir).join(release);
    for file in files.split_whitespace() {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    directory
}

fn cleanup(world: &World, release: &str, words: &str) -> CleanupReport {
    let release = release.parse().unwrap();
    let named = names(words);
    let choice = CleanupChoice { release: &release, named: &named };
    world.with_service(|service| {
        let plan = service.plan_cleanup(&choice).unwrap();
        service.cleanup(&choice, &plan).unwrap()
    })
}

fn left(directory: &PathBuf) -> String {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut all: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    all.sort();
    all.join(" ")
}

#[test]
fn init_clean_01_all_compiled_scripts_of_one_kernel_go() {
    let world = World::new();
    let here = cache(&world, RELEASE, "a.ko a.opts a.uprobes b.ko notes.txt 9x.ko uprobes/uprobes.ko");
    let other = cache(&world, OTHER, "a.ko a.opts");
    let report = cleanup(&world, RELEASE, "");
    assert_eq!((report.removed.len(), report.exit_code()), (5, 0));
    assert_eq!(left(&here), "9x.ko notes.txt");
    assert_eq!(left(&other), "a.ko a.opts");
    assert!(fs::read_to_string(world.at(&world.host.log_file)).unwrap().contains("cleanup: removed "));
    assert!(cleanup(&world, "6.9-nowhere", "").removed.is_empty());
}

#[test]
fn init_clean_02_uprobes_ko_stays_as_long_as_a_script_needs_it() {
    let world = World::new();
    let here = cache(&world, RELEASE, "a.ko a.uprobes b.ko b.uprobes c.ko uprobes/uprobes.ko");
    cleanup(&world, RELEASE, "a");
    assert_eq!(left(&here), "b.ko b.uprobes c.ko uprobes");
    assert!(here.join("uprobes/uprobes.ko").exists());
    cleanup(&world, RELEASE, "b");
    assert_eq!(left(&here), "c.ko");
}

#[test]
fn init_clean_03_files_of_a_running_script_stay() {
    let world = World::new();
    let here = cache(&world, RELEASE, "a.ko a.opts a.uprobes b.ko uprobes/uprobes.ko");
    let other = cache(&world, OTHER, "a.ko");
    world.fake.insert_module("a", true).unwrap();
    let report = cleanup(&world, RELEASE, "");
    assert_eq!(left(&here), "a.ko a.opts a.uprobes uprobes");
    assert_eq!((report.kept[0].reason.clone(), report.exit_code()), (KeptReason::Running, 0));
    assert_eq!(cleanup(&world, RELEASE, "a").exit_code(), 1);
    // Another kernel's files can't run now.
    cleanup(&world, OTHER, "a");
    assert_eq!(left(&other), "");
}

#[test]
fn what_a_bundle_offers_and_what_is_no_plain_file_stays() {
    let world = World::new().scripts("a");
    let here = cache(&world, RELEASE, "a.ko a.opts b.opts");
    std::os::unix::fs::symlink("/nowhere", here.join("b.ko")).unwrap();
    let report = cleanup(&world, RELEASE, "");
    assert!(report.removed.is_empty());
    assert_eq!(left(&here), "a.ko a.opts b.ko b.opts");
    let reasons: Vec<String> = report.kept.iter().map(|kept| kept.reason.to_string()).collect();
    assert!(reasons[0].contains("owned by bundle stap-scripts"), "{reasons:?}");
    assert!(reasons[1].ends_with("b.ko is not a plain file"), "{reasons:?}");
    assert_eq!(report.kept[1].script, name("b"));
}

#[test]
fn only_what_was_agreed_to_goes() {
    let world = World::new();
    let here = cache(&world, RELEASE, "a.ko");
    let release = RELEASE.parse().unwrap();
    let named = names("");
    let choice = CleanupChoice { release: &release, named: &named };
    world.with_service(|service| {
        let plan = service.plan_cleanup(&choice).unwrap();
        cache(&world, RELEASE, "b.ko");
        service.cleanup(&choice, &plan).unwrap();
    });
    assert_eq!(left(&here), "b.ko");
}
