use std::os::unix::fs::symlink;

use fixtures::program::program_with;

use super::*;
use crate::testing::{fake_sysroot, script_with};

struct World {
    root: tempfile::TempDir,
    index: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { root: fake_sysroot(&[]), index: tempfile::tempdir().unwrap() }
    }

    fn sysroot(&self) -> Sysroot {
        Sysroot::open(self.root.path()).unwrap()
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let host = self.root.path().join(path);
        fs::create_dir_all(host.parent().unwrap()).unwrap();
        fs::write(host, bytes).unwrap();
    }

    fn named(&self, text: &str, options: &str) -> Vec<String> {
        let digests = TreeDigests::of_test(self.index.path());
        let found = programs_named(&script_with(text, options), &self.sysroot(), &digests);
        found.iter().map(|state| state.path.display().to_string()).collect()
    }
}

#[test]
fn a_script_names_programs_by_path_by_name_along_path_and_in_options_and_arguments() {
    let world = World::new();
    for path in ["usr/bin/one", "usr/bin/two", "opt/three", "opt/four", "opt/lib.so"] {
        world.put(path, &program_with(path.as_bytes()));
    }
    world.put("opt/interpreted", b"#!/usr/bin/one\n");
    world.put("etc/passwd", b"root:x:0:0\n");
    let none = "probe timer.s(1) { println(\"/etc/passwd\", \"one\", \"/proc/version\", \"/opt\") }";
    assert!(world.named(none, "").is_empty());
    let text =
        "probe process(\"one\").mark(\"two\"), process(\"/opt/three\").library(\"/opt/lib.so\").begin { }";
    assert_eq!(world.named(text, ""), ["/opt/lib.so", "/opt/three", "/usr/bin/one"]);
    let cast = "probe timer.s(1) { println(@cast(1, \"x\", \"/opt/interpreted\")->y) }";
    assert_eq!(world.named(cast, ""), ["/opt/interpreted"]);
    assert_eq!(world.named("probe begin { }", "-d /opt/four"), ["/opt/four"]);
    assert_eq!(world.named("probe process(@1).begin { }", "/opt/four"), ["/opt/four"]);
    assert_eq!(world.named("probe process(@1).begin { }", "one"), ["/usr/bin/one"]);
    let list = "probe timer.s(1) { println(@cast(1, \"x\", \"kernel:/opt/three:/opt/lib.so\")->y) }";
    assert_eq!(world.named(list, ""), ["/opt/lib.so", "/opt/three"]);
    assert_eq!(world.named("probe process(\"/opt/\" \"three\").begin { }", ""), ["/opt/three"]);
    // No probe takes these patterns.
    assert!(world.named("probe begin { println(\"/opt/*\", \"/proc/[pid]/maps\") }", "").is_empty());
    assert!(world.named("probe process(\"/proc/*\").begin { }", "").is_empty());
}

#[test]
fn what_a_name_stands_for_changes_with_the_file_and_with_what_comes_before_it() {
    let world = World::new();
    let states = |text: &str| {
        let digests = TreeDigests::of_test(world.index.path());
        programs_named(&script_with(text, ""), &world.sysroot(), &digests)
    };
    let by_path = "probe process(\"/opt/one\").begin { }";
    assert!(states(by_path).is_empty());
    world.put("opt/one", &program_with(&[1]));
    let first = states(by_path);
    assert!(first[0].sha256.is_some());
    world.put("opt/one", &program_with(&[2]));
    assert_ne!(states(by_path), first);
    let pattern = "probe process(\"/opt/o*\").begin { }";
    let one = states(pattern);
    assert_eq!(one.len(), 1);
    world.put("opt/other", &program_with(&[3]));
    let two = states(pattern);
    assert_ne!(one, two);
    world.put("opt/unlike", &program_with(&[4]));
    assert_eq!(states(pattern), two);
    let deep = "probe process(\"/opt/*/bin/app\").begin { }";
    assert!(states(deep).is_empty());
    world.put("opt/new/bin/app", &program_with(&[5]));
    let new = states(deep);
    world.put("opt/newer/bin/app", &program_with(&[5]));
    assert!(new.len() == 1 && states(deep) != new);
}

#[test]
fn the_debuginfo_of_a_program_is_part_of_its_state() {
    let world = World::new();
    world.put("opt/one", &program_with(&[1]));
    let state = || {
        let digests = TreeDigests::of_test(world.index.path());
        ProgramState::of(Path::new("/opt/one"), &world.sysroot(), &digests)
    };
    let without = state();
    world.put("usr/lib/debug/opt/one.debug", &program_with(&[2]));
    assert_ne!(state(), without);
}

#[test]
fn a_module_is_for_the_programs_whose_path_and_build_id_it_has() {
    let world = World::new();
    world.put("usr/bin/one", &program_with(&[0xaa, 0xbb, 0xcc, 0xdd]));
    world.put("usr/bin/two", &program_with(&[0x11, 0x22, 0x33, 0x44]));
    world.put("usr/bin/plain", &program_with(&[]));
    symlink("one", world.root.path().join("usr/bin/link")).unwrap();
    let programs = |module: &[u8]| {
        let digests = TreeDigests::of_test(world.index.path());
        let found = programs_of_module(module, &world.sysroot(), &digests);
        let shown = |program: &Program| format!("{} {}", program.path.display(), program.build_id);
        (found.probed.iter().map(shown).collect::<Vec<_>>().join(" "), found.states.len())
    };
    let module = b"x\0/usr/bin/one\0/usr/bin/two\0/usr/bin/plain\0/usr/bin/absent\0\xaa\xbb\xcc\xddx";
    // Of those whose build id it hasn't, only that it names them is known.
    assert_eq!(programs(module), ("/usr/bin/one aabbccdd".to_owned(), 3));
    assert_eq!(programs(b"\0/usr/bin/link\0\xaa\xbb\xcc\xdd"), ("/usr/bin/one aabbccdd".to_owned(), 1));
    assert_eq!(programs(b"/usr/bin/one and more\0\xaa\xbb\xcc\xdd"), (String::new(), 0));
}

#[test]
fn a_failed_compile_names_the_programs_of_systemtaps_own_tapsets() {
    let world = World::new();
    let log = "semantic error: while resolving probe point: identifier 'process' at /usr/share/systemtap/tapset/x.stp:1:1\n\
               \x20       source: probe x = process(\"/usr/lib/libx.so\").mark(\"y\") { }\n";
    let script = script_with("probe x, process(\"/opt/own\").begin { }", "");
    let paths = programs_in_log(&format!("{log}process(\"/opt/own\")"), &script, &world.sysroot());
    assert_eq!(paths, [Path::new("/usr/lib/libx.so")]);
}
