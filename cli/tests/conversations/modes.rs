//! Row A13: whatever modes, owners and extended attributes a farm's files had, what is unpacked has none of it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bundles::fleet;
use crate::world::{PROGRAM, TestWorld};

fn run(world: &TestWorld, program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(world.work()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Names of extended attributes, but for those that a security module gives to every file.
fn attributes(path: &Path) -> Vec<String> {
    let mut buffer = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut buffer[..]).unwrap();
    let names = buffer[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let names = names.map(|name| String::from_utf8_lossy(name).into_owned());
    names.filter(|name| name != "security.selinux" && name != "security.SMACK64").collect()
}

fn modules(below: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(below).into_iter().map(|entry| entry.unwrap().into_path());
    entries.filter(|path| path.is_file() && path.extension().is_some_and(|ext| ext == "ko")).collect()
}

/// Packages, with and without the attributes, whose modules have mode 6777, a user's attribute, and another owner.
fn spoiled_packages(world: &TestWorld) {
    fixtures::user::needs_root();
    assert_eq!(world.run("export fleet.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    fs::create_dir(world.path("tree")).unwrap();
    run(world, "tar", &["-xzf", "packages/stap-scripts-6.12.1-test.tar.gz", "-C", "tree"]);
    let files = modules(&world.path("tree"));
    assert_eq!(files.len(), 2);
    for file in &files {
        std::os::unix::fs::chown(file, Some(1234), Some(1234)).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o6777)).unwrap();
        rustix::fs::setxattr(file, "user.evil", b"1", rustix::fs::XattrFlags::empty()).unwrap();
        assert_eq!(attributes(file), ["user.evil"]);
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o7777, 0o6777);
    }
    let packed =
        ["--xattrs", "--xattrs-include=*", "--format=posix", "-czf", "attributes.tar.gz", "-C", "tree", "."];
    run(world, "tar", &packed);
    run(world, "tar", &["--format=ustar", "-czf", "spoiled.tar.gz", "-C", "tree", "."]);
}

#[test]
fn a13_modes_owners_and_attributes_of_what_was_packed_are_not_unpacked() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    spoiled_packages(&world);
    let said = world.run("import attributes.tar.gz -o spoiled.payload");
    assert!(said.exit == Some(11) && said.stderr.contains("pax header"), "{said}");
    for line in [
        "import spoiled.tar.gz -o spoiled.payload",
        "sign spoiled.payload --key farm.key -o spoiled.stapb",
        "--root host trust add farm.pub",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
    }
    // With no umask: what is right is right by itself.
    for line in ["--root host install spoiled.stapb", "extract spoiled.stapb out --key farm.pub"] {
        let mut command = world.command("");
        let output = Command::new("/bin/sh")
            .args(["-c", "umask 0; exec \"$0\" \"$@\"", PROGRAM])
            .args(line.split_whitespace())
            .env("HOME", world.home(""))
            .current_dir(command.stdin(std::process::Stdio::null()).get_current_dir().unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for place in ["host/var/lib/stap-bundle", "out"] {
        let files = modules(&world.path(place));
        assert!(files.len() >= 2, "{place}: {files:?}");
        for file in files {
            let metadata = fs::metadata(&file).unwrap();
            let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            assert_eq!(metadata.mode() & 0o7777, 0o644, "{}", file.display());
            assert_eq!((metadata.uid(), metadata.gid()), owner, "{}", file.display());
            assert!(attributes(&file).is_empty(), "{}: {:?}", file.display(), attributes(&file));
        }
    }
}
