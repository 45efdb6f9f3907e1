//! Years of weekly installs on one disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::world::{Bundle, World, bundle};
use crate::{CollectOptions, InstallOptions, InstallOutcome, Policy, collect, fsck, history, rollback};

const WEEKS: u64 = 156;
/// After so many weeks another kernel comes, and the oldest goes.
const KERNEL_WEEKS: u64 = 8;
const STATE: &str = "var/lib/stap-bundle";

/// The release of a kernel; tests may leak its few bytes.
fn release(number: u64) -> &'static str {
    Box::leak(format!("6.12.{number}").into_boxed_str())
}

/// Makes the two kernels of a week the ones that are installed, the older of them running.
fn change_kernels(world: &mut World, kernels: [&'static str; 2]) {
    let modules = world.path("lib/modules");
    fs::remove_dir_all(&modules).unwrap();
    for kernel in kernels {
        fs::create_dir_all(modules.join(kernel).join("kernel")).unwrap();
    }
    world.identity.release = Some(kernels[0].parse().unwrap());
    world.identity.version = None;
}

/// Every fourth week each of the four scripts has another version, not all in the same week.
fn weekly(serial: u64, kernels: [&'static str; 2]) -> Bundle {
    fn revision(script: &str, serial: u64) -> u64 {
        (serial + script.len() as u64) / 4
    }
    Bundle {
        scripts: vec!["a", "bb", "ccc", "dddd"],
        kernels: kernels.map(|kernel| (kernel, None)).to_vec(),
        revision,
        length: 800,
        ..bundle(serial)
    }
}

/// Bytes that all in a directory takes, each file once.
fn taken(world: &World, directory: &str) -> u64 {
    let walk = walkdir::WalkDir::new(world.path(directory)).into_iter();
    let mut files: Vec<(u64, u64)> = walk
        .map(|entry| entry.unwrap().metadata().unwrap())
        .map(|metadata| (metadata.ino(), metadata.blocks() * 512))
        .collect();
    files.sort_unstable();
    files.dedup();
    files.into_iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn three_years_of_weekly_installs_take_less_than_three_generations() {
    let mut world = World::new();
    let kept = Policy::read(&world.host).unwrap().generations;
    assert!(kept.automatic, "nobody collects what nobody asked for");
    let mut most = 0;
    for week in 1..=WEEKS {
        let kernel = week / KERNEL_WEEKS;
        let kernels = [release(kernel), release(kernel + 1)];
        change_kernels(&mut world, kernels);
        let now = Some(1_700_000_000 + week * 7 * 86_400);
        world.options = InstallOptions { now, ..InstallOptions::default() };
        let report = world.install(&weekly(week, kernels).bytes()).unwrap();
        assert!(matches!(report.outcome, InstallOutcome::Installed { generation, .. } if generation == week));
        let options = CollectOptions {
            keep: kept.keep,
            size: None,
            dry_run: false,
            boot_id: None,
            now,
            wait: Duration::ZERO,
        };
        collect(&world.host, &options).unwrap();
        let one = taken(&world, &format!("{STATE}/current/"));
        let all = taken(&world, STATE);
        assert!(all < 3 * one, "week {week}: {all} bytes, the current generation has {one}");
        most = most.max(all * 100 / one);
    }
    let one = taken(&world, &format!("{STATE}/current/"));
    // The figures of docs/design/measurements.md.
    println!(
        "after {WEEKS} weeks {} bytes, a generation has {one}; at most {most} % of one",
        taken(&world, STATE)
    );
    assert!(fsck(&world.host, None, None).unwrap().unwrap().problems.is_empty());
    let shown = history(&world.host).unwrap();
    assert!(shown.len() as u64 > WEEKS, "{}", shown.len());
    let back = rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
    assert_eq!(back.to, WEEKS - 1);
}

#[test]
fn an_unchanged_module_is_one_file_in_two_generations_and_a_damaged_one_is_not_passed_on() {
    let world = World::new();
    let once = |serial| Bundle { revision: |_, _| 1, ..bundle(serial) };
    world.install(&once(1).bytes()).unwrap();
    let current = world.current();
    let kernels = &current.bundles()[0].manifest.kernels;
    let id = kernels.iter().find(|kernel| kernel.release.as_str() == "6.12.1").unwrap().id.short();
    let module = |generation: u64, script: &str| {
        world.path(&format!("{STATE}/generations/{generation}/kernels/{id}/{script}.ko"))
    };
    let inode = |generation, script| module(generation, script).metadata().unwrap().ino();
    // Damage in place, with the length as it was.
    let mut bytes = fs::read(module(1, "latency")).unwrap();
    bytes[7] ^= 1;
    fs::write(module(1, "latency"), bytes).unwrap();
    world.install(&once(2).bytes()).unwrap();
    assert_eq!(inode(1, "counter"), inode(2, "counter"));
    assert_ne!(inode(1, "latency"), inode(2, "latency"));
    assert!(fsck(&world.host, None, None).unwrap().unwrap().problems.is_empty());
    // Another one is written afresh.
    world.install(&bundle(3).bytes()).unwrap();
    assert_ne!(inode(2, "counter"), inode(3, "counter"));
}
