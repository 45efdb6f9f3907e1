//! What an unprivileged user of the same host can do to us. They are real: a second uid, by setuid in a child.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, thread};

use crate::tests::world::{World, bundle, file};
use crate::{BundleSource, CollectOptions, CurrentGeneration, WriterLock, collect, install};

/// A uid that owns nothing here.
const STRANGER: u32 = 64_999;

/// Longer than anything here takes, and shorter than a wait without an end.
const LONG: Duration = Duration::from_secs(60);

/// flock(1) on a path of the host, run by the stranger; `None` if it didn't get the lock.
fn lock_as_stranger(world: &World, path: &str) -> Option<Child> {
    assert!(rustix::process::geteuid().is_root(), "this test needs root, for a second uid");
    let mut command = Command::new("flock");
    command
        .args(["--exclusive", "--nonblock"])
        .arg(world.path(path))
        .args(["--command", "echo held; exec sleep 600"]);
    command.uid(STRANGER).gid(STRANGER).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut said)
        .unwrap();
    if said.trim() == "held" {
        return Some(child);
    }
    child.wait().unwrap();
    None
}

/// Runs `act` in a thread, and fails if it doesn't end.
fn ends<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(LONG).unwrap_or_else(|_| panic!("{what} waits for a stranger's lock"))
}

#[test]
fn as_root_locks_that_a_stranger_holds_hold_up_nobody() {
    let world = World::new();
    for directory in ["", "var", "var/lib"] {
        fs::set_permissions(world.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
    }
    world.install_all(&bundle(1).bytes());
    let mut held = Vec::new();
    for path in ["/var/lib/stap-bundle/lock", "/var/lib/stap-bundle/generations/1/lock"] {
        assert!(lock_as_stranger(&world, path).is_none(), "{path} can be locked by anybody");
    }
    // A directory can be locked by who can read it: so nobody's lock on one may count.
    for path in
        ["/var/lib/stap-bundle", "/var/lib/stap-bundle/generations", "/var/lib/stap-bundle/generations/1"]
    {
        held.push(lock_as_stranger(&world, path).expect("a directory of mode 0755 can be locked"));
    }
    let identity = world.identity.clone();
    let options = world.options.clone();
    let host = files::FileSystem::open(world.directory.path()).unwrap();
    ends("a start's reading, an install or a collection", move || {
        assert_eq!(CurrentGeneration::open(&host).unwrap().unwrap().number(), 1);
        for serial in 2..5 {
            let source: BundleSource<'_> = file(&bundle(serial).bytes()).into();
            install(&host, &identity, source, &options, &mut |_| {}).unwrap();
        }
        let one = CollectOptions {
            keep: 1,
            size: None,
            dry_run: false,
            boot_id: None,
            now: None,
            wait: Duration::ZERO,
        };
        let removed: Vec<u64> =
            collect(&host, &one).unwrap().removed.iter().map(|gone| gone.generation).collect();
        assert_eq!(removed, [1, 2]);
    });
    for mut child in held {
        rustix::process::kill_process_group(
            rustix::process::Pid::from_child(&child),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn as_root_an_ordinary_user_reads_what_is_installed_without_a_lock() {
    let world = World::new();
    world.install_all(&bundle(1).bytes());
    let _writer = WriterLock::acquire(&world.host).unwrap();
    let lock = world.path("/var/lib/stap-bundle/generations/1/lock");
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o7777, 0o600);
    // Owned by somebody else, as root's is to an ordinary user: it isn't ours to lock.
    std::os::unix::fs::chown(&lock, Some(STRANGER), None).unwrap();
    assert_eq!(world.current_number(), Some(1));
}
