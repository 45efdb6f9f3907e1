use super::*;
use crate::testing::fake_sysroot;

#[test]
fn the_digest_is_of_the_content_and_not_of_the_place() {
    let digest_in = |root: &Path| {
        let digests = TreeDigests::of_test(&root.join("index"));
        digests.of_tree(&Sysroot::open(root).unwrap(), Path::new("/usr/src")).unwrap()
    };
    let first = fake_sysroot(&["1.0"]);
    let second = fake_sysroot(&["1.0"]);
    assert_eq!(digest_in(first.path()), digest_in(second.path()));
    fs::write(second.path().join("usr/src/linux-headers-1.0/Module.symvers"), "other").unwrap();
    assert_ne!(digest_in(first.path()), digest_in(second.path()));
}

/// What a glance takes for unchanged: all but bytes written into a file in place.
#[test]
fn a_glance_sees_what_came_went_or_was_replaced() {
    let root = fake_sysroot(&["1.0"]);
    let tree = root.path().join("usr/src/linux-headers-1.0");
    let index = tempfile::tempdir().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let look = |check| {
        let digests = TreeDigests::of_test(index.path()).with_check(check);
        digests.of_tree(&Sysroot::open(root.path()).unwrap(), Path::new("/usr/src")).unwrap()
    };
    // Nothing is remembered yet, so that even a glance reads everything.
    let first = look(InputCheck::Directories);
    assert_eq!(first, look(InputCheck::Files));
    fs::write(tree.join("Makefile"), "changed in place").unwrap();
    assert_eq!(look(InputCheck::Directories), first);
    let second = look(InputCheck::Files);
    assert_ne!(second, first);
    fs::write(tree.join("new"), "replaced").unwrap();
    fs::rename(tree.join("new"), tree.join("Makefile")).unwrap();
    let third = look(InputCheck::Directories);
    assert!(third != first && third != second);
    assert_eq!(third, look(InputCheck::Content));
}

/// A dry run said that everything was cached, and the build compiled it all for the new compiler.
#[test]
fn a_glance_at_a_list_of_files_overlooked_a_new_one() {
    let root = fake_sysroot(&[]);
    fs::write(root.path().join("usr/bin/gcc-14"), "another").unwrap();
    let index = tempfile::tempdir().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let look = |files: &[&str]| {
        let digests = TreeDigests::of_test(index.path()).with_check(InputCheck::Directories);
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        digests.of_files(&Sysroot::open(root.path()).unwrap(), Path::new("programs"), &files).unwrap()
    };
    let one = look(&["/usr/bin/stap"]);
    let two = look(&["/usr/bin/gcc-14", "/usr/bin/stap"]);
    assert_ne!(one, two);
    assert_eq!((look(&["/usr/bin/stap"]), look(&["/usr/bin/gcc-14", "/usr/bin/stap"])), (one, two));
}

/// Ctrl-C while trees were read had to wait for the last of them.
#[test]
fn a_cancelled_look_at_trees_went_on_to_the_end() {
    let root = fake_sysroot(&[]);
    let large = root.path().join("usr/share/large");
    fs::create_dir(&large).unwrap();
    fs::File::create(large.join("file")).unwrap().set_len(LARGE + 1).unwrap();
    let index = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    let announced = Mutex::new(Vec::new());
    let reading = |path: &Path, _: usize, bytes: u64| {
        announced.lock().unwrap().push((path.to_owned(), bytes > LARGE));
        cancel.cancel();
    };
    let digests = TreeDigests::of_test(index.path()).cancelled_by(&cancel, &reading);
    let sysroot = Sysroot::open(root.path()).unwrap();
    let error = digests.of_tree(&sysroot, Path::new("/usr/share")).unwrap_err();
    assert_eq!(error.to_string(), "cancelled");
    let top = sysroot.host_path(Path::new("/usr/share")).unwrap();
    assert_eq!(*announced.lock().unwrap(), [(top, true)]);
    assert!(digests.of_tree(&sysroot, Path::new("/usr/bin")).is_err());
}

#[test]
fn a_fresh_tree_is_not_remembered() {
    let root = fake_sysroot(&["1.0"]);
    let index = root.path().join("index");
    let digests = TreeDigests::of_test(&index);
    let sysroot = Sysroot::open(root.path()).unwrap();
    digests.of_tree(&sysroot, Path::new("/usr/src")).unwrap();
    assert_eq!(fs::read_dir(index).unwrap().count(), 0);
}

#[test]
fn a_remembered_digest_is_found_again() {
    let root = tempfile::tempdir().unwrap();
    let digests = TreeDigests::of_test(root.path());
    let by_stat = Digest::of(b"stat");
    let content = Digest::of(b"content");
    assert_eq!(digests.recall(by_stat), None);
    digests.remember(by_stat, content);
    assert_eq!(digests.recall(by_stat), Some(content));
}
