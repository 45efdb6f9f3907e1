//! Kernels with the release and the options of the bundle's that are other builds all the same: their symbols say so.

use std::fs;

use super::choices::packed;
use super::world::{Bundle, World, bundle};
use crate::install::KernelChoice;
use crate::{
    InstallError, InstallOptions, InstallReport, InstallWarning, LaterKernels, unpack_for_later_kernels,
};

/// What the farm compiled against.
const SYMVERS: &str =
    "0x1234abcd\tvfs_read\tvmlinux\tEXPORT_SYMBOL\t\n0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n";
/// The same kernel, built with another compiler or patch.
const OTHER: &str =
    "0x00c0ffee\tvfs_read\tvmlinux\tEXPORT_SYMBOL\t\n0x00000001\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n";

fn of_symbols(serial: u64) -> Bundle {
    Bundle {
        symbols: vec![("printk", 1), ("vfs_read", 0x1234_abcd)],
        symvers: Some(SYMVERS),
        ..bundle(serial)
    }
}

fn place(world: &World, path: &str, bytes: impl AsRef<[u8]>) {
    let path = world.path(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn releases(report: &InstallReport) -> Vec<&str> {
    report.kernels.iter().map(|kernel| kernel.release.as_str()).collect()
}

#[test]
fn a_kernel_whose_symbols_have_other_crcs_is_left_out_wherever_its_symvers_is() {
    let places = [
        ("lib/modules/6.12.2/symvers.xz", ".xz"),
        ("lib/modules/6.12.2/symvers.gz", ".gz"),
        ("boot/symvers-6.12.2.gz", ".gz"),
        ("boot/symvers-6.12.2.zst", ".zst"),
        ("boot/symvers-6.12.2", ""),
        ("lib/modules/6.12.2/build/Module.symvers", ""),
        ("usr/src/linux-headers-6.12.2/Module.symvers", ""),
        ("usr/src/kernels/6.12.2/Module.symvers", ""),
    ];
    for (path, suffix) in places {
        for streams in [false, true] {
            let world = World { streams, ..World::new() };
            place(&world, path, packed(suffix, OTHER.as_bytes()));
            let report = world.install(&of_symbols(1).bytes()).unwrap();
            assert_eq!(releases(&report), ["6.12.1"], "{path}");
            let [warning] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
            assert_eq!(
                warning.to_string(),
                format!(
                    "the installed kernel is not the one in the bundle: 6.12.2 is a different build from this host's: \
                     counter needs the symbol vfs_read with CRC 0x1234abcd, /{path} has 0x00c0ffee"
                )
            );
        }
    }
}

#[test]
fn a_kernel_of_another_build_that_is_asked_for_by_name_refuses_the_bundle() {
    let named = KernelChoice::Named(vec!["6.12.2".parse().unwrap()]);
    for dry_run in [false, true] {
        let options = InstallOptions { kernels: named.clone(), dry_run, ..InstallOptions::default() };
        let world = World { options, ..World::new() };
        place(&world, "boot/symvers-6.12.2", OTHER);
        let error = world.install(&of_symbols(1).bytes()).unwrap_err();
        let InstallError::DoesNotFit(refusal) = &error else { panic!("{error}") };
        assert_eq!(refusal.mismatches.len(), 1);
        assert!(error.to_string().ends_with("/boot/symvers-6.12.2 has 0x00c0ffee"), "{error}");
        assert_eq!(world.current_number(), None);
    }
}

#[test]
fn a_dry_run_foresees_it_and_a_host_with_nothing_else_takes_nothing() {
    let options = InstallOptions { dry_run: true, ..InstallOptions::default() };
    let world = World { options, ..World::new() };
    place(&world, "boot/symvers-6.12.1", OTHER);
    let report = world.install(&of_symbols(1).bytes()).unwrap();
    assert_eq!(releases(&report), ["6.12.2"]);
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::RunningMismatch(_)]),
        "{:?}",
        report.warnings
    );

    place(&world, "boot/symvers-6.12.2", OTHER);
    let error = world.install(&of_symbols(1).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::DoesNotFit(_)), "{error}");
}

#[test]
fn a_kernel_with_the_same_crcs_is_taken_without_a_word() {
    for (symvers, host) in [(Some(SYMVERS), SYMVERS), (None, SYMVERS)] {
        let world = World::new();
        place(&world, "boot/symvers-6.12.2", host);
        let report = world.install(&Bundle { symvers, ..of_symbols(1) }.bytes()).unwrap();
        assert_eq!(releases(&report), ["6.12.1", "6.12.2"]);
        assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    }
}

#[test]
fn what_cannot_be_compared_is_said_and_keeps_no_kernel_away() {
    let unknown = "0x00000000\tvfs_read\tvmlinux\tEXPORT_SYMBOL\t\n";
    let hosts = [
        (
            unknown,
            "can't check the modules against 6.12.2 by symbols: /boot/symvers-6.12.2 has no CRC for printk and 1 more",
        ),
        (
            "damaged",
            "/boot/symvers-6.12.2 can't be read, so the modules' symbols were not compared with those of 6.12.2: \
             expected lines `0xCRC SYMBOL MODULE`",
        ),
    ];
    for (host, expected) in hosts {
        let world = World::new();
        place(&world, "boot/symvers-6.12.2", host);
        let report = world.install(&of_symbols(1).bytes()).unwrap();
        assert_eq!(releases(&report), ["6.12.1", "6.12.2"]);
        let [warning] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
        assert_eq!(warning.to_string(), expected);
    }
}

/// What an install would refuse isn't tried at each start.
#[test]
fn a_start_of_another_build_unpacks_nothing_and_says_why() {
    let mut world = World::new();
    world.install(&of_symbols(1).bytes()).unwrap();
    world.identity.release = Some("6.13.0".parse().unwrap());
    place(&world, "boot/symvers-6.13.0", OTHER);
    let before = world.tree();
    let current = world.current();
    let mut events = 0;
    let unpacked = unpack_for_later_kernels(
        &world.host,
        &world.identity,
        &current,
        LaterKernels::Running,
        &world.options,
        &mut |_| {
            events += 1;
        },
    );
    let failures = unpacked.unwrap().failures;
    let [InstallError::DoesNotFit(refusal)] = failures.as_slice() else { panic!("{failures:?}") };
    assert!(refusal.to_string().contains("vfs_read"), "{refusal}");
    assert_eq!(events, 0);
    assert_eq!(world.tree(), before);
}
