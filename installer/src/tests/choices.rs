//! What the user of an install decides: dry runs, parts of damaged files, foreign files, waiting, the inbox.

use std::fs;
use std::io::{Read, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use super::world::{Bundle, World, bundle, file, on_disk, stranger};
use crate::{
    BundleSource, InstallError, InstallOptions, InstallOutcome, InstallWarning, LockError, WriterLock,
    install, newest_in_inbox,
};

fn with(options: InstallOptions) -> World {
    World { options, ..World::new() }
}

fn dry() -> InstallOptions {
    InstallOptions { dry_run: true, ..InstallOptions::default() }
}

/// Changes a byte of the frame of a release.
fn damage(bytes: &mut [u8], release: &str) {
    let name = format!("-{release}.tar.zst");
    let header = bytes.windows(name.len()).rposition(|part| part == name.as_bytes()).unwrap();
    let body = header / 512 * 512 + 512;
    bytes[body + 20] ^= 1;
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let world = with(dry());
    let before = world.tree();
    let report = world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(report.outcome, InstallOutcome::WouldInstall { from: None, generation: 1 });
    assert_eq!(report.kernels.iter().map(|kernel| kernel.modules).collect::<Vec<_>>(), [2, 2]);
    let links = report.compat.unwrap().written;
    assert_eq!(
        links.len(),
        10,
        "two modules with options for two kernels, and both configuration files: {links:?}"
    );
    assert_eq!(links[2].to_str(), Some("/var/cache/systemtap/6.12.1/counter.ko"));
    assert_eq!(world.tree(), before);
    let mut bytes = bundle(1).bytes();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    world.install(&bytes).unwrap_err();

    let world = World { options: InstallOptions::default(), ..world };
    world.install(&bundle(3).bytes()).unwrap();
    let world = World { options: dry(), ..world };
    let before = world.tree();
    let report = world.install(&bundle(4).bytes()).unwrap();
    assert_eq!(report.outcome, InstallOutcome::WouldInstall { from: Some(1), generation: 2 });
    assert!(matches!(world.install(&bundle(2).bytes()).unwrap_err(), InstallError::Older { .. }));
    let report = world.install(&bundle(3).bytes()).unwrap();
    assert_eq!(report.outcome, InstallOutcome::AlreadyInstalled { generation: 1 });
    assert_eq!(world.tree(), before);
}

#[test]
fn a_dry_run_did_not_foresee_what_stands_beside_a_module_to_come() {
    let world = with(dry());
    let cache = "var/cache/systemtap/6.12.1";
    fs::create_dir_all(world.path(cache)).unwrap();
    fs::write(world.path(cache).join("counter.opts"), "by hand\n").unwrap();
    fs::write(world.path("var/cache/systemtap/6.12.2"), "no directory").unwrap();
    let foreign = |report: crate::InstallReport| {
        let files = report.compat.unwrap().foreign.into_iter();
        files.map(|foreign| (foreign.path.display().to_string(), foreign.what)).collect::<Vec<_>>()
    };
    let planned = foreign(world.install(&bundle(1).bytes()).unwrap());
    assert_eq!(planned.len(), 2, "{planned:?}");
    let world = World { options: InstallOptions::default(), ..world };
    assert_eq!(foreign(world.install(&bundle(1).bytes()).unwrap()), planned);
    // What the initscript wrote for the same module is no stranger.
    let opts = fs::read(world.path(cache).join("latency.opts")).unwrap();
    let fresh = with(dry());
    fs::create_dir_all(fresh.path(cache)).unwrap();
    fs::write(fresh.path(cache).join("latency.opts"), opts).unwrap();
    assert_eq!(foreign(fresh.install(&bundle(1).bytes()).unwrap()), []);
}

#[test]
fn d2_what_is_good_of_a_damaged_bundle_can_be_installed() {
    let mut bytes = bundle(1).bytes();
    damage(&mut bytes, "6.12.2");
    let world = World::new();
    world.install(&bytes).unwrap_err();
    let world = World { options: InstallOptions { partial: true, ..InstallOptions::default() }, ..world };
    let report = world.install(&bytes).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::LeftOut { release, what: "damaged" }] if release.as_str() == "6.12.2"),
        "{:?}",
        report.warnings
    );
    assert_eq!(report.kernels.len(), 1);
    // What is kept is whole again, so the same bundle is installed, not damaged.
    let current = world.current();
    assert!(current.first_problem(&current.bundles()[0], crate::generation::Look::Digests).is_none());
    let whole = world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(whole.kernels.len(), 2);
    assert!(whole.warnings.is_empty(), "{:?}", whole.warnings);
}

/// The file that has some kernels of a bundle only.
pub(crate) fn subset(bundle: &Bundle, releases: &[&str]) -> Vec<u8> {
    let keys = bundle_format::TrustedKeys::any_of([super::world::public(&bundle.key)]);
    let verified =
        bundle_format::RawBundle::read(std::io::Cursor::new(bundle.bytes())).unwrap().verify(&keys).unwrap();
    let of_release = |kernel: &&bundle_format::Kernel| releases.contains(&kernel.release.as_str());
    let wanted = verified.manifest().kernels.iter().filter(of_release).map(|kernel| kernel.id).collect();
    let mut bytes = Vec::new();
    verified.write_subset(&wanted, &mut bytes).unwrap();
    bytes
}

fn named(world: World, releases: &[&str], partial: bool) -> World {
    let releases = releases.iter().map(|release| release.parse().unwrap()).collect();
    let options = InstallOptions {
        kernels: crate::KernelChoice::Named(releases),
        partial,
        ..InstallOptions::default()
    };
    World { options, ..world }
}

/// The releases that the kept file of the current generation has, and those that are unpacked.
fn kept_and_unpacked(world: &World) -> (Vec<String>, Vec<String>) {
    let current = world.current();
    let bundle = &current.bundles()[0];
    assert!(current.first_problem(bundle, crate::generation::Look::Digests).is_none());
    assert!(current.document_problems().is_empty());
    let keys = bundle_format::TrustedKeys::any_of([super::world::public(&super::world::farm())]);
    let report = bundle_format::RawBundle::read(bundle.kept().unwrap())
        .unwrap()
        .verify(&keys)
        .unwrap()
        .check(bundle_format::Depth::Modules)
        .unwrap();
    let release = |id| {
        let kernel = bundle.manifest.kernels.iter().find(|kernel| kernel.id == id).unwrap();
        kernel.release.to_string()
    };
    let good = report.kernels.iter().filter(|(_, state)| *state == bundle_format::KernelState::Good);
    let unpacked =
        crate::generation::unpacked_kernels(current.directory(), "fleet", &bundle.manifest).unwrap();
    let mut kept: Vec<String> = good.map(|(id, _)| release(*id)).collect();
    let mut unpacked: Vec<String> = unpacked.into_iter().map(|kernel| release(kernel.id)).collect();
    kept.sort();
    unpacked.sort();
    (kept, unpacked)
}

fn owned(releases: &[&str]) -> Vec<String> {
    releases.iter().map(|release| (*release).to_owned()).collect()
}

const ALL: [&str; 3] = ["6.12.1", "6.12.2", "6.13.0"];

/// A subset that came later took the place of the whole bundle.
#[test]
fn a_subset_of_what_is_kept_whole_takes_nothing_away() {
    let world = named(World::new(), &["6.12.1"], false);
    world.install(&bundle(1).bytes()).unwrap();
    let world = named(world, &["6.12.2"], false);
    let report = world.install(&subset(&bundle(1), &["6.12.2"])).unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(kept_and_unpacked(&world), (owned(&ALL), owned(&ALL[..2])));
    // Even of a kernel that the new file lacks, the kept one has it.
    let world = named(world, &["6.13.0"], false);
    world.install(&subset(&bundle(1), &["6.12.2"])).unwrap();
    assert_eq!(kept_and_unpacked(&world), (owned(&ALL), owned(&ALL)));
    let before = world.tree();
    world.install(&subset(&bundle(1), &["6.12.1"])).unwrap();
    assert_eq!(world.tree(), before);
    // A damaged file is refused all the same.
    let mut damaged = bundle(1).bytes();
    damage(&mut damaged, "6.12.2");
    world.install(&damaged).unwrap_err();
}

#[test]
fn two_subsets_are_kept_as_one_file_and_a_whole_one_completes_it() {
    for streams in [false, true] {
        let mut world = named(World::new(), &["6.12.1"], false);
        world.streams = streams;
        world.install(&subset(&bundle(1), &["6.12.1"])).unwrap();
        let mut world = named(world, &["6.13.0"], false);
        world.streams = streams;
        world.install(&subset(&bundle(1), &["6.13.0"])).unwrap();
        let two = owned(&["6.12.1", "6.13.0"]);
        assert_eq!(kept_and_unpacked(&world), (two.clone(), two.clone()));
        let mut world = named(world, &["6.12.2"], false);
        let error = world.install(&subset(&bundle(1), &["6.12.1"])).unwrap_err();
        assert!(
            matches!(&error, InstallError::Bundle(bundle_format::BundleError::AbsentFrame { .. })),
            "{error}"
        );
        assert_eq!(kept_and_unpacked(&world), (two.clone(), two.clone()));
        // Nothing more is to be unpacked, but it is to be kept.
        world.options.kernels = crate::KernelChoice::Named(vec!["6.12.1".parse().unwrap()]);
        world.install(&bundle(1).bytes()).unwrap();
        assert_eq!(kept_and_unpacked(&world), (owned(&ALL), two));
    }
}

/// `--partial` asked for the kernels that were unpacked before in a file where they are damaged.
#[test]
fn d2_a_kernel_is_added_beside_one_that_is_damaged_in_the_new_file() {
    let world = named(World::new(), &["6.12.1"], false);
    world.install(&subset(&bundle(1), &["6.12.1"])).unwrap();
    let mut bytes = bundle(1).bytes();
    damage(&mut bytes, "6.12.1");
    let world = named(world, &["6.12.2"], true);
    let report = world.install(&bytes).unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(kept_and_unpacked(&world).1, owned(&ALL[..2]));
}

/// The kept frame of a kernel rotted; its modules are whole where they are.
#[test]
fn d2_what_is_unpacked_stays_though_neither_file_has_it_and_that_is_said() {
    let world = named(World::new(), &["6.12.2"], false);
    world.install(&subset(&bundle(1), &["6.12.2"])).unwrap();
    let kept = world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
    let mut bytes = fs::read(&kept).unwrap();
    damage(&mut bytes, "6.12.2");
    fs::write(&kept, bytes).unwrap();
    let world = named(world, &["6.13.0"], true);
    let report = world.install(&subset(&bundle(1), &["6.13.0"])).unwrap();
    let [InstallWarning::NoLongerKept { releases }] = report.warnings.as_slice() else {
        panic!("{:?}", report.warnings)
    };
    assert_eq!(releases.iter().map(ToString::to_string).collect::<Vec<_>>(), ["6.12.2"]);
    // The frame of 6.12.1 is what the others refer to.
    assert_eq!(kept_and_unpacked(&world), (owned(&["6.12.1", "6.13.0"]), owned(&["6.12.2", "6.13.0"])));
}

#[test]
fn an_upgrade_by_a_subset_says_which_kernels_are_no_longer_kept() {
    for (dry_run, partial) in [(true, false), (false, false), (true, true), (false, true)] {
        let world = named(World::new(), &["6.12.1"], false);
        world.install(&bundle(1).bytes()).unwrap();
        let mut world = named(world, &["6.12.1"], partial);
        world.options.dry_run = dry_run;
        let report = world.install(&subset(&bundle(2), &["6.12.1", "6.13.0"])).unwrap();
        let [InstallWarning::NoLongerKept { releases }] = report.warnings.as_slice() else {
            panic!("{:?}", report.warnings)
        };
        assert_eq!(releases.iter().map(ToString::to_string).collect::<Vec<_>>(), ["6.12.2"]);
        assert!(report.warnings[0].to_string().starts_with("kernel 6.12.2 is no longer kept here"));
    }
}

#[test]
fn d2_a_file_with_nothing_whole_for_this_host_is_refused_without_a_trace() {
    let mut bytes = bundle(1).bytes();
    damage(&mut bytes, "6.12.1");
    damage(&mut bytes, "6.12.2");
    let world = with(InstallOptions { partial: true, ..InstallOptions::default() });
    let before = world.tree();
    let error = world.install(&bytes).unwrap_err();
    assert!(matches!(&error, InstallError::NothingWhole { problems } if !problems.is_empty()), "{error}");
    let cut = &bytes[..bytes.len() / 2];
    world.install(cut).unwrap_err();
    // Only the part before the link to /var/lib is new: an empty directory, where the copy had no name.
    let after: Vec<String> = world.tree().into_iter().filter(|line| !before.contains(line)).collect();
    assert!(after.iter().all(|line| !line.contains("stap-bundle")), "{after:?}");
}

#[test]
fn foreign_files_are_moved_aside_where_that_is_asked_for() {
    let world = World::new();
    let cache = world.path("var/cache/systemtap/6.12.1");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join("counter.ko"), "mine").unwrap();
    fs::write(cache.join("counter.opts"), "my options").unwrap();
    fs::create_dir_all(cache.join("latency.ko")).unwrap();
    let report = world.install(&bundle(1).bytes()).unwrap();
    assert_eq!(report.compat.unwrap().foreign.len(), 2);
    assert_eq!(fs::read_to_string(cache.join("counter.ko")).unwrap(), "mine");

    let world =
        World { options: InstallOptions { move_foreign: true, ..InstallOptions::default() }, ..world };
    let compat = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    assert_eq!(compat.moved.len(), 2, "{compat:?}");
    assert_eq!(fs::read_to_string(cache.join("counter.ko.before-stap-bundle")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(cache.join("counter.opts.before-stap-bundle")).unwrap(), "my options");
    assert!(cache.join("counter.ko").is_symlink());
    assert!(fs::read_to_string(cache.join("counter.opts")).unwrap().ends_with("-D FOO=1 --\n"));
    // A directory is nobody's module, and may hold anything.
    assert_eq!(compat.foreign.len(), 1);
    assert!(cache.join("latency.ko").is_dir());
}

/// A source that says when it is read beyond its first part, and waits there.
struct Stalling<'s> {
    bytes: &'s [u8],
    stall_at: usize,
    stalled: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
    read: usize,
}

impl Read for Stalling<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read >= self.stall_at && self.stall_at > 0 {
            self.stall_at = 0;
            self.stalled.send(()).unwrap();
            self.go_on.recv().unwrap();
        }
        let part = buffer.len().min(4096).min(self.bytes.len() - self.read);
        buffer[..part].copy_from_slice(&self.bytes[self.read..self.read + part]);
        self.read += part;
        Ok(part)
    }
}

#[test]
fn a_pipe_that_stalls_locks_nobody_out() {
    let world = World::new();
    let slow = bundle(2).bytes();
    let quick = bundle(1).bytes();
    let (stalled, is_stalled) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let source = Stalling { bytes: &slow, stall_at: slow.len() - 3000, stalled, go_on, read: 0 };
    let options = InstallOptions::default();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            install(&world.host, &world.identity, BundleSource::stream(source), &options, &mut |_| {})
        });
        is_stalled.recv().unwrap();
        assert_eq!(
            world.install(&quick).unwrap().outcome,
            InstallOutcome::Installed { from: None, generation: 1 }
        );
        go.send(()).unwrap();
        let report = slow.join().unwrap().unwrap();
        assert_eq!(report.outcome, InstallOutcome::Installed { from: Some(1), generation: 2 });
    });
    let kept = fs::read(world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb")).unwrap();
    assert!(kept == slow);
}

#[test]
fn who_waits_gets_the_lock_when_it_is_free() {
    let world = with(InstallOptions { wait: Duration::from_secs(600), ..InstallOptions::default() });
    let lock = WriterLock::acquire(&world.host).unwrap();
    assert!(matches!(WriterLock::wait(&world.host, Duration::from_millis(120)), Err(LockError::Locked(_))));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.install(&bundle(1).bytes()));
        std::thread::sleep(Duration::from_millis(150));
        drop(lock);
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn the_newest_fitting_bundle_of_the_inbox_is_taken() {
    let world = World::new();
    let empty = newest_in_inbox(&world.host, &world.identity, &world.options).unwrap();
    assert!(empty.chosen.is_none() && empty.passed_over.is_empty());
    let inbox = world.path("var/lib/stap-bundle/inbox");
    fs::create_dir_all(&inbox).unwrap();
    let put = |name: &str, bundle: Bundle| fs::write(inbox.join(name), bundle.bytes()).unwrap();
    put("a.stapb", bundle(2));
    put("b.stapb", bundle(1));
    put("c.stapb", Bundle { key: stranger(), ..bundle(9) });
    put("d.stapb", Bundle { kernels: vec![("5.10.0", None)], ..bundle(8) });
    fs::write(inbox.join("e.stapb"), "no bundle").unwrap();
    fs::write(inbox.join("notes.txt"), "").unwrap();
    let found = newest_in_inbox(&world.host, &world.identity, &world.options).unwrap();
    let (path, file) = found.chosen.unwrap();
    assert_eq!(path.to_str(), Some("/var/lib/stap-bundle/inbox/a.stapb"));
    let passed: Vec<_> = found.passed_over.iter().map(|passed| passed.path.file_name().unwrap()).collect();
    assert_eq!(passed, ["b.stapb", "c.stapb", "d.stapb", "e.stapb"]);
    install(&world.host, &world.identity, file, &world.options, &mut |_| {}).unwrap();
    assert_eq!(world.current().bundles()[0].serial, 2);
}

#[test]
fn the_inbox_goes_by_serial_as_the_floors_do_and_not_by_the_date() {
    let world = World::new();
    let inbox = world.path("var/lib/stap-bundle/inbox");
    fs::create_dir_all(&inbox).unwrap();
    let put = |name: &str, bundle: Bundle| fs::write(inbox.join(name), bundle.bytes()).unwrap();
    // An older one was made again later, as with another script.
    put("newer.stapb", Bundle { created: 1_700_000_000, ..bundle(7) });
    put("older.stapb", Bundle { created: 1_700_900_000, ..bundle(6) });
    let found = newest_in_inbox(&world.host, &world.identity, &world.options).unwrap();
    assert!(found.chosen.unwrap().0.ends_with("newer.stapb"));
    assert_eq!(found.passed_over[0].reason, "another file there is newer");
}

#[test]
fn a_pin_that_was_taken_back_while_the_manifest_came_in_counted_still() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    let take_back = &mut |event: crate::InstallEvent| {
        if let crate::InstallEvent::Verified { signers, .. } = event {
            let mut store = crate::TrustStore::open(&world.host).unwrap();
            store.remove(&world.host, &signers[0].to_string(), None, Duration::ZERO).unwrap();
        }
    };
    let result = install(&world.host, &world.identity, file(&bytes), &world.options, take_back);
    let error = result.unwrap_err();
    assert!(
        matches!(error, InstallError::Bundle(bundle_format::BundleError::NotTrusted { .. })),
        "{error:?}"
    );
    assert!(crate::CurrentGeneration::open(&world.host).unwrap().is_none());
}

/// Whatever way the file takes, what is installed is what was judged.
#[test]
fn a_file_that_becomes_another_bundle_after_it_was_judged_is_not_installed() {
    for (partial, installed) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = World::new();
        world.options.partial = partial;
        let first = bundle(9).bytes();
        if installed {
            world.install(&first).unwrap();
        }
        let before = world.current_number();
        let named = tempfile::NamedTempFile::new().unwrap();
        fs::write(named.path(), &first).unwrap();
        let overwrite = &mut |event: crate::InstallEvent| {
            if let crate::InstallEvent::Verified { .. } = event {
                fs::write(named.path(), bundle(3).bytes()).unwrap();
            }
        };
        let source = on_disk(named.reopen().unwrap());
        let result = install(&world.host, &world.identity, source, &world.options, overwrite);
        match result.map(|report| report.outcome) {
            Err(InstallError::Bundle(_)) => {}
            // Of a file that the kept one has all of, nothing is read.
            Ok(InstallOutcome::AlreadyInstalled { .. }) if partial && installed => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(world.current_number(), before);
    }
}

#[test]
fn what_is_unpacked_and_what_is_kept_come_from_one_state_of_the_file() {
    let world = World::new();
    let named = tempfile::NamedTempFile::new().unwrap();
    fs::write(named.path(), subset(&bundle(1), &["6.12.1", "6.12.2"])).unwrap();
    let overwrite = &mut |event: crate::InstallEvent| {
        if let crate::InstallEvent::Verified { .. } = event {
            // The manifest and the signatures are the same.
            fs::write(named.path(), bundle(1).bytes()).unwrap();
        }
    };
    let source = on_disk(named.reopen().unwrap());
    let report = install(&world.host, &world.identity, source, &world.options, overwrite).unwrap();
    // Both readers came after the change, so both found the same.
    assert!(report.compat.is_ok());
    assert_eq!(kept_and_unpacked(&world).0.len(), 3);
}

/// What the program of a file's suffix makes of these bytes.
pub(super) fn packed(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    match suffix {
        ".gz" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        ".xz" => {
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 3).unwrap(),
        _ => bytes.to_vec(),
    }
}

/// A kernel's own module, as it lies in /lib/modules/REL.
pub(super) fn installed_kernel(world: &World, release: &str, suffix: &str, vermagic: &str) {
    let directory = world.path("lib/modules").join(release);
    fs::create_dir_all(directory.join("kernel/fs")).unwrap();
    let index = format!(
        "updates/odd.ko:\nkernel/net/packed.ko.xz:\nkernel/fs/small.ko{suffix}: kernel/net/packed.ko.xz\n"
    );
    fs::write(directory.join("modules.dep"), index).unwrap();
    let bytes = packed(suffix, &fixtures::module::tiny_module("small", &format!("{vermagic} ")));
    fs::write(directory.join(format!("kernel/fs/small.ko{suffix}")), bytes).unwrap();
}

#[test]
fn a_kernel_that_was_built_with_other_options_is_not_the_bundles() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let world = World::new();
        installed_kernel(&world, "6.12.1", suffix, "6.12.1 SMP preempt mod_unload");
        installed_kernel(&world, "6.12.2", suffix, "6.12.2 SMP mod_unload");
        let report = world.install(&bundle(1).bytes()).unwrap();
        assert_eq!(
            report.kernels.iter().map(|kernel| kernel.release.as_str()).collect::<Vec<_>>(),
            ["6.12.1"]
        );
        let [warning] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
        assert_eq!(
            warning.to_string(),
            "the installed kernel is not the one in the bundle: 6.12.2 is built with `6.12.2 SMP preempt mod_unload` \
             (vermagic), the modules of this host's kernel have `6.12.2 SMP mod_unload`"
        );
        let named = crate::KernelChoice::Named(vec!["6.12.2".parse().unwrap()]);
        let asked =
            World { options: InstallOptions { kernels: named, ..InstallOptions::default() }, ..world };
        let error = asked.install(&bundle(2).bytes()).unwrap_err();
        assert!(matches!(error, InstallError::DoesNotFit(_)), "{error}");
        assert!(error.to_string().contains("have `6.12.2 SMP mod_unload`"), "{error}");
    }
}

#[test]
fn a_kernel_whose_own_vermagic_is_not_known_may_be_the_bundles() {
    for vermagic in ["6.99 SMP", "", "6.12.2"] {
        let world = World::new();
        installed_kernel(&world, "6.12.2", "", vermagic);
        let directory = world.path("lib/modules/6.12.2");
        if vermagic == "6.12.2" {
            // Packed by a program that nobody uses, or not there at all.
            fs::write(directory.join("modules.dep"), "kernel/a.ko.bz2:\nkernel/b.ko.xz:\nkernel/\u{1f}odd\n")
                .unwrap();
        }
        let report = world.install(&bundle(1).bytes()).unwrap();
        assert!(report.kernels.iter().any(|kernel| kernel.release.as_str() == "6.12.2"), "{vermagic}");
    }
}
