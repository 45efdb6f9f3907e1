//! A build of an ordinary user with real `stap`: while it compiles, no private key is in its memory, and no other process of that user
//! can look there. That bubblewrap makes its user namespace all the same is shown by the bundle.
#![cfg(feature = "lab")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Command, Stdio};

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use fixtures::memory::{forms_of_key, holds};

const NOBODY: u32 = 65534;

fn as_nobody(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program);
    command.current_dir(directory).env_clear().env("HOME", directory).env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn a_build_holds_no_key_while_it_compiles_and_its_user_can_not_look_into_it() {
    let lab = Lab::open().unwrap();
    let base = Farm::cache(&lab).unwrap().parent().unwrap().join("private-key");
    let farm = Farm::new(&base).unwrap();
    let here = farm.directory();
    let program = farm.path("program");
    fs::copy(programs::farm().unwrap(), &program).unwrap();
    for path in [here, &farm.path("config")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let made = as_nobody(&program, here).args(["key", "generate", "--out", "farm"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let release = lab.bootable("stable").unwrap().release.clone();
    let sysroot = lab.root().display().to_string();
    let mut build = as_nobody(&program, here)
        .args(["build", "-r", &release, "--sysroot", &sysroot, "-c", "config", "--cache", "cache"])
        .args(["--key", "farm.key", "-o", "out.stapb", "--progress", "json", "heartbeat"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = build.id();
    let mut said = Vec::new();
    let mut looked = 0;
    for line in BufReader::new(build.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        // The leader has begun; the compile has begun. What comes later may be said by a process that has ended.
        if ["\"warm-up-started\"", "\"job-started\""].iter().any(|event| line.contains(event)) {
            looked += 1;
            for key in ["farm.key", "cache/build/builder.key"] {
                let forms = forms_of_key(&fs::read_to_string(farm.path(key)).unwrap()).unwrap();
                assert!(!holds(pid, &forms).unwrap(), "{key} is in memory at: {line}");
            }
            let memory = format!("if=/proc/{pid}/mem");
            let read = as_nobody(Path::new("dd"), here).args([&memory, "count=0"]).output().unwrap();
            let refused = String::from_utf8_lossy(&read.stderr).into_owned();
            assert!(!read.status.success() && refused.contains("Permission denied"), "{refused}");
        }
        said.push(line);
    }
    let ended = build.wait().unwrap();
    assert!(ended.success() && looked >= 2, "{looked} looks: {}", said.join("\n"));
    programs::run_expecting(&program, here, &["verify", "out.stapb", "--key", "farm.pub"], &[0]).unwrap();
    fs::remove_dir_all(&base).unwrap();
}
