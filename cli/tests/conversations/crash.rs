//! The real program, killed or failed at its system calls one after the other, by strace's fault injection.
//!
//! A plain `cargo test` takes every so-many-th call; `STAP_BUNDLE_EVERY_CALL=1` takes each, as `make test`
//! does for the kills and `make test-long` for the errors. It is killed at calls that may change the disk: at any other it leaves
//! what it leaves at the next of these. After each: what is current is the old generation or the new one, whole; stock tools see
//! that same one through the links in the cache; no floor is above it; and the next install succeeds and leaves nothing over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use files::FileSystem;
use fixtures::system_calls::{Point, for_each, points, stride, written_to};
use installer::{CurrentGeneration, FsckProblem, Mending, fsck};

use crate::bundles::{Bundle, fleet};
use crate::jobs::{JOBS, Job};
use crate::stock_view;
use crate::world::TestWorld;

/// Each is tried at every call; the last three at every third, for they take the same ways as the first. Where every call is
/// asked for, at every call too.
const ERRORS: [(&str, usize); 5] = [("ENOSPC", 1), ("EIO", 1), ("EINTR", 3), ("EDQUOT", 3), ("EROFS", 3)];

/// A world with the bundles, in which jobs find their templates.
pub(crate) struct Hosts {
    pub(crate) world: TestWorld,
}

impl Hosts {
    pub(crate) fn new() -> Self {
        let world = TestWorld::new();
        for serial in [1, 2, 3, 9] {
            world.bundle(&format!("fleet-{serial}.stapb"), &fleet(serial));
        }
        let other = Bundle { scripts: vec!["counter", "ticker"], red: Vec::new(), define: 4, ..fleet(4) };
        world.bundle("fleet-4.stapb", &other);
        assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
        // Two chains, the second one with one more root.
        world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
        world.chmod("farm.key", 0o600);
        let lines = [
            "trust root create --key farm.pub -o roots-2.stapr",
            "trust root sign roots-2.stapr --key farm.key",
            "trust root add-key roots-2.stapr --key stranger.pub",
            "trust root sign roots-2.stapr --key farm.key",
        ];
        for (number, line) in lines.into_iter().enumerate() {
            let said = world.run(line);
            assert_eq!(said.exit, Some(0), "{said}");
            if number == 1 {
                fs::copy(world.path("roots-2.stapr"), world.path("roots-1.stapr")).unwrap();
            }
        }
        Self { world }
    }

    /// The host on which the job begins.
    fn template(&self, job: &Job) -> PathBuf {
        let host = format!("template-{}", job.name);
        let template = self.world.path(&host);
        copy(&self.world.path("host"), &template);
        for line in job.before {
            let said = self.world.run(&format!("--root {host} {line}"));
            assert_eq!(said.exit, Some(0), "{said}");
        }
        (job.prepare)(&template);
        template
    }

    /// The command of a job on a host, under strace.
    pub(crate) fn traced(&self, host: &str, line: &str, strace: &[String]) -> Command {
        let program = self.world.command("");
        let mut command = Command::new("strace");
        command.arg("-f").arg("-qq").args(strace).arg("--").arg(program.get_program());
        command.args(["--quiet", "--root", host]).args(line.split_whitespace());
        command.current_dir(self.world.work()).stdin(Stdio::null());
        command
    }

    /// All calls of the job from its first look at bundle or host on.
    fn points(&self, job: &Job) -> Vec<Point> {
        let host = format!("traced-{}", job.name);
        copy(&self.template(job), &self.world.path(&host));
        let log = self.world.path(&format!("{}.strace", job.name));
        let output = self
            .traced(&host, job.line, &written_to(&log))
            .output()
            .unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"));
        assert!(output.status.success(), "{}: {}", job.name, String::from_utf8_lossy(&output.stderr));
        let log = fs::read_to_string(log).unwrap();
        let found = points(&log, |rest| rest.contains(".stapb\"") || rest.contains(&host), |_| false);
        assert!(found.len() > job.least_calls, "{}: {} calls", job.name, found.len());
        found
    }

    /// Does the job with `injected` at `point`; the exit code, `None` for a killed one, and what it said.
    fn try_at(&self, job: &Job, point: &Point, injected: &str, host: &str) -> (Option<i32>, String) {
        let path = self.world.path(host);
        copy(&self.world.path(&format!("template-{}", job.name)), &path);
        let strace = point.injecting(injected);
        let output = self.traced(host, job.line, &strace).output().unwrap();
        // What `fsck` finds is a result.
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// What must hold whatever was done to the job.
    fn check(&self, job: &Job, host: &str, what: &str) {
        let path = self.world.path(host);
        // What the disk doesn't give isn't proven: it is left out with a word.
        if !what.contains("warning:") {
            stock_view::check(&self.world, job, &path, &|| current_serial(&path, what), what);
        }
        if let Some(other) = &job.other {
            let state = (other.see)(&path);
            assert!(other.may_be.contains(&state.as_str()), "{what}: {state}");
            // Done again it ends as if nothing had been.
            if state == other.may_be[0] {
                let again = self.world.run(&format!("--quiet --root {host} {}", job.line));
                assert_eq!(again.exit, Some(0), "{what}: {again}");
            }
            assert_eq!((other.see)(&path), other.may_be[1], "{what}");
        }
        let serial = current_serial(&path, what);
        assert!(job.serials.contains(&serial), "{what}: serial {serial} is current");
        let most = if serial == job.serials[1] { job.floor_before.max(serial) } else { job.floor_before };
        for floor in floors(&path) {
            assert!(floor <= most, "{what}: the floor is {floor}, installed was {most} at most");
        }
        let next = self.world.run(&format!("--quiet --root {host} install fleet-9.stapb"));
        assert_eq!(next.exit, Some(0), "{what}: {next}");
        assert_eq!(current_serial(&path, what), 9, "{what}");
        assert!(problems(&path).is_empty(), "{what}: {:?}", problems(&path));
        let state = path.join("var/lib/stap-bundle");
        for directory in [state.clone(), state.join("generations"), state.join("state")] {
            for entry in fs::read_dir(directory).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.starts_with('.'), "{what}: {name} is left over");
            }
        }
        let chains = state.join("state/roots/default");
        let [one, other] = ["chain.stapr", "chain.stapr.copy"].map(|copy| fs::read(chains.join(copy)).ok());
        assert!(one == other, "{what}: the copies of the chain differ");
        fs::remove_dir_all(&path).unwrap();
    }
}

/// Copies a tree with its links, hard ones too.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg("--").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

fn problems(path: &Path) -> Vec<FsckProblem> {
    fsck(&FileSystem::open(path).unwrap(), None, None).unwrap().map_or(Vec::new(), |report| report.problems)
}

/// The serial that is current; 0 if nothing is. It must be whole. Of two copies one may be behind: the next install mends it.
fn current_serial(path: &Path, what: &str) -> u64 {
    let host = FileSystem::open(path).unwrap();
    let current = CurrentGeneration::open(&host).unwrap_or_else(|error| panic!("{what}: {error}"));
    let Some(current) = current else { return 0 };
    assert!(current.refused_bundles().is_empty(), "{what}: {:?}", current.refused_bundles());
    let mut problems = problems(path);
    problems.retain(|problem| problem.mending != Mending::FromOtherCopy);
    assert!(problems.is_empty(), "{what}: {problems:?}");
    current.bundles().first().map_or(0, |bundle| bundle.serial)
}

/// The serials in both copies of the floors.
fn floors(path: &Path) -> Vec<u64> {
    let read = |copy: &&str| {
        let text = fs::read_to_string(path.join("var/lib/stap-bundle/state").join(copy)).ok()?;
        let (_, json) = text.split_once('\n').unwrap();
        let floors: serde_json::Value = serde_json::from_str(json).unwrap();
        floors["floors"]["fleet"]["serial"].as_u64()
    };
    ["floors", "floors.copy"].iter().filter_map(read).collect()
}

#[test]
fn e1_a_kill_at_any_system_call_leaves_the_old_generation_or_the_new_one() {
    let hosts = Hosts::new();
    let mut tried = 0;
    for job in &JOBS {
        let mut points = hosts.points(job);
        points.retain(Point::may_change_the_disk);
        // They are a tenth of all.
        tried += for_each(&points, stride().div_ceil(8), &|point, number| {
            let host = format!("killed-{}-{number}", job.name);
            let (code, said) = hosts.try_at(job, point, "signal=KILL", &host);
            let what = format!("{} killed at {point:?}", job.name);
            assert!(code.is_none() || !point.is_sure(), "{what}: exit {code:?}: {said}");
            hosts.check(job, &host, &what);
        });
    }
    assert!(tried > 70, "{tried} points");
}

#[test]
fn e2_an_error_of_any_system_call_loses_nothing_and_has_an_exit_code() {
    let hosts = Hosts::new();
    let wrong = Mutex::new(Vec::new());
    for job in &JOBS {
        let mut points = hosts.points(job);
        points.retain(Point::is_sure);
        for (error, rarer) in ERRORS {
            let every = if stride() == 1 { 1 } else { stride() * rarer };
            for_each(&points, every, &|point, number| {
                let host = format!("{error}-{}-{number}", job.name);
                let (code, said) = hosts.try_at(job, point, &format!("error={error}"), &host);
                let what = format!("{}: {error} at {point:?}, exit {code:?}: {said}", job.name);
                assert!(!said.contains("panicked"), "{what}");
                let code = code.unwrap_or_else(|| panic!("{what}"));
                if !is_right(job, code, &said) {
                    wrong.lock().unwrap().push(what.clone());
                }
                hosts.check(job, &host, &what);
            });
        }
    }
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong exit codes:\n{}", wrong.len(), wrong.join("\n"));
}

/// Success, if the call didn't matter; else that of storage. Of what comes in, what can't be read can't be
/// believed or called whole either, so 10 and 11 are right too where the message says which error it was. A rollback
/// tells the two apart: what can't be read today may be good tomorrow.
fn is_right(job: &Job, code: i32, said: &str) -> bool {
    const ERRNOS: [&str; 5] = [
        "No space left on device",
        "Input/output error",
        "Interrupted system call",
        "Disk quota exceeded",
        "Read-only file system",
    ];
    match code {
        0 | 14 => true,
        10 | 11 if job.name != "rollback" => ERRNOS.iter().any(|errno| said.contains(errno)),
        _ => false,
    }
}

/// What a host is asked to do, one after the other, and how that ends; `HOST` is its name. What a running kernel is needed for
/// is done in the virtual machines, which have no network at all.
pub(crate) const HOST_COMMANDS: [(&str, i32); 40] = [
    ("trust list", 0),
    ("trust show", 0),
    ("trust add farm.pub", 0),
    ("trust remove zz", 1),
    ("install --dry-run fleet-1.stapb", 0),
    ("install fleet-1.stapb", 0),
    ("install fleet-1.stapb", 0),
    ("install fleet-2.stapb", 0),
    ("install fleet-1.stapb", 13),
    ("split fleet-3.stapb --size 8K -o parts-HOST", 0),
    ("install fleet-3.stapb --kernel 6.13.0-test", 16),
    ("install fleet-3.stapb --kernel 6.13.0-test --allow-removal", 0),
    ("list", 0),
    ("history", 0),
    ("history --json", 0),
    ("status", 3),
    ("status --json", 3),
    ("boot-guard show", 0),
    ("rollback", 0),
    ("fsck", 0),
    ("fsck --repair fleet-2.stapb", 0),
    ("pin 1", 0),
    ("pin 1 --remove", 0),
    ("mask latency later", 0),
    ("unmask latency", 0),
    ("cleanup -y -r 6.12.1-test", 0),
    ("gc --keep 1", 0),
    ("verify fleet-1.stapb --key farm.pub", 0),
    ("verify --deep fleet-1.stapb --key farm.pub", 0),
    ("inspect fleet-1.stapb", 0),
    ("inspect fleet-1.stapb --json", 0),
    ("diff fleet-1.stapb fleet-2.stapb", 0),
    ("diff --installed fleet-2.stapb", 0),
    ("extract fleet-1.stapb out-HOST --key farm.pub", 0),
    ("subset fleet-1.stapb --kernel 6.12.1-test --key farm.pub -o subset-HOST.stapb", 0),
    ("join absent.001 -o joined-HOST", 14),
    ("completions bash", 0),
    ("trust list --json", 0),
    ("uninstall fleet", 0),
    ("list --json", 0),
];

/// The command in a network of its own, in which there is no interface but a loopback that is down.
fn without_network(command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        outer.arg("--map-current-user");
    }
    outer.args(["--net", "--"]).arg(command.get_program()).args(command.get_args());
    outer.stdin(Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        outer.current_dir(directory);
    }
    outer
}

#[test]
fn g1_no_command_of_a_host_needs_a_network_or_a_socket() {
    let mut interfaces = Command::new("cat");
    interfaces.arg("/proc/net/dev");
    let seen = without_network(&interfaces).output().unwrap();
    let seen = String::from_utf8(seen.stdout).unwrap();
    let named: Vec<&str> =
        seen.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    assert_eq!(named, ["lo"], "unshare --net: {seen}");
    let hosts = Hosts::new();
    for host in ["host-a7", "host-b7"] {
        copy(&hosts.world.path("host"), &hosts.world.path(host));
    }
    // Neither a network nor a socket of any kind: what a container's filter of system calls denies.
    let denied =
        ["-o", "/dev/null", "-e", "trace=%network", "-e", "inject=%network:error=EACCES"].map(str::to_owned);
    let run = |host: &str, line: &str, strace: Option<&[String]>| {
        let line = line.replace("HOST", host);
        let output = match strace {
            Some(strace) => without_network(&hosts.traced(host, &line, strace)).output().unwrap(),
            None => hosts.traced(host, &line, &["-o", "/dev/null"].map(str::to_owned)).output().unwrap(),
        };
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).replace(host, "HOST"));
        (output.status.code(), text)
    };
    for (line, code) in HOST_COMMANDS {
        let open = run("host-a7", line, None);
        assert_eq!(open.0, Some(code), "{line}: {open:?}");
        let closed = run("host-b7", line, Some(&denied));
        assert_eq!(closed, open, "{line}");
    }
}

/// The figure is in `docs/design/measurements.md`; this is why it is small.
#[test]
fn a_rollback_reads_no_module_and_no_frame() {
    let hosts = Hosts::new();
    let job = JOBS.iter().find(|job| job.name == "rollback").unwrap();
    hosts.template(job);
    let log = hosts.world.path("rollback.strace");
    let strace = ["-y", "-e", "trace=read,pread64,openat", "-o", log.to_str().unwrap()].map(str::to_owned);
    let output = hosts.traced("template-rollback", job.line, &strace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(log).unwrap();
    assert!(!text.lines().any(|line| line.contains("openat(") && line.contains(".ko\"")), "{text}");
    let of_bundles = text.lines().filter(|line| line.contains("read(") && line.contains("/bundle.stapb>"));
    let read: u64 = of_bundles.map(|line| line.rsplit("= ").next().unwrap().parse::<u64>().unwrap()).sum();
    let bundle =
        bundle_format::RawBundle::read(fs::File::open(hosts.world.path("fleet-1.stapb")).unwrap()).unwrap();
    // Headers and contents of the four members before the frames, of as many bundles as there are generations, and of the
    // target once more.
    let head = 4 * 512 + 512 + 2048 + (bundle.manifest_len() as u64).next_multiple_of(512);
    assert!(read > 0 && read <= 4 * head, "{read} bytes, {head} a bundle");
}
