//! `build` and `merge` to their end: a sysroot whose `stap` is a few lines of shell, in the real sandbox (bubblewrap).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use fixtures::module::module_with;
use serde_json::Value;

use crate::schema::check_kind;
use crate::world::TestWorld;

/// Copies the module that is laid ready for a script and a kernel; `broken` doesn't compile.
const STAP: &str = r#"#!/bin/sh
case "$*" in *--version*) echo 'Systemtap translator/driver (version 5.6/0.193, stand-in)'; exit 0;; esac
while [ $# -gt 0 ]; do
    case $1 in -m) name=$2; shift;; -r) release=$2; shift;; esac
    shift
done
mkdir -p "$SYSTEMTAP_DIR/cache/ab"
echo '#define STAPCONF_STAND_IN' > "$SYSTEMTAP_DIR/cache/ab/stapconf_ab12.h"
[ "$name" = broken ] && { echo 'semantic error: no match'; echo 'Pass 2: analysis failed.'; exit 1; }
[ "$name" = stap_bundle_warm_up ] || cp "/usr/share/ready/$name-$release.ko" "$name.ko"
"#;

const RELEASES: [&str; 2] = ["6.12.1-test", "6.12.2-test"];
const SCRIPTS: [&str; 2] = ["counter", "latency"];

/// A world with the scripts, their configuration, and a sysroot for both kernels.
pub(crate) fn world() -> TestWorld {
    let mut world = TestWorld::new();
    world.set("PATH", "/usr/bin:/bin");
    world.set("SOURCE_DATE_EPOCH", "1750000000");
    // The users of jobs pass through.
    fs::set_permissions(world.work().parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    world.config("config", "");
    let broken = ["broken"];
    for script in SCRIPTS.iter().chain(&broken) {
        world.write(&format!("scripts/{script}.stp"), format!("probe begin {{ println(\"{script}\") }}\n"));
    }
    for program in ["/bin/sh", "/bin/cp", "/bin/mkdir"] {
        copy_program(&world.path("root"), program);
    }
    for (name, text) in [("stap", STAP), ("gcc", "#!/bin/sh\necho 'gcc (stand-in) 15.1.0'\n")] {
        world.write(&format!("root/usr/bin/{name}"), text);
        world.chmod(&format!("root/usr/bin/{name}"), 0o755);
    }
    for name in ["dev", "mnt", "proc", "tmp"] {
        fs::create_dir_all(world.path("root").join(name)).unwrap();
    }
    for release in RELEASES {
        tree(&world, release);
        for script in SCRIPTS {
            world.write(&format!("root/usr/share/ready/{script}-{release}.ko"), module(script, release));
        }
    }
    world.run("key generate --out farm2");
    world
}

/// A program of this machine and the libraries that it needs, in a sysroot.
fn copy_program(root: &Path, program: &str) {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    let bin = format!("/usr{program}");
    for (from, to) in libraries.map(|path| (path, path)).chain([(program, bin.as_str())]) {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
    let link = root.join("bin");
    if link.symlink_metadata().is_err() {
        std::os::unix::fs::symlink("usr/bin", link).unwrap();
    }
}

fn tree(world: &TestWorld, release: &str) {
    let modules = format!("root/lib/modules/{release}/build");
    for (file, text) in [
        ("Makefile", "all:\n".to_owned()),
        ("Module.symvers", format!("symbols of {release}")),
        ("include/generated/utsrelease.h", format!("#define UTS_RELEASE \"{release}\"\n")),
        ("include/generated/utsversion.h", format!("#define UTS_VERSION \"#1 SMP Test {release}\"\n")),
        ("include/generated/compile.h", "#define UTS_MACHINE\t\t\"x86_64\"\n".to_owned()),
    ] {
        world.write(&format!("{modules}/{file}"), text);
    }
}

fn module(name: &str, release: &str) -> Vec<u8> {
    module_by(name, release, b"")
}

/// As `module`, by this compiler (the section `.comment`).
pub(crate) fn module_by(name: &str, release: &str, comment: &[u8]) -> Vec<u8> {
    let modinfo = format!("license=GPL\0name={name}\0vermagic={release} SMP preempt mod_unload \0");
    let privilege = 8_u32.to_le_bytes();
    module_with(&[(".modinfo", modinfo.as_bytes()), (".stap_privilege", &privilege), (".comment", comment)])
}

/// What every build here begins with.
pub(crate) const BUILD: &str =
    "-r 6.12.1-test -r 6.12.2-test --sysroot root -c config --cache c --best-effort broken";

#[test]
fn a_build_is_packed_with_its_best_before_and_its_reports_fit_their_schemas() {
    let world = world();
    let plan = world.json(&format!("build {BUILD} --dry-run"));
    assert_eq!(plan["schema"], "build-plan/1");
    let line = format!("build {BUILD} --key farm2.key -o a.stapb --best-before 180 --report r.json");
    let built = world.run(&format!("--json {line}"));
    assert_eq!(built.exit, Some(20), "{built}");
    let built: Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!((&built["green"], &built["red"]), (&4.into(), &2.into()));
    assert_eq!(built["best_before"], 1_750_000_000 + 180 * 86_400);
    let report = serde_json::from_slice(&fs::read(world.path("r.json")).unwrap()).unwrap();
    check_kind("build-report-1", &report, "--report r.json");
    let shown = world.run("verify a.stapb --key farm2.pub");
    assert!(shown.stdout.contains("  best before "), "{shown}");
    // Another best-before of the same content is another bundle, and nothing is compiled again.
    let again =
        world.run(&format!("--json build {BUILD} --key farm2.key -o b.stapb --best-before 2027-06-30"));
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["best_before"], 1_814_313_600);
    assert!(again["cells"].as_array().unwrap().iter().all(|cell| cell["wall_ms"] == 0), "{again:#}");
    let refused = world.run(&format!("build {BUILD} --key farm2.key -o c.stapb --best-before 2020-01-01"));
    assert_eq!(refused.exit, Some(2), "{refused}");
    assert!(!world.path("c.stapb").exists());
}

#[test]
fn a_build_that_skips_every_cell_is_refused_and_writes_nothing() {
    let world = world();
    let said = world.run(&format!("build {BUILD} --key farm2.key -o none.stapb --skip *"));
    assert!(said.exit == Some(2) && said.stderr.contains("--skip leaves out every cell"), "{said}");
    assert!(!world.path("none.stapb").exists());
}

#[test]
fn shards_are_merged_with_a_best_before() {
    let world = world();
    for shard in ["1/2", "2/2"] {
        let said = world.run(&format!("--json build {BUILD} --shard {shard}"));
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(document["schema"], "build-shard/1", "{said}");
    }
    let merged =
        world.run(&format!("--json merge {BUILD} --shards 2 --key farm2.key -o m.stapb --best-before 30"));
    let document: Value = serde_json::from_str(&merged.stdout).unwrap();
    assert_eq!(document["best_before"], 1_750_000_000 + 30 * 86_400, "{merged}");
    let shown = world.run("inspect m.stapb --key farm2.pub").stdout;
    for part in [
        "  best before 2025-07-15 15:06:40 UTC, which has passed",
        "broken on 6.12.2-test: semantic error: no match",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn a_build_signs_its_modules_and_so_does_merge_and_a_part_needs_no_key() {
    let world = world();
    assert_eq!(world.run("key generate --module --kind p384 --out modules").exit, Some(0));
    let signing = "--module-key modules.key --module-cert modules.der";
    let built = world.run(&format!("build {BUILD} --key farm2.key -o a.stapb {signing}"));
    assert_eq!(built.exit, Some(20), "{built}");
    for shard in ["1/2", "2/2"] {
        let said = world.run(&format!("build {BUILD} --shard {shard} --module-cert absent.der"));
        assert!(said.stdout.contains("`stap-bundle merge` makes the bundle"), "{said}");
    }
    let merged = world.run(&format!("merge {BUILD} --shards 2 --key farm2.key -o m.stapb {signing}"));
    assert_eq!(merged.exit, Some(20), "{merged}");
    for bundle in ["a.stapb", "m.stapb"] {
        let shown = world.run(&format!("inspect {bundle} --key farm2.pub")).stdout;
        assert!(shown.contains("module key  modules kernel modules"), "{shown}");
        assert_eq!(world.run(&format!("verify --deep {bundle} --key farm2.pub")).exit, Some(0));
    }
    // The same inputs and the same key: the same bytes.
    let again = world.run(&format!("build {BUILD} --key farm2.key -o again.stapb {signing}"));
    assert_eq!(again.exit, Some(20), "{again}");
    assert_eq!(fs::read(world.path("again.stapb")).unwrap(), fs::read(world.path("a.stapb")).unwrap());
}

#[test]
fn the_page_names_the_bundle_its_version_and_its_date() {
    let world = world();
    let line = format!("build {BUILD} --key farm2.key -o a.stapb --name net --version 7 --report r.html");
    assert_eq!(world.run(&line).exit, Some(20));
    let page = fs::read_to_string(world.path("r.html")).unwrap();
    for part in [
        "<title>net 7</title>",
        "<h1>net 7</h1>",
        "a.stapb, ",
        "2025-06-15 15:06:40 UTC",
        "<td data-is=\"version\">#1 SMP Test 6.12.1-test</td>",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    if let Some(place) = std::env::var_os("STAP_BUNDLE_PAGE") {
        fs::copy(world.path("r.html"), place).unwrap();
    }
}
