//! The builder with the real `stap`, in the lab that `tests/lab/lab.sh make` makes. `STAP_BUNDLE_LAB` is its path.

#![cfg(feature = "lab-tests")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
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
    assert!(reason.starts_with("semantic error:"), "{reason}");
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

/// Command lines of all processes.
fn processes() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
}
