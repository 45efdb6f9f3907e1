//! Modules that came as files: refused until they are adopted, and by nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use fixtures::module::tiny_module;
use script_config::{Configuration, SourceText};

use super::world::{RELEASE, VERMAGIC, World, name, names};
use crate::{AdoptionRefusal, AdoptionReport, LocalModule, Reason};

/// Takes the protection of a script's files away.
type Spoil<'w> = &'w dyn Fn(&str);

/// A host in cache-only mode.
fn world() -> World {
    let mut world = World::new();
    world.host.cache_only = true;
    world
}

fn at(world: &World, file: &str) -> std::path::PathBuf {
    let cache = world.at(&world.host.cache_dir).join(RELEASE);
    fs::create_dir_all(&cache).unwrap();
    cache.join(file)
}

/// Puts a module and its options there, as tar does.
fn bring(world: &World, script: &str) {
    fs::write(at(world, &format!("{script}.ko")), tiny_module(script, VERMAGIC)).unwrap();
    fs::write(at(world, &format!("{script}.opts")), "Linux builder 6.12 x\n-g --\n").unwrap();
}

fn adopt(world: &World, words: &str) -> AdoptionReport {
    world.with_service(|service| {
        let plan = service.plan_adoption(&names(words), &world.configuration).unwrap();
        service.adopt(plan, "alice").unwrap()
    })
}

/// Why the one script isn't adopted.
fn refusal(world: &World, script: &str) -> AdoptionRefusal {
    let mut report = adopt(world, script);
    assert!(report.adopted.is_empty(), "{report:?}");
    assert_eq!(world.loaded(), "");
    report.refused.remove(0).reason
}

#[test]
fn a_module_that_came_as_a_file_is_refused_with_the_way_out_until_it_is_adopted() {
    let world = world().scripts("z");
    bring(&world, "b");
    assert_eq!(world.start(""), "z started, b refused (not-adopted), exit 1");
    let status = world.status("b");
    let reason: &Reason = status.scripts[0].reason.as_ref().unwrap();
    assert!(
        reason.text.ends_with("b.ko is of no trusted bundle, and has no record on this host"),
        "{reason:?}"
    );
    assert!(reason.advice.find("import") < reason.advice.find("stap-bundle adopt"), "{reason:?}");

    let report = adopt(&world, "");
    assert_eq!(report.adopted.len(), 1, "{report:?}");
    assert_eq!((report.adopted[0].opts_line.as_str(), report.refused.len()), ("-g --", 0));
    assert_eq!(world.start(""), "b started, z runs already, exit 0");
    let record = LocalModule::read(&world.host, &RELEASE.parse().unwrap(), &name("b")).unwrap();
    assert_eq!(record.adopted.unwrap().by, "alice");
    assert_eq!(LocalModule::adopted(&world.host), names("b"));
    // There is nothing left to adopt.
    let report = adopt(&world, "");
    assert!(report.adopted.is_empty() && report.refused.is_empty(), "{report:?}");
}

#[test]
fn without_allow_cacheonly_a_file_in_the_cache_is_no_script() {
    let mut world = world();
    bring(&world, "b");
    world.host.cache_only = false;
    assert_eq!(world.start(""), "exit 0");
    assert!(world.status("").scripts.is_empty());
    // It may be adopted all the same.
    assert_eq!(adopt(&world, "b").adopted.len(), 1);
    assert_eq!(world.start(""), "b started, exit 0");
}

#[test]
fn what_nobody_vouches_for_fails_no_script_after_it() {
    let world = world().scripts("c");
    for script in ["a", "b"] {
        bring(&world, script);
    }
    assert!(world.parameters.pass_all);
    assert_eq!(world.start(""), "c started, a refused (not-adopted), b refused (not-adopted), exit 1");
    // Not even where scripts are named.
    world.stop("");
    assert_eq!(world.start("a"), "a refused (not-adopted), exit 1");
}

#[test]
fn an_adopted_module_that_changes_or_whose_script_comes_or_changes_is_not_loaded() {
    let world = world();
    for script in ["a", "b", "c"] {
        bring(&world, script);
    }
    let scripts = world.at(&world.host.script_dir);
    fs::create_dir_all(&scripts).unwrap();
    let old = SystemTime::now() - Duration::from_secs(1000);
    let put = |script: &str, text: &str| {
        let path = scripts.join(format!("{script}.stp"));
        fs::write(&path, text).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    };
    put("c", "probe begin {}");
    assert_eq!(adopt(&world, "").adopted.len(), 3);
    assert_eq!(world.start("c"), "c started, exit 0");
    world.stop("c");
    fs::write(at(&world, "a.ko"), tiny_module("a", "6.12.107+deb13-amd64 other")).unwrap();
    put("b", "probe begin {}");
    put("c", "probe end {}");
    for script in ["a", "b", "c"] {
        assert_eq!(world.start(script), format!("{script} refused (local-outdated), exit 1"));
    }
}

#[test]
fn what_others_could_have_put_there_is_not_adopted() {
    let world = world();
    let kinds: [(&str, Spoil<'_>); 4] = [
        ("module", &|script| {
            fs::set_permissions(at(&world, &format!("{script}.ko")), fs::Permissions::from_mode(0o664))
                .unwrap();
        }),
        ("opts", &|script| {
            fs::set_permissions(at(&world, &format!("{script}.opts")), fs::Permissions::from_mode(0o646))
                .unwrap();
        }),
        ("owner", &|script| {
            std::os::unix::fs::chown(at(&world, &format!("{script}.ko")), Some(65534), None).unwrap();
        }),
        ("path", &|_| {
            let above = world.at(&world.host.cache_dir);
            fs::set_permissions(above, fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (script, spoil) in kinds {
        bring(&world, script);
        spoil(script);
        let refusal = refusal(&world, script);
        assert!(matches!(refusal, AdoptionRefusal::Unprotected { .. }), "{script}: {refusal}");
        let said = refusal.to_string();
        assert!(said.contains("chmod go-w /") || said.contains("chown root /"), "{said}");
    }
}

#[test]
fn what_is_no_module_of_this_name_and_kernel_is_not_adopted() {
    let world = world();
    bring(&world, "a");
    for module in [
        tiny_module("other", VERMAGIC),
        tiny_module("a", "6.12.108 SMP"),
        b"not a module".to_vec(),
        tiny_module("a", VERMAGIC)[..100].to_vec(),
    ] {
        fs::write(at(&world, "a.ko"), module).unwrap();
        assert!(matches!(refusal(&world, "a"), AdoptionRefusal::WrongModule { .. }));
    }
    bring(&world, "b");
    fs::rename(at(&world, "b.ko"), at(&world, "real")).unwrap();
    symlink("real", at(&world, "b.ko")).unwrap();
    assert!(matches!(refusal(&world, "b"), AdoptionRefusal::NotAFile { .. }));
    assert!(matches!(refusal(&world, "absent"), AdoptionRefusal::Absent { .. }));
}

#[test]
fn without_the_options_that_it_was_made_with_or_with_others_it_is_not_adopted() {
    let mut world = world();
    bring(&world, "a");
    fs::remove_file(at(&world, "a.opts")).unwrap();
    assert!(matches!(refusal(&world, "a"), AdoptionRefusal::NoOptions { .. }));
    for text in ["", "one line\n", "three\nlines\n--\n"] {
        fs::write(at(&world, "a.opts"), text).unwrap();
        assert!(matches!(refusal(&world, "a"), AdoptionRefusal::BadOptions { .. }), "{text}");
    }
    bring(&world, "a");
    let configured = |text: &str| {
        let file = SourceText { path: "conf.d/local.conf".into(), text: text.into() };
        Configuration::load(&[file]).0
    };
    world.configuration = configured("a_OPT='-D X=1'\n");
    assert!(matches!(refusal(&world, "a"), AdoptionRefusal::OtherOptions { .. }));
    // A file for other scripts says nothing of it, and run options are the host's.
    world.configuration = configured("a_OPT='-g -s 4'\nb_OPT='-g'\n");
    assert_eq!(adopt(&world, "a").adopted.len(), 1);
    assert_eq!(world.start("a"), "a started, exit 0");
    assert!(world.loads()["a"].args.join(" ").starts_with("-L -b 4 "));
    world.stop("a");
    world.configuration = configured("b_OPT='-g'\n");
    assert_eq!(world.start("a"), "a started, exit 0");
}

#[test]
fn a_script_of_a_bundle_is_not_adopted() {
    let mut world = world();
    bring(&world, "a");
    world.script("a", &[], &["-L"]);
    assert!(matches!(refusal(&world, "a"), AdoptionRefusal::OwnedByBundle { .. }));
    assert!(adopt(&world, "").refused.is_empty());
    assert_eq!(world.start("a"), "a started, exit 0");
}

#[test]
fn what_changes_after_it_was_shown_is_not_adopted() {
    let world = world();
    bring(&world, "a");
    world.with_service(|service| {
        let plan = service.plan_adoption(&names("a"), &world.configuration).unwrap();
        fs::write(at(&world, "a.opts"), "Linux builder 6.12 x\n--\n").unwrap();
        let report = service.adopt(plan, "alice").unwrap();
        assert!(matches!(report.refused[0].reason, AdoptionRefusal::Changed { .. }), "{report:?}");
    });
    assert_eq!(world.start("a"), "a refused (not-adopted), exit 1");
}

#[test]
fn a_script_that_is_newer_than_its_module_is_to_be_compiled() {
    let world = world();
    bring(&world, "a");
    let scripts = world.at(&world.host.script_dir);
    fs::create_dir_all(&scripts).unwrap();
    fs::write(scripts.join("a.stp"), "probe begin {}").unwrap();
    let later = SystemTime::now() + Duration::from_secs(10);
    fs::File::options().write(true).open(scripts.join("a.stp")).unwrap().set_modified(later).unwrap();
    assert!(matches!(refusal(&world, "a"), AdoptionRefusal::OlderThanScript { .. }));
}

#[test]
fn a_cleanup_forgets_what_was_adopted() {
    let world = world();
    bring(&world, "a");
    adopt(&world, "a");
    let release = RELEASE.parse().unwrap();
    let named = names("a");
    let choice = crate::CleanupChoice { release: &release, named: &named };
    world.with_service(|service| {
        let plan = service.plan_cleanup(&choice).unwrap();
        service.cleanup(&choice, &plan).unwrap();
    });
    assert!(LocalModule::adopted(&world.host).is_empty());
    bring(&world, "a");
    assert_eq!(world.start("a"), "a refused (not-adopted), exit 1");
}
