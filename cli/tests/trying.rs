//! What `make try` shows.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Any user but root.
const NOBODY: u32 = 65534;

#[test]
fn a_user_without_root_tries_a_bundle_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // Where they are, another user may not come.
    let place = |from: &Path, name: &str| fs::copy(from, directory.path().join(name)).unwrap();
    place(Path::new(env!("CARGO_BIN_EXE_stap-bundle")), "stap-bundle");
    let try_it = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/try");
    for entry in fs::read_dir(try_it).unwrap() {
        let path = entry.unwrap().path();
        place(&path, path.file_name().unwrap().to_str().unwrap());
    }
    let scratch = directory.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(directory.path().join("try.sh"));
    command.arg(directory.path().join("stap-bundle")).env("TMPDIR", &scratch).env("HOME", "/nonexistent");
    if rustix::process::getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "verified: try 1.2",
        "was changed after signing",
        "older than serial 2",
        "rolled back: from generation 2 to 1",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}
