//! Processes of other users beside a stop: those that only call themselves `stapio`, and those that are. By a second user for
//! real, so these tests must be run as root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fixtures::fake_host::ROOT_VARIABLE;
use rustix::process::{Pid, Signal, kill_process};

use super::world::World;

/// `nobody`, who may do nothing.
const SECOND_USER: &str = "65534";

/// What a stop without anybody to wait for takes at most, on a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// More than [`SOON`], so that one wait for an impostor is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Notes each signal by which the service asks, and lives on.
const STUBBORN: &str = r#"heard=$1
for signal in TERM QUIT INT HUP; do trap "echo $signal >>$heard.heard" $signal; done
[ "$2" != - ] && echo stapio >/proc/$$/comm
: >$heard.ready
while :; do sleep 0.05; done"#;

/// How a process passes itself off.
#[derive(Debug, Clone, Copy)]
enum Disguise {
    /// The file that it executes is called `stapio`.
    FileName,
    /// It calls itself so (`prctl(PR_SET_NAME)` by way of /proc).
    OwnName,
    /// It executes the installed `stapio`.
    Installed,
    /// The same, with a descriptor of the module's control file by which nothing was opened (`O_PATH`).
    InstalledWithPath,
}

/// A process of the second user.
struct Other {
    child: Child,
    files: PathBuf,
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Other {
    fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn heard(&self) -> String {
        fs::read_to_string(self.files.with_extension("heard")).unwrap_or_default()
    }
}

/// A world into which the second user may look, with a directory where it may write, and `a` running.
fn world() -> World {
    assert!(rustix::process::geteuid().is_root(), "this test must be run as root: it needs a second user");
    let mut world = World::new().scripts("a");
    world.host.patience.unload = PATIENCE;
    fs::set_permissions(world.dir.path(), Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(others(&world)).unwrap();
    fs::set_permissions(others(&world), Permissions::from_mode(0o1777)).unwrap();
    for (program, name) in [(Path::new("/bin/sh"), "shell/stapio"), (&world.host.stapio[0], "real/stapio")] {
        let copy = world.dir.path().join(name);
        fs::create_dir(copy.parent().unwrap()).unwrap();
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(world.start("a"), "a started, exit 0");
    world
}

fn others(world: &World) -> PathBuf {
    world.dir.path().join("others")
}

fn as_second_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", SECOND_USER, "--regid", SECOND_USER, "--clear-groups", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process of the second user whose command line ends with `words`.
fn impostor(world: &mut World, disguise: Disguise, number: usize, words: &[&str]) -> Other {
    let shell = world.dir.path().join("shell/stapio");
    let files = others(world).join(number.to_string());
    let mut command = match disguise {
        Disguise::FileName => as_second_user(&shell),
        Disguise::OwnName => as_second_user("/bin/sh"),
        Disguise::Installed => {
            world.host.stapio = vec![shell.clone()];
            as_second_user(&shell)
        }
        Disguise::InstalledWithPath => {
            world.host.stapio = vec![shell.clone()];
            let mut command = as_second_user("/usr/bin/python3");
            let program = "import os, sys; os.set_inheritable(os.open(sys.argv[1], os.O_PATH), True); os.execv(sys.argv[2], sys.argv[2:])";
            command.args(["-c", program]).arg(world.fake.control("a")).arg(&shell);
            command
        }
    };
    let own_name = if matches!(disguise, Disguise::OwnName) { "stapio" } else { "-" };
    command.args(["-c", STUBBORN, "stapio"]).arg(&files).arg(own_name).args(words);
    let child = command.spawn().unwrap();
    world.fake.show_process(child.id()).unwrap();
    until("the impostor", || files.with_extension("ready").exists());
    Other { child, files }
}

/// That a stop isn't held up by these processes, and leaves them alone.
fn assert_not_held_up(world: &World, others: &mut [Other], what: &str) {
    let begun = Instant::now();
    assert_eq!(world.stop("a"), "a stopped, exit 0", "{what}");
    let took = begun.elapsed();
    assert!(took < SOON, "{what}: the stop took {took:?}");
    for other in others {
        assert_eq!((other.lives(), other.heard()), (true, String::new()), "{what}");
    }
}

#[test]
fn a_process_that_is_only_called_stapio_neither_holds_up_a_stop_nor_is_signalled() {
    for disguise in [Disguise::FileName, Disguise::OwnName, Disguise::Installed, Disguise::InstalledWithPath]
    {
        for words in [["-D", "-o", "x", "a"].as_slice(), &["-A", "a"]] {
            let mut world = world();
            let one = impostor(&mut world, disguise, 0, words);
            assert_not_held_up(&world, &mut [one], &format!("{disguise:?} {words:?}"));
        }
    }
}

#[test]
fn eight_processes_that_are_only_called_stapio_do_not_hold_up_a_stop_either() {
    for words in [["-D", "-o", "x", "a"].as_slice(), &["-A", "a"]] {
        let mut world = world();
        let mut eight: Vec<Other> =
            (0..8).map(|number| impostor(&mut world, Disguise::Installed, number, words)).collect();
        assert_not_held_up(&world, &mut eight, &format!("{words:?}"));
    }
}

#[test]
fn an_impostor_is_not_taken_for_the_recorder_whose_number_it_has() {
    let mut world = world();
    let one = impostor(&mut world, Disguise::Installed, 0, &["-D", "-o", "x", "a"]);
    fs::write(world.at(&world.host.stat_dir).join("a"), format!("{}\n", one.child.id())).unwrap();
    fs::remove_dir_all(world.at(&world.host.run_dir).join("run")).unwrap();
    assert_not_held_up(&world, &mut [one], "by the status file");
}

/// A reader of the second user, as a member of stapusr has it: the real program, and the control file is open.
fn reader(world: &mut World, program: &str) -> Other {
    let program = world.dir.path().join(program);
    world.host.stapio = vec![program.clone()];
    let control = world.fake.control("a");
    fs::set_permissions(&control, Permissions::from_mode(0o666)).unwrap();
    let child =
        as_second_user(&program).args(["-A", "a"]).env(ROOT_VARIABLE, world.dir.path()).spawn().unwrap();
    world.fake.show_process(child.id()).unwrap();
    fs::create_dir_all(world.fake.own("daemon")).unwrap();
    fs::write(world.fake.own("daemon/a"), child.id().to_string()).unwrap();
    let descriptors = PathBuf::from(format!("/proc/{}/fd", child.id()));
    let open = |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|path| path == control);
    until("the reader", || {
        fs::read_dir(&descriptors).is_ok_and(|mut all| all.any(|entry| entry.is_ok_and(open)))
    });
    // It minds its signals once it has written.
    std::thread::sleep(Duration::from_millis(300));
    Other { child, files: others(world).join("reader") }
}

#[test]
fn a_reader_of_another_user_is_asked_to_let_go() {
    let mut world = world();
    let mut other = reader(&mut world, "real/stapio");
    assert_eq!(world.stop("a"), "a stopped, exit 0");
    assert_eq!(other.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_whose_program_was_upgraded_is_asked_to_let_go() {
    let mut world = world();
    let mut other = reader(&mut world, "real/stapio");
    let place = world.host.stapio[0].clone();
    fs::copy("/bin/sh", place.with_extension("new")).unwrap();
    fs::rename(place.with_extension("new"), &place).unwrap();
    assert_eq!(world.stop("a"), "a stopped, exit 0");
    assert_eq!(other.child.wait().unwrap().code(), Some(0));
}

#[test]
fn readers_that_do_not_let_go_cost_one_deadline_and_no_more() {
    let mut world = world();
    world.host.patience.unload = Duration::from_secs(4);
    let mut stopped: Vec<Other> = (0..3).map(|_| reader(&mut world, "real/stapio")).collect();
    for other in &stopped {
        kill_process(Pid::from_child(&other.child), Signal::STOP).unwrap();
    }
    let begun = Instant::now();
    assert_eq!(world.stop("a"), "a stopped, exit 0");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    for other in &mut stopped {
        assert_eq!(other.child.wait().unwrap().signal(), Some(9));
    }
    let log = fs::read_to_string(world.at(&world.host.log_file)).unwrap();
    assert_eq!(log.matches("(stapio), a reader that didn't let go, is killed").count(), 3, "{log}");
}
