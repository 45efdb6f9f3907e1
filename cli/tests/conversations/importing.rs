//! `import`: what `export` wrote comes back, and nothing that a package doesn't prove is claimed.

use std::fs;

use crate::bundles::fleet;
use crate::world::TestWorld;

#[test]
fn what_was_exported_is_imported_signed_and_verified() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    assert_eq!(world.run("export fleet.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    let packages = "packages/stap-scripts-6.12.1-test.tar.gz packages/stap-scripts-6.13.0-test.tar.gz";
    let said = world.run(&format!("import {packages} -o old.payload"));
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(said.stdout.contains("2 scripts, 3 modules for 2 kernels"), "{said}");
    assert!(said.stdout.contains("not signed: no host takes it"), "{said}");
    assert!(said.stderr.contains("the source is not known of: counter latency"), "{said}");
    assert_eq!(world.run("verify old.payload --key farm.pub").exit, Some(10));
    assert_eq!(world.run("sign old.payload --key farm.key -o old.stapb").exit, Some(0));
    assert_eq!(world.run("verify old.stapb --key farm.pub --deep").exit, Some(0));
    // The same modules under the same kernels; the sources are what an import can't know.
    let difference = world.json("diff fleet.stapb old.stapb --key farm.pub");
    assert_eq!(difference["kernels"].as_array().unwrap().len(), 0, "{difference}");
    for script in difference["scripts"].as_array().unwrap() {
        let fields: Vec<&str> =
            script["what"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["source"], "{difference}");
    }
    let inspected = world.run("inspect old.stapb --key farm.pub");
    assert!(inspected.stdout.contains("unknown, imported"), "{inspected}");
}

#[test]
fn what_is_no_package_is_refused_and_leaves_nothing() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("notes.tar.gz", "not a package");
    let before = world.tree();
    for (line, exit, words) in [
        ("import notes.tar.gz -o out.payload", 11, "notes.tar.gz"),
        ("import fleet.stapb -o out.payload", 11, "tar.gz"),
        ("import gone.tar.gz -o out.payload", 14, "gone.tar.gz"),
        ("import", 2, "<FILE>..."),
    ] {
        let said = world.run(line);
        assert!(said.exit == Some(exit) && said.stderr.contains(words), "{said}");
    }
    assert!(world.tree() == before);
    assert!(fs::read_dir(world.work()).unwrap().all(|entry| entry.unwrap().file_name() != "out.payload"));
}

/// The golden bundle's last line of options is none that the initscript could have written.
#[test]
fn a_refusal_said_error_twice_and_a_missing_package_was_called_damaged() {
    let world = TestWorld::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/golden");
    let exported = world.run(&format!(
        "export --tar-gz {golden}/format-1.stapb --key {golden}/format-1.pub --kernel 6.12.9-test -o ."
    ));
    assert_eq!(exported.exit, Some(0), "{exported}");
    let said = world.run("import stap-scripts-6.12.9-test.tar.gz -o x.payload");
    assert!(said.exit == Some(11) && said.stderr.matches("error:").count() == 1, "{said}");
    let said = world.run("import gone.tar.gz -o x.payload");
    assert!(
        said.exit == Some(14) && said.stderr.contains("gone.tar.gz: No such file or directory"),
        "{said}"
    );
    assert!(!world.path("x.payload").exists());
}
