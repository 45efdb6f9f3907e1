//! What the user of an install decides: dry runs, parts of damaged files, foreign files, waiting, the inbox.

use std::fs;
use std::io::Read;
use std::sync::mpsc;
use std::time::Duration;

use super::world::{Bundle, World, bundle, stranger};
use crate::{
    InstallError, InstallOptions, InstallOutcome, InstallWarning, LockError, WriterLock, install,
    newest_in_inbox,
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
    assert_eq!(links.len(), 4);
    assert_eq!(links[0].to_str(), Some("/var/cache/systemtap/6.12.1/counter.ko"));
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

    let world = World { options: InstallOptions { adopt: true, ..InstallOptions::default() }, ..world };
    let compat = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    assert_eq!(compat.adopted.len(), 2, "{compat:?}");
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
    let (slow, quick) = (bundle(2).bytes(), bundle(1).bytes());
    let (stalled, is_stalled) = mpsc::channel();
    let (go, go_on) = mpsc::channel();
    let source = Stalling { bytes: &slow, stall_at: slow.len() - 3000, stalled, go_on, read: 0 };
    let options = InstallOptions { may_stall: true, ..InstallOptions::default() };
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| install(&world.host, &world.identity, source, &options, &mut |_| {}));
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
    assert!(matches!(WriterLock::wait(&world.host, Duration::from_millis(120)), Err(LockError::Locked)));
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
fn a_pin_that_was_taken_back_while_the_manifest_came_in_counted_still() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    let take_back = &mut |event: crate::InstallEvent| {
        if let crate::InstallEvent::Verified { signers, .. } = event {
            let mut store = crate::TrustStore::open(&world.host).unwrap();
            store.remove(&world.host, &signers[0].to_string()).unwrap();
        }
    };
    let result = install(&world.host, &world.identity, bytes.as_slice(), &world.options, take_back);
    let error = result.unwrap_err();
    assert!(
        matches!(error, InstallError::Bundle(bundle_format::BundleError::NotTrusted { .. })),
        "{error:?}"
    );
    assert!(crate::CurrentGeneration::open(&world.host).unwrap().is_none());
}
