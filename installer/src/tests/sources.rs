//! Scripts that travel with their bundle.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use bundle_format::{BundleError, SOURCES_NAME, pack_sources};

use super::world::{Bundle, World, bundle};
use crate::{InstallError, InstallOutcome, InstallReport, other_scripts};

const SCRIPTS: &str = "etc/systemtap/script.d";

/// The bundle with its scripts; a script's text is its name.
fn with_sources(bundle: &Bundle) -> Vec<u8> {
    let unsigned = bundle.unsigned();
    let manifest = unsigned.manifest();
    let text =
        |script: &bundle_format::ScriptRecord| (script.name.clone(), script.name.to_string().into_bytes());
    let packed = pack_sources(manifest, &manifest.scripts.iter().map(text).collect()).unwrap();
    bundle.with_extras(vec![("notes".to_owned(), b"for people".to_vec()), (SOURCES_NAME.to_owned(), packed)])
}

fn wanting() -> World {
    let mut world = World::new();
    world.options.with_source = true;
    world
}

fn warnings(report: &InstallReport) -> &[String] {
    &report.compat.as_ref().unwrap().warnings
}

#[test]
fn scripts_are_placed_where_there_are_none_and_the_cache_stays_good() {
    let world = wanting();
    let report = world.install(&with_sources(&bundle(1))).unwrap();
    for script in ["counter", "latency"] {
        let path = world.path(&format!("{SCRIPTS}/{script}.stp"));
        assert_eq!(fs::read(&path).unwrap(), script.as_bytes());
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o644);
        // INIT-CACHE-02: a newer script would be compiled.
        let module = world.path(&format!("var/cache/systemtap/6.12.1/{script}.ko"));
        assert!(fs::metadata(module).unwrap().modified().unwrap() >= metadata.modified().unwrap());
        let told = &report.compat.as_ref().unwrap().written;
        assert!(told.iter().any(|path| path.ends_with(format!("{script}.stp"))), "{told:?}");
    }
    assert_eq!(warnings(&report), [""; 0]);
    assert_eq!(fs::read_dir(world.path(SCRIPTS)).unwrap().count(), 2);
}

#[test]
fn nobody_gets_scripts_who_did_not_ask() {
    let world = World::new();
    world.install(&with_sources(&bundle(1))).unwrap();
    assert!(!world.path(SCRIPTS).exists());
    // The same bundle once more, asked for.
    let world = World { options: crate::InstallOptions { with_source: true, ..world.options }, ..world };
    let report = world.install(&with_sources(&bundle(1))).unwrap();
    assert!(matches!(report.outcome, InstallOutcome::AlreadyInstalled { generation: 1 }));
    assert!(world.path(SCRIPTS).join("counter.stp").exists());
}

#[test]
fn a_script_that_is_there_stays_and_is_reported_if_it_is_another_one() {
    let world = wanting();
    fs::create_dir_all(world.path(SCRIPTS)).unwrap();
    fs::write(world.path(SCRIPTS).join("counter.stp"), "mine").unwrap();
    symlink("nowhere", world.path(SCRIPTS).join("latency.stp")).unwrap();
    let report = world.install(&with_sources(&bundle(1))).unwrap();
    assert_eq!(fs::read(world.path(SCRIPTS).join("counter.stp")).unwrap(), b"mine");
    assert_eq!(fs::read_link(world.path(SCRIPTS).join("latency.stp")).unwrap().to_str(), Some("nowhere"));
    let [told] = warnings(&report) else { panic!("{:?}", warnings(&report)) };
    assert!(told.contains("script.d/counter.stp is not the script that bundle fleet"), "{told}");
    // Whoever asks later hears it too, also of one whose module this kernel hasn't.
    assert_eq!(other_scripts(&world.host, &world.current()).unwrap(), std::slice::from_ref(told));
    // A later version of the bundle changes nothing of it either.
    fs::write(world.path(SCRIPTS).join("counter.stp"), "counter").unwrap();
    let report = world.install(&with_sources(&bundle(2))).unwrap();
    assert_eq!(warnings(&report), [""; 0]);
}

#[test]
fn a_bundle_without_scripts_is_refused_where_they_are_wanted() {
    let world = wanting();
    let before = world.tree();
    let error = world.install(&bundle(1).bytes()).unwrap_err();
    assert!(matches!(error, InstallError::NoSources { .. }), "{error}");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_dry_run_names_the_scripts_that_would_come() {
    let mut world = wanting();
    world.options.dry_run = true;
    fs::create_dir_all(world.path(SCRIPTS)).unwrap();
    fs::write(world.path(SCRIPTS).join("counter.stp"), "counter").unwrap();
    let before = world.tree();
    let report = world.install(&with_sources(&bundle(1))).unwrap();
    assert_eq!(world.tree(), before);
    let written = &report.compat.as_ref().unwrap().written;
    let scripts: Vec<_> = written.iter().filter(|path| path.starts_with("/etc/systemtap/script.d")).collect();
    assert_eq!(scripts, [std::path::Path::new("/etc/systemtap/script.d/latency.stp")]);
}

/// An extra never changes what is installed; one that is asked for must be what it should.
#[test]
fn scripts_that_are_not_the_manifests_are_refused_before_anything_is_written() {
    let spoiled = bundle(1).with_extras(vec![(SOURCES_NAME.to_owned(), b"no frame".to_vec())]);
    for dry_run in [true, false] {
        let mut world = wanting();
        world.options.dry_run = dry_run;
        let before = world.tree();
        let error = world.install(&spoiled).unwrap_err();
        assert!(matches!(error, InstallError::Bundle(BundleError::Sources { .. })), "{error}");
        world.options.dry_run = true;
        // The staging that a killed run would leave is gone again; only what every first install makes is there.
        let left: Vec<String> = world
            .tree()
            .into_iter()
            .filter(|line| !before.contains(line) && line.contains("generations/"))
            .collect();
        assert_eq!(left, [""; 0]);
        assert!(!world.path("var/lib/stap-bundle/current").is_symlink() && !world.path(SCRIPTS).exists());
    }
    World::new().install(&spoiled).unwrap();
}

#[test]
fn scripts_of_a_bundle_that_is_there_already_were_not_checked_by_a_dry_run() {
    for dry_run in [true, false] {
        let spoiled = bundle(1).with_extras(vec![(SOURCES_NAME.to_owned(), b"no frame".to_vec())]);
        let mut world = World::new();
        world.install(&spoiled).unwrap();
        let before = world.tree();
        world.options = wanting().options;
        world.options.dry_run = dry_run;
        let error = world.install(&spoiled).unwrap_err();
        assert!(matches!(error, InstallError::Bundle(BundleError::Sources { .. })), "{error}");
        assert_eq!(world.tree(), before);
    }
}

#[test]
fn a_place_inside_our_own_state_takes_no_scripts() {
    let world = wanting();
    fs::create_dir_all(world.path("etc/systemtap")).unwrap();
    fs::write(world.path("etc/systemtap/config"), "SCRIPT_PATH=/var/lib/stap-bundle/scripts\n").unwrap();
    let report = world.install(&with_sources(&bundle(1))).unwrap();
    assert!(matches!(report.compat, Err(crate::CompatError::InsideOurs { parameter: "SCRIPT_PATH", .. })));
    assert!(!world.path("var/lib/stap-bundle/scripts").exists());
}
