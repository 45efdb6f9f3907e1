//! What is compiled, and what counts as good.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use script_config::{ScriptOptions, ScriptUsers};
use service::Host;

use super::*;
use crate::global::{Global, When};
use crate::systemtap::tests::{RELEASE, identity};

fn script(text: &str, options: &str) -> ScriptSource {
    let options = ScriptOptions::parse(options, None).unwrap();
    let name = "a".parse().unwrap();
    ScriptSource::new(name, text.as_bytes(), 0, &options, Vec::new(), ScriptUsers::default())
}

/// What is kept of a module that was compiled of `source`.
fn record(source: &ScriptSource, release: &KernelRelease) -> LocalModule {
    let of_source = source.record();
    LocalModule {
        schema: LocalModule::SCHEMA,
        script: source.name().clone(),
        release: release.clone(),
        uname_v: Some("#1 SMP".into()),
        sha256: Digest::of(b"module"),
        source_sha256: Some(of_source.source_sha256),
        opts_line: of_source.opts_line.clone(),
        run: of_source.run.clone(),
        requires: Vec::new(),
        compiled: 0,
        adopted: None,
    }
}

fn compile_for<'o>(opened: &'o Opened, release: &KernelRelease, directory: &Path) -> LocalCompile<'o> {
    LocalCompile {
        opened,
        configuration: Configuration::default(),
        release: release.clone(),
        sysroots: Vec::new(),
        cache: directory.join("cache"),
    }
}

#[test]
fn init_cache_02_a_module_is_good_as_long_as_nothing_that_it_was_made_of_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("proc/sys/kernel/random")).unwrap();
    fs::write(directory.path().join("proc/modules"), "").unwrap();
    let mut identity = identity();
    identity.version = Some("#1 SMP".into());
    let opened =
        Opened::for_test(Host::of(FileSystem::open(directory.path()).unwrap()), identity, BTreeSet::new());
    let release: KernelRelease = RELEASE.parse().unwrap();
    let compile = compile_for(&opened, &release, directory.path());
    let source = script("probe begin {}", "-g");
    let outdated = |script: &ScriptSource| compile.outdated(vec![script.clone()]).len();
    assert_eq!(outdated(&source), 1);
    let mut record = record(&source, &release);
    let store = |record: &LocalModule| opened.service().store_local(record, b"module", "Linux").unwrap();
    store(&record);
    assert_eq!(outdated(&source), 0);
    assert_eq!(outdated(&script("probe end {}", "-g")), 1, "another text");
    assert_eq!(outdated(&script("probe begin {}", "-g -v")), 1, "another option for the compile");
    assert_eq!(outdated(&script("probe begin {}", "-g -s 4")), 1, "another option for the start");
    let existing = || compile.existing(std::slice::from_ref(&source)).unwrap();
    let suffixes = |paths: Vec<PathBuf>| -> Vec<String> {
        paths.iter().map(|path| path.extension().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(suffixes(existing()), ["ko", "opts"]);
    let module = LocalModule::module_path(opened.host(), &release, source.name());
    fs::remove_file(opened.host().on_this_machine(&module)).unwrap();
    assert_eq!(outdated(&source), 1, "no module");
    record.uname_v = Some("#2 SMP".into());
    store(&record);
    assert_eq!(outdated(&source), 1, "another build of the kernel");
}

#[test]
fn init_cache_06_the_options_file_names_the_kernel_compiled_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut identity = identity();
    identity.uname_a = Some("Linux of this host".to_owned());
    let node = identity.node.clone();
    let machine = identity.machine.clone();
    let opened =
        Opened::for_test(Host::of(FileSystem::open(directory.path()).unwrap()), identity, BTreeSet::new());
    let source = script("probe begin {}", "");
    let first_line = |release: &str| {
        let release: KernelRelease = release.parse().unwrap();
        let compile = compile_for(&opened, &release, directory.path());
        compile.uname_a(&record(&source, &release))
    };
    assert_eq!(first_line(RELEASE), "Linux of this host");
    let other = "9.9.9-other";
    assert_eq!(first_line(other), format!("Linux {node} {other} #1 SMP {machine} GNU/Linux"));
}

#[test]
fn init_comp_02_what_a_script_requires_is_not_compiled_with_it_but_for_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("scripts")).unwrap();
    fs::create_dir_all(at("conf.d")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(at("scripts").join(format!("{name}.stp")), "probe begin {}").unwrap();
    }
    let own = directory.path().display();
    let config = format!("SCRIPT_PATH={own}/scripts\nCONFIG_PATH={own}/conf.d\na_REQ=b\n");
    fs::write(at("config"), config).unwrap();
    let named = BTreeSet::from(["a".parse().unwrap()]);
    let opened = Opened::for_test(Host::of(FileSystem::open(directory.path()).unwrap()), identity(), named);
    let compile = LocalCompile {
        opened: &opened,
        configuration: config_files::load(Some(&at("config"))).unwrap().configuration,
        release: RELEASE.parse().unwrap(),
        sysroots: Vec::new(),
        cache: at("cache"),
    };
    let quiet = Global { root: None, json: false, quiet: true, verbose: false, color: When::Never };
    let mut ui = Ui::new(&quiet);
    let called = |scripts: Vec<ScriptSource>| -> Vec<String> {
        scripts.iter().map(|script| script.name().to_string()).collect()
    };
    assert_eq!(called(compile.scripts(&mut ui).unwrap()), ["a"]);
    assert_eq!(called(compile.to_be_started(&mut ui).unwrap()), ["a", "b"]);
}

#[test]
fn what_a_mask_keeps_from_starting_is_not_compiled_nor_what_only_that_requires() {
    let script = |name: &str, requires: &[&str]| {
        let options = ScriptOptions::parse("", None).unwrap();
        let requires = requires.iter().map(|name| name.parse().unwrap()).collect();
        ScriptSource::new(
            name.parse().unwrap(),
            b"probe begin {}".as_slice(),
            0,
            &options,
            requires,
            ScriptUsers::default(),
        )
    };
    let names = |words: &str| -> BTreeSet<ScriptName> {
        words.split_whitespace().map(|name| name.parse().unwrap()).collect()
    };
    let found =
        [script("a", &["m"]), script("m", &["r"]), script("r", &[]), script("b", &["s"]), script("s", &[])];
    assert_eq!(startable(&names("a b"), &found, names("m")), names("b s"));
    assert_eq!(startable(&names("a b"), &found, names("")), names("a b m r s"));
}

#[test]
fn a_cache_that_others_can_write_to_is_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let root = FileSystem::open(directory.path()).unwrap();
    let cache = Path::new("/var/cache/here");
    check_cache(&root, cache).unwrap();
    let there = directory.path().join("var/cache/here");
    for open in [&*there, there.parent().unwrap()] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o777)).unwrap();
        let failure = check_cache(&root, cache).unwrap_err();
        assert_eq!(failure.exit, Exit::Trust, "{}", failure.one_line());
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    check_cache(&root, cache).unwrap();
}
