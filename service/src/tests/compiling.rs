//! Modules compiled on this host: trusted through their records, and only through them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bundle_format::Digest;
use fixtures::module::tiny_module;
use script_config::{Configuration, SourceText};

use super::world::{RELEASE, VERMAGIC, World, name, names};
use crate::{CleanupChoice, LocalModule, ServiceError};

pub(super) fn store(world: &World, script: &str, requires: &str) -> Result<(), ServiceError> {
    let module = tiny_module(script, VERMAGIC);
    let record = LocalModule {
        schema: LocalModule::SCHEMA,
        script: name(script),
        release: RELEASE.parse().unwrap(),
        uname_v: Some("#1 SMP".into()),
        sha256: Digest::of(&module),
        source_sha256: Some(Digest::of(b"probe begin {}")),
        opts_line: "-g --".into(),
        run: vec!["-L".into()],
        requires: names(requires).into_iter().collect(),
        compiled: 1_700_000_000,
        adopted: None,
    };
    world.with_service(|service| service.store_local(&record, &module, "Linux host 1"))
}

fn module(world: &World, script: &str) -> std::path::PathBuf {
    world.at(&world.host.cache_dir).join(RELEASE).join(format!("{script}.ko"))
}

#[test]
fn a_module_compiled_here_is_started_beside_those_of_bundles() {
    let world = World::new().scripts("a");
    store(&world, "b", "a").unwrap();
    assert_eq!(world.start(""), "a started, b started, exit 0");
    let status = world.status("b");
    let record = status.scripts[0].record.as_ref().unwrap();
    assert_eq!((record.bundle.as_str(), record.generation), ("local", 0));
    let opts = fs::read_to_string(module(&world, "b").with_extension("opts")).unwrap();
    assert_eq!(opts, "Linux host 1\n-g --\n");
}

#[test]
fn what_was_changed_or_has_no_record_is_never_loaded() {
    let world = World::new();
    for script in ["a", "b", "c"] {
        store(&world, script, "").unwrap();
    }
    fs::write(module(&world, "a"), tiny_module("a", "another")).unwrap();
    fs::remove_file(module(&world, "b")).unwrap();
    fs::remove_file(world.at(&world.host.local_dir).join(RELEASE).join("c.json")).unwrap();
    assert_eq!(world.start("a"), "a refused (local-outdated), exit 1");
    assert_eq!(world.start("b"), "b refused (local-outdated), exit 1");
    assert_eq!(world.start("c"), "c refused (not-offered), exit 1");
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_record_that_others_can_write_to_does_not_count() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    let directory = world.at(&world.host.local_dir).join(RELEASE);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(world.start("a"), "a refused (local-unprotected), exit 1");
}

#[test]
fn records_in_a_directory_that_others_could_replace_do_not_count() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    let above = world.at(world.host.local_dir.parent().unwrap());
    fs::set_permissions(above, fs::Permissions::from_mode(0o777)).unwrap();
    // What is masked is kept below it too.
    assert_eq!(world.start("a"), "a refused (masks-unknown), exit 1");
    assert_eq!(world.loaded(), "");
}

#[test]
fn a_script_that_changed_after_its_compile_is_refused() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    fs::create_dir_all(world.at(&world.host.script_dir)).unwrap();
    fs::write(world.at(&world.host.script_dir).join("a.stp"), "probe begin {}").unwrap();
    assert_eq!(world.start("a"), "a started, exit 0");
    let world = World::new();
    store(&world, "a", "").unwrap();
    fs::create_dir_all(world.at(&world.host.script_dir)).unwrap();
    fs::write(world.at(&world.host.script_dir).join("a.stp"), "probe end {}").unwrap();
    assert_eq!(world.start("a"), "a refused (local-outdated), exit 1");
}

#[test]
fn another_build_of_the_kernel_does_not_get_it() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    let path = world.at(&world.host.local_dir).join(RELEASE).join("a.json");
    let text = fs::read_to_string(&path).unwrap().replace("#1 SMP", "#2 SMP");
    fs::write(&path, text).unwrap();
    assert_eq!(world.start("a"), "a refused (local-outdated), exit 1");
}

#[test]
fn a_script_of_a_bundle_is_not_compiled_here() {
    let world = World::new().scripts("a");
    let error = store(&world, "a", "").unwrap_err().to_string();
    assert_eq!(error, "a is owned by bundle stap-scripts");
    assert!(!module(&world, "a").exists());
    // One that came with a bundle later is taken from the bundle.
    let mut world = World::new();
    store(&world, "b", "").unwrap();
    world.script("b", &[], &["-L"]);
    assert_eq!(world.start("b"), "b started, exit 0");
    assert_eq!(world.status("b").scripts[0].record.as_ref().unwrap().bundle.as_str(), "stap-scripts");
}

#[test]
fn init_cache_02_other_compile_options_than_it_was_made_with_are_refused() {
    let mut world = World::new();
    store(&world, "a", "").unwrap();
    let configured = |text: &str| {
        let file = SourceText { path: "conf.d/local.conf".into(), text: text.into() };
        Configuration::load(&[file]).0
    };
    world.configuration = configured("a_OPT='-g -s 4'\n");
    assert_eq!(world.start("a"), "a started, exit 0");
    assert!(world.loads()["a"].args.join(" ").starts_with("-L -b 4 "));
    world.stop("a");
    world.configuration = configured("a_OPT='-s 4'\n");
    assert_eq!(world.start("a"), "a refused (local-outdated), exit 1");
    // The line is gone.
    world.configuration = configured("");
    assert_eq!(world.start("a"), "a refused (local-outdated), exit 1");
    // It may be in a file that can't be read.
    world.configuration = configured("echo hello\n");
    assert_eq!(world.start("a"), "a started, exit 0");
}

#[test]
fn a_cleanup_removes_module_and_record() {
    let world = World::new();
    store(&world, "a", "").unwrap();
    let release = RELEASE.parse().unwrap();
    let named = names("");
    let choice = CleanupChoice { release: &release, named: &named };
    world.with_service(|service| {
        let plan = service.plan_cleanup(&choice).unwrap();
        assert_eq!((plan.files.len(), plan.kept.len()), (2, 0));
        service.cleanup(&choice, &plan).unwrap();
    });
    assert!(LocalModule::read(&world.host, &release, &name("a")).is_none());
    assert_eq!(world.start("a"), "a refused (not-offered), exit 1");
}
