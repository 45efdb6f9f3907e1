//! Packages made here, good and hostile ones; `tests/tests/kernel_packages` has real ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::Digest;
use fixtures::package::{Member, deb, rpm};
use tempfile::TempDir;

use super::unpack::UnpackLimits;
use super::*;

mod signed;

struct World {
    directory: TempDir,
    store: KernelStore,
}

const UTSRELEASE: &[u8] = b"#define UTS_RELEASE \"6.1.0-50-amd64\"\n";
const TREE: &str = "./usr/src/linux-headers-6.1.0-50-amd64";

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = KernelStore::at(directory.path().join("store"));
        Self { directory, store }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn add_checked(&self, files: &[PathBuf], checks: &PackageChecks) -> Result<AddReport, KernelStoreError> {
        let limits = UnpackLimits { ratio: 100, free: 1 << 16, members: 100 };
        self.store.add_within(files, checks, Duration::ZERO, limits, &mut |_| ())
    }

    fn add(&self, files: &[PathBuf]) -> Result<AddReport, KernelStoreError> {
        self.add_checked(files, &PackageChecks::default())
    }

    fn refused(&self, file: &Path) -> String {
        let before = self.names();
        let error = self.add(&[file.to_owned()]).unwrap_err();
        assert_eq!(self.names(), before, "something is left");
        error.to_string().replace(&self.directory.path().display().to_string(), "DIR")
    }

    /// Without what the next command sweeps.
    fn names(&self) -> Vec<PathBuf> {
        super::contents::files_in(self.store.directory())
            .into_iter()
            .filter(|name| name != Path::new(".lock") && !name.to_string_lossy().starts_with(".new-"))
            .collect()
    }

    fn headers(&self, version: &str) -> PathBuf {
        let include = b"include /usr/src/linux-headers-6.1.0-50-common/Makefile\n";
        let utsrelease = format!("{TREE}/include/generated/utsrelease.h");
        let bytes = deb(
            "linux-headers-6.1.0-50-amd64",
            version,
            &[
                ("./", 'd', b""),
                (&format!("{TREE}/"), 'd', b""),
                (&format!("{TREE}/Makefile"), 'f', include),
                (&utsrelease, 'f', UTSRELEASE),
                (&format!("{TREE}/scripts"), 'l', b"../../lib/linux-kbuild-6.1/scripts"),
                ("./lib/modules/6.1.0-50-amd64/build", 'l', b"/usr/src/linux-headers-6.1.0-50-amd64"),
                ("./usr/share/doc/x/copyright", 'f', b"text"),
            ],
        );
        self.file("headers.deb", &bytes)
    }

    fn common(&self) -> PathBuf {
        let tree = "./usr/src/linux-headers-6.1.0-50-common";
        let bytes =
            deb("linux-headers-6.1.0-50-common", "1", &[(&format!("{tree}/Makefile"), 'f', b"all:\n")]);
        self.file("common.deb", &bytes)
    }

    fn kbuild(&self, version: &str) -> PathBuf {
        let bytes = deb(
            "linux-kbuild-6.1",
            version,
            &[("./usr/lib/linux-kbuild-6.1/scripts/sign", 'f', version.as_bytes())],
        );
        self.file(&format!("kbuild-{version}.deb"), &bytes)
    }

    fn kernel(&self) -> StoredKernel {
        self.store.get(&"6.1.0-50-amd64".parse().unwrap()).unwrap().unwrap()
    }
}

#[test]
fn a_kernel_waits_for_its_packages_and_takes_those_of_its_own_version() {
    let world = World::new();
    let report = world.add(&[world.headers("2")]).unwrap();
    let lacks: Vec<_> = report.kernels[0].lacks().iter().map(|path| path.display().to_string()).collect();
    assert_eq!(lacks, ["/usr/lib/linux-kbuild-6.1", "/usr/src/linux-headers-6.1.0-50-common"]);
    let report = world.add(&[world.kbuild("1"), world.kbuild("2"), world.common()]).unwrap();
    assert_eq!(report.kernels[0].lacks(), Vec::<PathBuf>::new());
    let kernel = world.kernel();
    let sign = kernel.root().join("usr/lib/linux-kbuild-6.1/scripts/sign");
    assert_eq!(fs::read_to_string(sign).unwrap(), "2");
    assert!(!kernel.root().join("usr/share").exists());
    let names: Vec<&str> = kernel.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["linux-headers-6.1.0-50-amd64", "linux-headers-6.1.0-50-common", "linux-kbuild-6.1"]);
    // What is there isn't taken again.
    let before = world.names();
    assert!(
        world
            .add(&[world.headers("2"), world.common()])
            .unwrap()
            .packages
            .iter()
            .all(|added| added.was_there)
    );
    assert_eq!(world.names(), before);
    let error = world.add(&[world.headers("3")]).unwrap_err().to_string();
    assert!(
        error.contains("has linux-headers-6.1.0-50-amd64 2, and") && error.contains("of it, 3; "),
        "{error}"
    );
    // A package that another kernel may need stays until the last kernel that has it goes.
    world.store.remove(&kernel.release, Duration::ZERO).unwrap();
    let left: Vec<_> = world.names().iter().map(|name| name.display().to_string()).collect();
    assert!(
        left.iter().all(|name| name.starts_with(".shared/") && name.contains("-linux-kbuild-6.1_1_amd64/")),
        "{left:?}"
    );
    assert!(world.store.remove(&kernel.release, Duration::ZERO).is_err());
}

/// An empty directory brings nothing of what is lacking, and was tried for ever.
#[test]
fn a_shared_package_is_taken_once_and_a_stored_one_is_vouched_for_later() {
    let world = World::new();
    let members: [Member<'_>; 2] =
        [("./usr/lib/linux-kbuild-6.1", 'd', b""), ("./usr/lib/linux-kbuild-5/x", 'f', b"x")];
    let empty = world.file("empty.deb", &deb("linux-kbuild-6.1", "9", &members));
    world.add(&[empty, world.headers("1")]).unwrap();
    assert!(!world.kernel().lacks().is_empty());
    let digest = Digest::of(&fs::read(world.headers("1")).unwrap());
    let list = world.file("SHA256SUMS", format!("{digest}  x\n").as_bytes());
    let checks = PackageChecks::read(&[], &[], &[list]).unwrap();
    let report = world.add_checked(&[world.headers("1")], &checks).unwrap();
    assert_eq!(report.packages[0].package.checked, Checked::DigestList);
    let kernel = world.kernel();
    let headers = kernel.packages.iter().find(|package| package.name.starts_with("linux-headers"));
    assert_eq!(headers.unwrap().checked, Checked::DigestList);
}

#[test]
fn fedoras_packages_get_the_links_that_its_kernel_package_has() {
    let world = World::new();
    let release = "5.14.0-427.el9.x86_64";
    let tree = format!("/usr/src/kernels/{release}");
    let utsrelease = format!("#define UTS_RELEASE \"{release}\"\n");
    let symbols = vec![b'x'; 5000];
    let table = format!("/usr/lib/debug/lib/modules/{release}/System.map");
    let (utsrelease_at, makefile) =
        (format!("{tree}/include/generated/utsrelease.h"), format!("{tree}/Makefile"));
    let devel: [Member<'_>; 3] =
        [(&tree, 'd', b""), (&utsrelease_at, 'f', utsrelease.as_bytes()), (&makefile, 'f', b"x")];
    let devel = world.file("devel.rpm", &rpm("kernel-devel", &devel, |_| None));
    let debuginfo =
        world.file("debuginfo.rpm", &rpm("kernel-debuginfo", &[(&table, 'f', &symbols)], |_| None));
    world.add(&[devel, debuginfo]).unwrap();
    let kernel = world.store.get(&release.parse().unwrap()).unwrap().unwrap();
    let link = |path: String| fs::read_link(kernel.root().join(path)).unwrap().display().to_string();
    assert_eq!(link(format!("usr/lib/modules/{release}/build")), tree);
    assert_eq!(link(format!("usr/lib/debug/boot/System.map-{release}")), table);
    let versions: Vec<&str> = kernel.packages.iter().map(|package| package.version.as_str()).collect();
    assert_eq!(versions, ["5.14.0-427.el9"; 2]);
}

#[test]
fn a_hostile_package_is_refused_and_nothing_is_left() {
    let world = World::new();
    world.add(&[world.headers("1")]).unwrap();
    let zeros = vec![0; 4 << 20];
    let cases: [(&str, &[Member<'_>], &str); 9] = [
        (
            "climbs",
            &[("./usr/src/../../../x", 'f', b"x")],
            "its member ./usr/src/../../../x leads out of the package",
        ),
        ("device", &[("./dev/null", 'c', b"")], "its member ./dev/null is a device"),
        (
            "below",
            &[("./usr/src/a", 'l', b"/etc"), ("./usr/src/a/passwd", 'f', b"x")],
            "its member ./usr/src/a/passwd is below a link",
        ),
        (
            "twice",
            &[("./usr/src/a/b", 'f', b"x"), ("usr/src/a/b", 'f', b"y")],
            "its member usr/src/a/b is there twice",
        ),
        (
            "linked",
            &[("./usr/src/a/b", 'h', b"/etc/shadow")],
            "is a hard link to /etc/shadow, which doesn't come before it",
        ),
        (
            "linked-out",
            &[("./usr/src/a/b", 'h', b"../../etc/shadow")],
            "its member ../../etc/shadow leads out of the package",
        ),
        ("bomb", &[("./usr/src/a/b", 'f', &zeros)], "unpacked it has more than "),
        ("unkept-bomb", &[("./usr/share/b", 'f', &zeros)], "unpacked it has more than "),
        ("nothing", &[("./usr/share/b", 'f', b"x")], "it has nothing that a compile reads"),
    ];
    for (name, members, expected) in cases {
        let file = world.file(&format!("{name}.deb"), &deb("bad", "1", members));
        let said = world.refused(&file);
        assert!(said.contains(expected), "{name}: {said}");
    }
    let victim = world.directory.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let outside = victim.to_str().unwrap().as_bytes();
    let alias: [Member<'_>; 2] =
        [("./lib/modules/9.1/x", 'l', outside), ("./usr/lib/modules/9.1/x/evil", 'f', b"x")];
    let said = world.refused(&world.file("alias.deb", &deb("bad", "1", &alias)));
    assert!(said.contains("is below a link"), "{said}");
    for place in
        ["usr/lib/modules/9.1", "usr/lib/debug/boot", "usr/lib/debug/.build-id", "lib/modules", "usr/src"]
    {
        let said = world.refused(&world.file("link.deb", &deb("bad", "1", &[(place, 'l', outside)])));
        assert!(said.contains("is a link, where packages of kernels have a directory"), "{place}: {said}");
    }
    let link = world.file("l.deb", &deb("one", "1", &[("usr/src/t", 'l', outside)]));
    let below = world
        .file("b.deb", &deb("two", "1", &[("usr/src/t/evil", 'f', b"x"), ("boot/config-9.1", 'f', b"")]));
    let link_too = world
        .file("m.deb", &deb("three", "1", &[("usr/src/t", 'l', outside), ("boot/vmlinux-9.1", 'f', b"")]));
    world.add(&[link]).unwrap();
    let before = world.names();
    let error = world.add(&[link_too, below]).unwrap_err().to_string();
    assert!(error.contains("both have usr/src/t"), "{error}");
    assert_eq!(world.names(), before);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    let releases: Vec<String> = (0..9).map(|n| format!("boot/config-9.{n}")).collect();
    let releases: Vec<Member<'_>> = releases.iter().map(|path| (path.as_str(), 'f', &b"x"[..])).collect();
    let said = world.refused(&world.file("many.deb", &deb("bad", "1", &releases)));
    assert!(said.contains("it is for 9 kernels"), "{said}");
    let climbs = world.file("c.rpm", &rpm("bad", &[("../x", 'f', b"x")], |_| None));
    assert!(world.refused(&climbs).contains("its member ../x leads out"), "{}", world.refused(&climbs));
    let device = world.file("d.rpm", &rpm("bad", &[("/dev/null", 'c', b"")], |_| None));
    assert!(world.refused(&device).contains("is a device"));
    assert!(world.refused(&world.file("x.deb", b"no package")).contains("neither a .deb nor a .rpm"));
}

#[test]
fn a_package_with_any_byte_changed_or_cut_off_is_refused_or_comes_out_the_same() {
    let content = b"0123456789abcdef".repeat(40);
    let good: [(&str, Vec<u8>); 2] = [
        ("p.deb", deb("linux-image-x-dbg", "1", &[("./usr/lib/debug/lib/modules/1.0/a.ko", 'f', &content)])),
        (
            "p.rpm",
            rpm("kernel-debuginfo", &[("/usr/lib/debug/lib/modules/1.0/a.ko", 'f', &content)], |_| None),
        ),
    ];
    let mut refused = 0;
    for (name, good) in good {
        let flipped = (0..good.len()).step_by(7).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            (format!("{name} with byte {at} changed"), bytes)
        });
        let cut = (0..good.len()).map(|length| (format!("{name} cut to {length}"), good[..length].to_vec()));
        for (what, bytes) in flipped.chain(cut) {
            let world = World::new();
            if world.add(&[world.file(name, &bytes)]).is_err() {
                assert_eq!(world.names(), Vec::<PathBuf>::new(), "{what}: something is left");
                refused += 1;
                continue;
            }
            let kept = world.store.directory().join("1.0/root/usr/lib/debug/lib/modules/1.0/a.ko");
            // A byte of no meaning, such as a time or what fills up an archive, or a name that makes it another kernel's.
            assert!(!kept.exists() || fs::read(kept).unwrap() == content, "{what} came through");
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_list_of_digests_vouches_for_what_is_on_it_and_for_nothing_else() {
    let world = World::new();
    let (headers, common) = (world.headers("1"), world.common());
    let digest = Digest::of(&fs::read(&headers).unwrap());
    let list = world.file("SHA256SUMS", format!("{digest}  anything.deb\n").as_bytes());
    let checks = PackageChecks::read(&[], &[], &[list]).unwrap();
    let report = world.add_checked(&[headers], &checks).unwrap();
    assert_eq!(report.packages[0].package.checked, Checked::DigestList);
    let error = world.add_checked(&[common], &checks).unwrap_err().to_string();
    assert!(error.contains("which is in no index and on no list that was given"), "{error}");
    assert!(PackageChecks::read(&[], &[], &[world.file("empty", b"nothing\n")]).is_err());
}

#[test]
fn what_a_killed_command_left_is_swept_and_a_damaged_record_is_an_error() {
    let world = World::new();
    world.add(&[world.headers("1")]).unwrap();
    fs::create_dir_all(world.store.directory().join(".new-x/root/usr")).unwrap();
    world.add(&[world.common()]).unwrap();
    assert!(!world.store.directory().join(".new-x").exists());
    fs::write(world.store.directory().join("6.1.0-50-amd64/kernel.json"), "{}").unwrap();
    assert!(world.store.all().unwrap_err().to_string().contains("is not understood"));
}
