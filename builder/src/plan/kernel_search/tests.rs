use std::fs;
use std::time::Duration;

use fixtures::package::{Member, deb};

use super::*;
use crate::kernels::PackageChecks;
use crate::plan::BuildRequest;
use crate::state::BuildDirectories;
use crate::testing::fake_sysroot;

fn find(
    releases: &[&str],
    sysroots: &[&Path],
    change: impl FnOnce(&mut BuildRequest),
) -> (Vec<FoundTree>, Vec<String>) {
    let mut request = BuildRequest::new(BuildDirectories::beneath(Path::new("/nowhere")));
    request.releases = releases.iter().map(|release| (*release).to_owned()).collect();
    change(&mut request);
    let sysroots: Vec<_> = sysroots.iter().map(|path| Arc::new(Sysroot::open(path).unwrap())).collect();
    let mut problems = Vec::new();
    let found = find_trees(&request.kernels(), &sysroots, &mut problems, &mut Vec::new());
    (found, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn all_build_trees_are_found_each_once() {
    let one = fake_sysroot(&["1.0", "2.0"]);
    let two = fake_sysroot(&["10.0"]);
    std::fs::create_dir_all(one.path().join("usr/lib/modules/3.0-no-headers")).unwrap();
    let (found, problems) = find(&["2.0"], &[one.path(), two.path()], |request| request.all_kernels = true);
    let found: Vec<_> = found.iter().map(|tree| (tree.release.as_str(), tree.sysroot)).collect();
    assert_eq!((found, problems), (vec![("1.0", 0), ("2.0", 0), ("10.0", 1)], vec![]));
}

#[test]
fn a_build_link_to_nothing_is_named() {
    let root = fake_sysroot(&["1.0"]);
    let modules = root.path().join("usr/lib/modules/2.0");
    std::fs::create_dir_all(&modules).unwrap();
    std::os::unix::fs::symlink("../../../src/gone", modules.join("build")).unwrap();
    let (_, problems) = find(&["2.0"], &[root.path()], |_| ());
    assert!(
        problems[0]
            .contains("/2.0/build (a link to ../../../src/gone, which isn't there), but 1.0; install "),
        "{problems:?}"
    );
    let mut request = BuildRequest::new(BuildDirectories::beneath(Path::new("/nowhere")));
    request.all_kernels = true;
    let sysroots = [Arc::new(Sysroot::open(root.path()).unwrap())];
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let found = find_trees(&request.kernels(), &sysroots, &mut problems, &mut warnings);
    assert_eq!((found.len(), problems.len()), (1, 0));
    assert!(
        warnings[0].starts_with("kernel 2.0 is left out: no ") && warnings[0].contains("src/gone"),
        "{warnings:?}"
    );
}

#[test]
fn a_pin_decides_between_two_sysroots() {
    let one = fake_sysroot(&["1.0"]);
    let two = fake_sysroot(&["1.0"]);
    let pin = |request: &mut BuildRequest| request.pins = vec![("1.0".to_owned(), two.path().to_owned())];
    let (found, problems) = find(&["1.0"], &[one.path(), two.path()], pin);
    assert_eq!((found[0].sysroot, problems.len()), (1, 0));
    let (_, problems) = find(&["1.0"], &[one.path()], pin);
    assert!(problems[0].starts_with("--pin 1.0="), "{problems:?}");
}

#[test]
fn a_path_names_the_tree_and_its_own_release() {
    let root = fake_sysroot(&["1.0"]);
    let tree = root.path().join("usr/src/linux-headers-1.0");
    let (found, problems) = find(&[tree.to_str().unwrap()], &[root.path()], |_| ());
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(found[0].tree, Path::new("/usr/src/linux-headers-1.0"));
    assert!(found[0].by_path && found[0].overlay.is_empty());
    // Another sysroot compiles for a tree that it hasn't got.
    let other = fake_sysroot(&[]);
    let (found, _) = find(&[tree.to_str().unwrap()], &[other.path()], |_| ());
    assert_eq!(found[0].tree, tree.canonicalize().unwrap());
    assert!(!found[0].overlay.is_empty());
    let (_, problems) = find(&["/usr/share"], &[other.path()], |_| ());
    assert!(problems[0].starts_with("`-r /usr/share`"), "{problems:?}");
    // Nothing decides which of two compiles for it.
    let (_, problems) = find(&[tree.to_str().unwrap()], &[other.path(), fake_sysroot(&[]).path()], |_| ());
    assert!(problems[0].contains("--pin 1.0="), "{problems:?}");
}

/// A store with the headers of kernel 6.1.0-50-amd64, which call this compiler.
fn store(directory: &Path, compiler: &str) -> KernelStore {
    let tree = "./usr/src/linux-headers-6.1.0-50-amd64";
    let variables = format!("override CC = {compiler}\n");
    let variables_at = format!("{tree}/.kernelvariables");
    let [utsrelease_at, compile_at] =
        ["utsrelease", "compile"].map(|name| format!("{tree}/include/generated/{name}.h"));
    let members: [Member<'_>; 3] = [
        (&variables_at, 'f', variables.as_bytes()),
        (&compile_at, 'f', b"#define UTS_MACHINE \"x86_64\"\n"),
        (&utsrelease_at, 'f', b"#define UTS_RELEASE \"6.1.0-50-amd64\"\n"),
    ];
    let package = directory.join("headers.deb");
    fs::write(&package, deb("linux-headers-6.1.0-50-amd64", "1", &members)).unwrap();
    let store = KernelStore::at(directory.join("store"));
    store.add(&[package], &PackageChecks::default(), Duration::ZERO, &mut |_| ()).unwrap();
    store
}

#[test]
fn a_stored_kernel_is_laid_over_the_first_sysroot_that_has_its_compiler() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path(), "gcc-12");
    let roots = [fake_sysroot(&["1.0"]), fake_sysroot(&[]), fake_sysroot(&[])];
    for root in &roots[1..] {
        fs::write(root.path().join("usr/bin/gcc-12"), "").unwrap();
    }
    let sysroots: Vec<_> = roots.iter().map(|root| Arc::new(Sysroot::open(root.path()).unwrap())).collect();
    let find = |releases: &[&str], all_kernels: bool, pins: &[(String, PathBuf)]| {
        let releases: Vec<String> = releases.iter().map(|release| (*release).to_owned()).collect();
        let compilers = BTreeMap::new();
        let wanted = KernelsWanted {
            releases: &releases,
            all_kernels,
            pins,
            compilers: &compilers,
            store: store.clone(),
        };
        let mut problems = Vec::new();
        let found = find_trees(&wanted, &sysroots, &mut problems, &mut Vec::new());
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
        found
    };
    let found = find(&["6.1.0-50-amd64"], false, &[]);
    assert_eq!(found[0].sysroot, 1);
    assert_eq!(found[0].tree, Path::new("/usr/src/linux-headers-6.1.0-50-amd64"));
    assert_eq!(found[0].packages[0].name, "linux-headers-6.1.0-50-amd64");
    let root = sysroots[1].under(&found[0].overlay);
    let utsrelease = found[0].tree.join("include/generated/utsrelease.h");
    assert!(root.read(&utsrelease).unwrap().contains("6.1.0-50-amd64"));
    assert!(sysroots[1].read(&utsrelease).is_err());
    let pin = [("6.1.0-50-amd64".to_owned(), roots[2].path().to_owned())];
    assert_eq!(find(&["6.1.0-50-amd64"], false, &pin)[0].sysroot, 2);
    let all: Vec<_> = find(&[], true, &[]).iter().map(|tree| tree.release.to_string()).collect();
    assert_eq!(all, ["1.0", "6.1.0-50-amd64"]);
}
