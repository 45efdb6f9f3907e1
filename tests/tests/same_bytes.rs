//! The same inputs give the same bytes, whoever builds, where and when (`docs/bundle-spec.md`, "Determinism").
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// A user that owns nothing on any machine, and isn't the one that root's jobs run as.
const OTHER_USER: &str = "54321";

fn run(command: &ChildCommand) -> String {
    let shown = command.display();
    let finished = command.run(&Limits::within(Duration::from_secs(900)), &Cancel::new()).unwrap();
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success(), "{shown}\n{said}");
    said
}

fn cp(from: &Path, to: &Path) {
    run(&ChildCommand::new("cp").arg("-rp").arg(from).arg(to).env_from_here("PATH"));
}

/// Compiles one script for one kernel, from empty caches, in `directory`, as `user` (root without one), in `time_zone`.
fn build(lab: &Lab, key: &Path, directory: &Path, user: Option<&str>, time_zone: &str) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    cp(&repository().join("fixtures/scripts"), &directory.join("scripts"));
    cp(&programs::farm().unwrap(), &directory.join("stap-bundle"));
    cp(key, &directory.join("farm.key"));
    let own = directory.display();
    fs::create_dir(directory.join("conf.d")).unwrap();
    fs::write(
        directory.join("config"),
        format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\nLOG_FILE={own}/log\n"),
    )
    .unwrap();
    // The newest input's time is in the manifest.
    let config = directory.join("config");
    run(&ChildCommand::new("touch").args(["-d", "2026-01-02T03:04:05Z"]).arg(&config).env_from_here("PATH"));
    let release = &lab.bootable("stable").unwrap().release;
    let root = lab.root();
    let mut command = ChildCommand::new("setpriv");
    if let Some(user) = user {
        run(&ChildCommand::new("chown").args(["-R", user]).arg(directory).env_from_here("PATH"));
        command = command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    let command = command
        .arg(directory.join("stap-bundle"))
        .args([
            "build",
            "-r",
            release,
            "-c",
            "config",
            "--key",
            "farm.key",
            "-o",
            "out.stapb",
            "--cache",
            "cache",
        ])
        .arg("--sysroot")
        .arg(root)
        .arg("heartbeat")
        .current_dir(directory)
        .env("HOME", directory)
        .env("TZ", time_zone)
        .env_from_here("PATH");
    let said = run(&command);
    assert!(said.contains("compiled"), "{said}");
    directory.join("out.stapb")
}

#[test]
fn two_directories_two_users_and_two_time_zones_give_the_same_bundle() {
    let lab = Lab::open().unwrap();
    let base = Farm::cache(&lab).unwrap().parent().unwrap().join("same-bytes");
    if base.exists() {
        fs::remove_dir_all(&base).unwrap();
    }
    fs::create_dir_all(&base).unwrap();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, &base, &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let key = base.join("farm.key");
    let one = build(&lab, &key, &base.join("one"), None, "UTC");
    let other = build(&lab, &key, &base.join("another/and/deeper"), Some(OTHER_USER), "Asia/Kathmandu");
    let (one, other) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    assert!(!one.is_empty() && one == other, "{} and {} bytes", one.len(), other.len());
    fs::remove_dir_all(&base).unwrap();
}
