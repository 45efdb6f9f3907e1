//! What other users of a host can do to the service: nothing. A second user, for real.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what the tests share may panic as they may")]
#![expect(clippy::print_stdout, reason = "an act in a process of its own reports so")]

mod alone;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::Duration;

use alone::{Place, command, host, name, run, store, with_service};
use service::{RunRecord, ServiceError};

#[test]
#[ignore = "what the others run in processes of their own"]
fn carries_out_one_act() {
    alone::act();
}

/// Words in front of a command that has it run as a user without any right.
fn as_nobody(words: Vec<String>) -> Vec<String> {
    assert!(rustix::process::geteuid().is_root(), "this test needs root, to become another user");
    let front = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned);
    front.into_iter().chain(words).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn mode(place: &Place, path: &str) -> u32 {
    fs::symlink_metadata(place.at(path)).unwrap_or_else(|error| panic!("{path}: {error}")).mode() & 0o7777
}

#[test]
fn no_other_user_can_take_the_lock_of_the_service() {
    let place = Place::new();
    let mut host = host(place.dir.path());
    store(&host, "a", 1);
    let lock = place.at("run/stap-bundle/lock");
    // An older version may have left it open to all.
    fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
    store(&host, "a", 2);
    let flock = format!("flock --nonblock {} true", lock.display());
    let words = as_nobody(words(&flock));
    let taken = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&taken.stderr);
    assert!(!taken.status.success() && said.contains("Permission denied"), "{said}");
    // Root can, and the wait for it has an end and a name.
    let held = std::process::Command::new("flock").arg(&lock).args(["sleep", "60"]).spawn();
    let mut held = held.unwrap();
    host.patience.lock = Duration::from_secs(1);
    std::thread::sleep(Duration::from_millis(500));
    let (record, module) = alone::compiled("a", 3);
    let error = with_service(&host, |service| service.store_local(&record, &module, "Linux").unwrap_err());
    held.kill().unwrap();
    held.wait().unwrap();
    assert!(matches!(&error, ServiceError::Locked(held) if held.holder.is_some()), "{error}");
    assert!(error.to_string().contains("/run/stap-bundle/lock is locked by process "), "{error}");
}

#[test]
fn an_ordinary_user_sees_the_status_while_a_start_is_at_work() {
    let place = Place::new();
    store(&host(place.dir.path()), "a", 1);
    run(&command("start", place.dir.path()));
    let mut held = std::process::Command::new("flock")
        .arg(place.at("run/stap-bundle/lock"))
        .args(["sleep", "60"])
        .spawn()
        .unwrap();
    let said = run(&as_nobody(command("status", place.dir.path())));
    held.kill().unwrap();
    held.wait().unwrap();
    assert!(said.contains(r#""state":"running""#), "{said}");
    assert!(said.contains(r#""warnings":[]"#), "{said}");
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["0", "077"] {
        let place = Place::new();
        for act in ["compile", "start"] {
            let shell = ["sh", "-c", &format!("umask {umask}; exec \"$@\""), "sh"].map(str::to_owned);
            run(&shell.into_iter().chain(command(act, place.dir.path())).collect::<Vec<_>>());
        }
        for directory in [
            "run/stap-bundle",
            "run/stap-bundle/run",
            "var/run/systemtap",
            "var/lib/stap-bundle/local",
            "var/cache/systemtap/6.12.107+deb13-amd64",
        ] {
            assert_eq!(mode(&place, directory), 0o755, "{directory}, umask {umask}");
        }
        for file in [
            "run/stap-bundle/run/a.json",
            "var/run/systemtap/a",
            "var/cache/systemtap/6.12.107+deb13-amd64/a.ko",
            "var/lib/stap-bundle/local/6.12.107+deb13-amd64/a.json",
        ] {
            assert_eq!(mode(&place, file), 0o644, "{file}, umask {umask}");
        }
        assert_eq!(mode(&place, "run/stap-bundle/lock"), 0o600, "umask {umask}");
        assert_eq!(mode(&place, "run/stap-bundle/load"), 0o700, "umask {umask}");
    }
}

#[test]
fn a_record_of_another_user_is_not_believed_and_the_reason_says_what_to_do() {
    let place = Place::new();
    let host = host(place.dir.path());
    store(&host, "a", 1);
    run(&command("start", place.dir.path()));
    let records = place.at("run/stap-bundle/run");
    let genuine = records.join("a.json");
    fs::set_permissions(&records, Permissions::from_mode(0o777)).unwrap();
    let copy = format!("cp {} {}", genuine.display(), records.join("b.json").display());
    run(&as_nobody(words(&copy)));
    let is_an_error = |expected: &str| {
        let report = with_service(&host, |service| service.status(&[].into()).unwrap());
        assert!(report.errors.iter().any(|error| error.what.contains(expected)), "{:?}", report.errors);
    };
    is_an_error("/run/stap-bundle/run can be written by others (mode 0777): chmod go-w ");
    assert_eq!(RunRecord::read(&host, &name("a")).unwrap(), None);
    fs::set_permissions(&records, Permissions::from_mode(0o755)).unwrap();
    is_an_error("/run/stap-bundle/run/b.json belongs to user 65534, not to root: chown root ");
    assert!(RunRecord::read(&host, &name("a")).unwrap().is_some());
}

#[test]
fn a_module_of_another_user_is_not_loaded() {
    let place = Place::new();
    let host = host(place.dir.path());
    store(&host, "a", 1);
    let records = place.at("var/lib/stap-bundle/local/6.12.107+deb13-amd64");
    std::os::unix::fs::chown(records.join("a.json"), Some(65534), None).unwrap();
    let report = with_service(&host, |service| service.status(&[].into()).unwrap());
    let reason = report.scripts[0].reason.as_ref().unwrap();
    assert_eq!(reason.id, "local-unprotected");
    assert!(
        reason.text.contains("a.json belongs to user 65534, not to root: chown root "),
        "{}",
        reason.text
    );
}
