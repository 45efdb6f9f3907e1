use std::fs;

use super::*;
use crate::testing::{fake_sysroot, fake_work};

const FILE: &str = "/usr/src/kernels/5.14.0-427.el9.x86_64/Makefile";

/// One a line.
fn owners(output: &str) -> Option<String> {
    let shown = |package: Package| {
        format!("{} {} {}\n", package.name, package.version, package.architecture.unwrap())
    };
    Some(owners_in(output, FILE)?.into_iter().map(shown).collect())
}

#[test]
fn every_owner_is_named_once_with_its_epoch() {
    let line = "kernel-devel\t(none)\t5.14.0\t427.el9\tx86_64\n";
    let devel = "kernel-devel 5.14.0-427.el9 x86_64\n";
    assert_eq!(owners(line).unwrap(), devel);
    let several =
        format!("{line}kernel-rt-devel\t2\t5.14.0\t447.el9+rt\tx86_64\n{line}other\t0\t1\t2\tnoarch\n");
    let others = "kernel-rt-devel 2:5.14.0-447.el9+rt x86_64\nother 1-2 noarch\n";
    assert_eq!(owners(&several).unwrap(), format!("{devel}{others}"));
    let warned = format!("warning: Found bdb Packages database while attempting sqlite backend\n{line}");
    assert_eq!(owners(&warned).unwrap(), devel);
}

#[test]
fn a_file_of_no_package_has_no_owner() {
    let unowned = format!("file {FILE} is not owned by any package\n");
    assert_eq!(owners(&unowned).unwrap(), "");
    assert_eq!(owners(&format!("warning: some\n{unowned}")).unwrap(), "");
    assert_eq!(owners(&format!("error: file {FILE}: No such file or directory\n")).unwrap(), "");
}

/// As rpm 4.18 fails where it can't open the database.
#[test]
fn a_database_that_cannot_be_opened_is_no_database_without_owners() {
    let unowned = format!("file {FILE} is not owned by any package\n");
    let failed = "error: cannot open Packages index using sqlite - No such file or directory (2)\n\
                  error: cannot open Packages database in /rpmdb\n";
    for output in [
        format!("{failed}{unowned}"),
        format!("{failed}error: file {FILE}: No such file or directory\n"),
        String::new(),
        "warning: some\n".to_owned(),
        "file /etc/passwd is not owned by any package\n".to_owned(),
        "bwrap: execvp /usr/bin/rpm: No such file or directory\n".to_owned(),
        "kernel-devel\t(none)\t5.14.0\t427.el9\n".to_owned(),
        "kernel-devel\tx\t5.14.0\t427.el9\tx86_64\n".to_owned(),
        "kernel-devel\t(none)\t5.14.0\t\tx86_64\n".to_owned(),
        "kernel-devel\t(none)\t5.14.0\t427 el9\tx86_64\n".to_owned(),
        "gpg-pubkey\t(none)\td651ff2e\t5dadbbc1\t(none)\n".to_owned(),
        "\u{fffd}\u{fffd}\t\t\t\t\n".to_owned(),
    ] {
        assert_eq!(owners(&output), None, "{output}");
    }
}

fn sysroot_with(files: &[&str]) -> (tempfile::TempDir, Sysroot) {
    let root = fake_sysroot(&["1.0"]);
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    let sysroot = Sysroot::open(root.path()).unwrap();
    (root, sysroot)
}

#[test]
fn the_copy_has_the_data_and_what_sqlite_needs_beside_it() {
    let (_root, sysroot) = sysroot_with(&[
        "var/lib/rpm/rpmdb.sqlite",
        "var/lib/rpm/rpmdb.sqlite-shm",
        "var/lib/rpm/.rpm.lock",
        "var/lib/rpm/__db.001",
    ]);
    let (_base, work) = fake_work();
    assert!(Database::all(&sysroot)[0].copy_to(&work, &sysroot));
    let names = fs::read_dir(work.path().join(COPY)).unwrap();
    let mut sizes: Vec<(String, u64)> = names
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .collect();
    sizes.sort();
    let expected = [("rpmdb.sqlite", 24), ("rpmdb.sqlite-shm", 0), ("rpmdb.sqlite-wal", 0)];
    assert_eq!(sizes, expected.map(|(name, size)| (name.to_owned(), size)));
}

#[test]
fn databases_are_found_where_distributions_have_them_and_each_once() {
    let files = ["usr/lib/sysimage/rpm/rpmdb.sqlite", "root/.rpmdb/Packages.db"];
    let (root, sysroot) = sysroot_with(&files);
    fs::create_dir_all(root.path().join("var/lib")).unwrap();
    std::os::unix::fs::symlink("../../usr/lib/sysimage/rpm", root.path().join("var/lib/rpm")).unwrap();
    let found = |sysroot: &Sysroot| -> Vec<PathBuf> {
        Database::all(sysroot).into_iter().flat_map(|database| database.files).collect()
    };
    assert_eq!(found(&sysroot), files.map(|file| Path::new("/").join(file)));
    assert_eq!(found(&sysroot_with(&["var/lib/rpm/Packages"]).1), [Path::new("/var/lib/rpm/Packages")]);
    assert!(found(&sysroot_with(&["var/lib/rpm/other"]).1).is_empty());
}

/// The sandbox is a shell here, which refuses its arguments.
#[test]
fn that_no_rpm_could_read_a_database_is_known_and_remembered() {
    let (_root, sysroot) = sysroot_with(&["var/lib/rpm/rpmdb.sqlite", "usr/bin/rpm"]);
    let base = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::without_user_change();
    let directories = BuildDirectories::beneath(base.path());
    directories.prepare(&sandbox).unwrap();
    let tree = Path::new("/usr/src/linux-headers-1.0");
    let ask = || {
        let mut databases = RpmDatabases::new(&sandbox, &directories);
        let owners = databases.owners_of(tree, &sysroot, Some(Digest::of(b"toolchain")));
        (owners, databases.copies.len())
    };
    assert_eq!(ask(), (None, 1));
    assert_eq!(ask(), (None, 0), "it was asked again");
    fs::write(sysroot.path().join("var/lib/rpm/rpmdb.sqlite"), "another").unwrap();
    assert_eq!(ask(), (None, 1));
    let (_root, without) = sysroot_with(&[]);
    let mut databases = RpmDatabases::new(&sandbox, &directories);
    assert_eq!(databases.owners_of(tree, &without, None), Some(Vec::new()));
}
