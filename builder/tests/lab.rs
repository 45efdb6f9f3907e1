//! The builder with the real `stap`, in the lab that `tests/lab/lab.sh make` makes. `STAP_BUNDLE_LAB` is its path.

#![cfg(feature = "lab-tests")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use builder::{
    BuildDirectories, BuildError, BuildEvent, BuildOptions, BuildReport, BuildRequest, BundleIdentity,
    JobOutcome, Plan, ScriptSource, build,
};
use child::Cancel;
use script_config::{ScriptOptions, ScriptUsers};

const GREEN: &str = "global ticks\nprobe timer.s(1) { ticks++; printf(\"%d\\n\", ticks) }\n";
const RED: &str = "probe kernel.no_such_probe { exit() }\n";

/// The lab: where it is, and its first release.
struct Lab {
    root: PathBuf,
    release: String,
}

fn lab() -> Lab {
    let path =
        std::env::var_os("STAP_BUNDLE_LAB").expect("STAP_BUNDLE_LAB isn't set: run tests/lab/lab.sh make");
    let path = PathBuf::from(path);
    let text = fs::read(path.join("lab.json")).expect("the lab has no lab.json");
    let lab: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let release = lab["releases"][0]["release"].as_str().expect("the lab has no release").to_owned();
    Lab { root: path.join("root"), release }
}

/// A cache that the unprivileged user of jobs can get to.
fn cache() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn script(name: &str, text: &str, options: &str) -> ScriptSource {
    let options = ScriptOptions::parse(options, None).unwrap();
    ScriptSource::new(
        name.parse().unwrap(),
        text.as_bytes().to_vec(),
        1_000,
        &options,
        Vec::new(),
        ScriptUsers::Root,
    )
}

fn plan(lab: &Lab, cache: &Path, scripts: Vec<ScriptSource>) -> Plan {
    let request = BuildRequest {
        releases: vec![lab.release.clone()],
        sysroots: vec![lab.root.clone()],
        scripts,
        ..BuildRequest::new(BuildDirectories::beneath(cache))
    };
    Plan::make(&request, &Cancel::new()).unwrap()
}

fn run(plan: &Plan, cancel: &Cancel) -> (Result<BuildReport, BuildError>, Vec<BuildEvent>) {
    let identity = BundleIdentity::called("lab".parse().unwrap());
    let events = Mutex::new(Vec::new());
    let result =
        build(plan, &BuildOptions::new(identity), &|event| events.lock().unwrap().push(event), cancel);
    (result, events.into_inner().unwrap())
}

#[test]
fn lab_real_modules_are_made_once_and_the_same_again() {
    let (lab, cache) = (lab(), cache());
    let scripts = || vec![script("ticks", GREEN, "-DMAXACTION=2000"), script("nothing", RED, "")];
    let first = run(&plan(&lab, cache.path(), scripts()), &Cancel::new()).0.unwrap();
    let outcomes: Vec<_> =
        first.cells.iter().map(|cell| (cell.cell.script.as_str(), &cell.outcome)).collect();
    let [("nothing", JobOutcome::Failed { reason, log, .. }), ("ticks", JobOutcome::Compiled(module))] =
        &outcomes[..]
    else {
        panic!("{outcomes:#?}");
    };
    let words = ["semantic error: probe point mismatch", "script/src/nothing.stp:1:7"];
    assert!(words.iter().all(|words| reason.contains(words)), "{reason}");
    assert!(fs::read_to_string(log).unwrap().contains("Pass 2: analysis failed"));
    assert!(module.info.vermagic.starts_with(&format!("{} ", lab.release)));
    // No srcversion: modpost makes one only for modules with a version, or where the kernel asks for it; Debian's don't.
    assert!(module.info.build_id.is_some(), "{:?}", module.info);
    assert!(first.cells.iter().all(|cell| cell.cpu.is_some()));
    let kernel = &first.draft.kernels[0];
    assert!(
        kernel.uname_v.is_some() && kernel.symvers_sha256.is_some() && kernel.machine.as_str() == "x86_64"
    );
    assert!(first.draft.toolchains[0].stap.starts_with("5."), "{:?}", first.draft.toolchains);

    let (second, events) = run(&plan(&lab, cache.path(), scripts()), &Cancel::new());
    assert!(matches!(events[0], BuildEvent::Begun { cached: 2, jobs: 0, .. }), "{events:?}");
    assert_eq!(format!("{:?}", second.unwrap().draft), format!("{:?}", first.draft));

    // Without the results, but on the warm kernel: the same bytes.
    let bytes = fs::read(&module.path).unwrap();
    g3_nothing_of_this_machine_is_in(&bytes, cache.path());
    fs::remove_dir_all(cache.path().join("artifacts")).unwrap();
    let (third, events) = run(&plan(&lab, cache.path(), scripts()), &Cancel::new());
    assert!(third.unwrap().green() == 1 && fs::read(&module.path).unwrap() == bytes);
    assert!(!events.iter().any(|event| matches!(event, BuildEvent::WarmUpStarted { .. })), "{events:?}");
}

/// Home, user, host and directories of the farm are nobody's business who gets a module.
fn g3_nothing_of_this_machine_is_in(bytes: &[u8], cache: &Path) {
    let variables = ["HOME", "PWD", "HOSTNAME", "LOGNAME", "TMPDIR", "STAP_BUNDLE_LAB", "CARGO_MANIFEST_DIR"];
    let mut secrets: Vec<String> =
        variables.into_iter().filter_map(|name| std::env::var(name).ok()).collect();
    secrets.push(fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned());
    secrets.push(cache.display().to_string());
    // A shorter one stands in any file by chance, or in every one (`/root`, `root`: part of a kernel's own words).
    for secret in secrets.iter().filter(|secret| secret.len() > 5) {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "`{secret}` is in the module");
    }
}

#[test]
fn lab_a_cancelled_build_ends_soon_and_leaves_no_process() {
    let (lab, cache) = (lab(), cache());
    let plan = plan(&lab, cache.path(), vec![script("ticks", GREEN, "")]);
    let cancel = Cancel::new();
    let canceller = {
        let cancel = cancel.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(3));
            cancel.cancel();
            Instant::now()
        })
    };
    let (result, _) = run(&plan, &cancel);
    let ended = Instant::now();
    assert!(matches!(result, Err(BuildError::Cancelled { done: 0, cells: 1 })), "{result:?}");
    let took = ended - canceller.join().unwrap();
    // Two seconds on an idle machine; far below the job's own length on any.
    assert!(took < Duration::from_secs(15), "{took:?}");
    let work = cache.path().join("build/work");
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    assert!(!processes().any(|line| line.contains(&*work.to_string_lossy())));
}

/// A module of these asks for a type of the kernel.
const TYPED: &str = "probe timer.s(1) { printf(\"%s\\n\", task_execname(task_current())) }\n";
const TYPED_TOO: &str = "probe timer.s(2) { printf(\"%s!\\n\", task_execname(task_current())) }\n";

/// All files below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// What stap made of its caches for the lab's kernel.
fn warm_files(cache: &Path) -> Vec<PathBuf> {
    let mut files = files_below(&cache.join("build/warm"));
    files.retain(|path| {
        ["h", "o", "ko"].iter().any(|suffix| path.extension().is_some_and(|is| is == *suffix))
    });
    files
}

fn noted(events: &[BuildEvent]) -> Vec<&str> {
    let mut sentences = Vec::new();
    for event in events {
        if let BuildEvent::Noted { sentence } = event {
            sentences.push(sentence.as_str());
        }
    }
    sentences
}

/// The log of the only cell's compile.
fn log_of(report: &BuildReport) -> String {
    let [cell] = &report.cells[..] else { panic!("{:?}", report.cells) };
    let module = cell.outcome.module().unwrap_or_else(|| panic!("{cell:?}"));
    fs::read_to_string(module.path.with_file_name("log.txt")).unwrap()
}

/// As a user of jobs, tries by all means to change a file and what is around it.
fn attack(user: u32, file: &Path) {
    let script = r#"printf x | dd of="$1" conv=notrunc; chmod 666 "$1"; mv "$1" "$1.moved"; rm -f "$1"; cp /etc/hostname "$1"; ln -sf /etc/hostname "$1"
        cd "$(dirname "$1")" && true > new; mv "$(dirname "$1")" "$(dirname "$1").moved"; true"#;
    let user = user.to_string();
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "/bin/sh", "-c", script, "sh"])
        .arg(file)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn lab_no_job_changes_what_others_read_and_none_makes_it_again() {
    assert!(rustix::process::geteuid().is_root(), "this test must be run as root");
    let (lab, cache) = (lab(), cache());
    let (first, events) =
        run(&plan(&lab, cache.path(), vec![script("typed", TYPED, "-vvv")]), &Cancel::new());
    let first = first.unwrap();
    assert_eq!(noted(&events), [""; 0]);
    let module = first.cells[0].outcome.module().unwrap_or_else(|| panic!("{:?}", first.cells)).clone();
    let bytes = fs::read(&module.path).unwrap();

    // What jobs read is root's, and no user of jobs changes it.
    let files = warm_files(cache.path());
    let names: Vec<&str> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    for prefix in ["stapconf_", "typequery_"] {
        assert_eq!(names.iter().filter(|name| name.starts_with(prefix)).count(), 1, "{names:?}");
    }
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let locks = fs::read_dir("/run/stap-bundle/job-users").unwrap().flatten();
    let mut users: Vec<u32> = locks.map(|lock| lock.file_name().to_str().unwrap().parse().unwrap()).collect();
    assert!(!users.is_empty() && !users.contains(&65534));
    users.extend([65534, fs::metadata(&files[0]).unwrap().uid()].into_iter().filter(|user| *user != 0));
    for user in users {
        for file in &files {
            attack(user, file);
        }
    }
    assert_eq!(warm_files(cache.path()), files);
    let after: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == after, "a user of jobs has changed what other jobs read");

    // Behind the read-only mount, a second job finds all of it: it runs make once, for its own module.
    let typed_too = || vec![script("typed_too", TYPED_TOO, "-vvv")];
    let (second, events) = run(&plan(&lab, cache.path(), typed_too()), &Cancel::new());
    let second = second.unwrap();
    assert!(!events.iter().any(|event| matches!(event, BuildEvent::WarmUpStarted { .. })), "{events:?}");
    assert_eq!(noted(&events), [""; 0]);
    let log = log_of(&second);
    let made: Vec<&str> =
        log.lines().filter(|line| line.starts_with("Running env ") && line.contains(" make ")).collect();
    assert_eq!(made.len(), 1, "{made:#?}");
    assert!(log.contains("Pass 4: using cached"), "{log}");
    assert!(warm_files(cache.path()) == files);

    // What was changed all the same, with its length kept, is seen and made again, and the module is what it was.
    let header = files.iter().find(|file| file.extension().unwrap() == "h").unwrap();
    let text = fs::read_to_string(header).unwrap();
    let define = text.lines().find(|line| line.starts_with("#define STAPCONF_")).unwrap();
    let forged = "asm(\".section .modinfo\");";
    fs::write(header, text.replacen(define, &format!("{forged:<width$}", width = define.len()), 1)).unwrap();
    assert_eq!(fs::metadata(header).unwrap().len(), text.len() as u64);
    fs::remove_dir_all(cache.path().join("artifacts")).unwrap();
    let (third, events) =
        run(&plan(&lab, cache.path(), vec![script("typed", TYPED, "-vvv")]), &Cancel::new());
    third.unwrap();
    assert!(
        noted(&events).iter().any(|sentence| sentence.contains("changed since they were made")),
        "{events:?}"
    );
    assert_eq!(fs::read_to_string(header).unwrap(), text);
    assert!(fs::read(&module.path).unwrap() == bytes);
}

/// Command lines of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
}
