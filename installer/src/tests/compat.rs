//! The unmodified initscript's rules on an installed tree.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use script_config::{Configuration, SourceText};

use super::world::{Bundle, World, bundle, farm, public, stranger};
use crate::{CompatError, InstallOptions, KernelChoice, TrustStore, reconcile, rollback};

const CACHE: &str = "var/cache/systemtap/6.12.1";

/// INIT-CACHE-02: both files exist, the script is not newer, the first line is the running kernel's
/// `uname -a`, the last one the options.
fn cache_is_valid(world: &World, script: &str, source: Option<&Path>) -> bool {
    let module = world.path(&format!("{CACHE}/{script}.ko"));
    let Ok(opts) = fs::read_to_string(world.path(&format!("{CACHE}/{script}.opts"))) else { return false };
    let Ok(compiled) = fs::metadata(&module).and_then(|metadata| metadata.modified()) else { return false };
    let newer = source.is_some_and(|source| fs::metadata(source).unwrap().modified().unwrap() > compiled);
    let first = opts.lines().next();
    let last = opts.lines().last();
    !newer
        && first == world.identity.uname_a.as_deref()
        && last == Some("-D FOO=1 --")
        && opts.ends_with('\n')
}

/// Every link that leads through `current`, with its text.
fn our_links(world: &World) -> Vec<(PathBuf, PathBuf)> {
    let walk =
        walkdir::WalkDir::new(world.directory.path()).sort_by_file_name().into_iter().map(Result::unwrap);
    let links = walk.filter(walkdir::DirEntry::path_is_symlink);
    let links = links.map(|entry| (entry.path().to_owned(), fs::read_link(entry.path()).unwrap()));
    links.filter(|(_, text)| text.to_string_lossy().contains("stap-bundle/current/")).collect()
}

#[test]
fn init_cache_02_holds_for_the_running_kernel_with_and_without_the_script() {
    let world = World::new();
    let source = world.path("etc/systemtap/script.d/counter.stp");
    fs::create_dir_all(source.parent().unwrap()).unwrap();
    fs::write(&source, "probe begin {}").unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    assert!(cache_is_valid(&world, "counter", Some(&source)));
    assert!(cache_is_valid(&world, "latency", None));
}

#[test]
fn every_link_of_ours_is_relative_and_leads_to_a_file() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let links = our_links(&world);
    assert_eq!(
        links.len(),
        10,
        "two modules with options for two kernels, and two files of configuration: {links:?}"
    );
    for (path, text) in links {
        assert!(text.is_relative() && path.metadata().unwrap().is_file(), "{}", path.display());
    }
}

#[test]
fn links_are_right_where_the_cache_is_behind_a_link() {
    let world = World::new();
    fs::create_dir_all(world.path("data/a/b/cache")).unwrap();
    fs::create_dir_all(world.path("var")).unwrap();
    symlink("../data/a/b/cache", world.path("var/cache")).unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    assert!(cache_is_valid(&world, "counter", None));
}

#[test]
fn the_configuration_turns_compiling_off_and_gives_options_and_requirements() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let files = ["00", "zz"].map(|begin| {
        let path = format!("etc/systemtap/conf.d/{begin}-stap-bundle.conf");
        SourceText { text: fs::read_to_string(world.path(&path)).unwrap(), path }
    });
    let (read, problems) = Configuration::load(&files);
    assert!(problems.is_empty(), "{problems:?}");
    assert!(!read.parameters().auto_compile && read.parameters().allow_cache_only);
    let variables = ["counter_OPT", "latency_REQ"].map(|name| read.environment().text(name));
    assert_eq!(variables, [Some("-D FOO=1 -s 4"), Some("counter")]);
}

/// The genuine script sources the same files in the same order; its rule is that a variable has the value that is left.
#[test]
fn init_start_12_the_hosts_own_words_count_for_the_initscript_as_for_our_start() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let signed = Some("-D FOO=1 -s 4");
    let of_the_bundle = [signed, signed, None, Some("counter")];
    let of_counter = |text| [Some(text), signed, None, Some("counter")];
    // In `config`, in `conf.d`, and what is left of counter_OPT, latency_OPT, counter_REQ and latency_REQ.
    let cases: [(&str, &str, [Option<&str>; 4]); 8] = [
        ("", "", of_the_bundle),
        ("counter_OPT='-s 8'\n", "", of_counter("-s 8")),
        ("", "counter_OPT='-s 8'\n", of_counter("-s 8")),
        ("counter_OPT='-s 7'\n", "counter_OPT='-s 8'\n", of_counter("-s 8")),
        ("", "counter_OPT+=' -o /x'\n", of_counter("-D FOO=1 -s 4 -o /x")),
        ("counter_OPT=\n", "", of_the_bundle),
        ("", "counter_OPT=\nlatency_OPT=-s2\n", [Some(""), Some("-s2"), None, Some("counter")]),
        ("counter_REQ=a\n", "latency_REQ+=' b'\n", [signed, signed, Some("a"), Some("counter b")]),
    ];
    for (config, conf_d, expected) in cases {
        fs::write(world.path("etc/systemtap/config"), config).unwrap();
        fs::write(world.path("etc/systemtap/conf.d/local.conf"), conf_d).unwrap();
        let files =
            ["config", "conf.d/00-stap-bundle.conf", "conf.d/local.conf", "conf.d/zz-stap-bundle.conf"].map(
                |file| SourceText {
                    text: fs::read_to_string(world.path("etc/systemtap").join(file)).unwrap(),
                    path: file.to_owned(),
                },
            );
        assert_eq!(by_bash(&world), expected.map(|text| text.map(str::to_owned)), "{config}{conf_d}");
        let [config_file, _, local, _] = files.clone();
        let host = Configuration::of_host(&[config_file, local], &files);
        let names = ["counter_OPT", "latency_OPT", "counter_REQ", "latency_REQ"];
        let ours = names.map(|name| host.environment().text(name));
        let ours: Vec<_> =
            ours.into_iter().zip(of_the_bundle).map(|(own, of_bundle)| own.or(of_bundle)).collect();
        assert_eq!(ours, expected, "{config}{conf_d}");
    }
}

/// What is left of the four variables when bash has sourced the files as the initscript does.
fn by_bash(world: &World) -> [Option<String>; 4] {
    let script = ". ./config; for f in conf.d/*.conf; do [ -f \"$f\" ] && . ./$f; done\n\
                  for v in counter_OPT latency_OPT counter_REQ latency_REQ; do\n\
                  [ -n \"${!v+x}\" ] && echo \"=${!v}\" || echo; done";
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", script])
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir(world.path("etc/systemtap"))
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.strip_prefix('=').map(str::to_owned)).collect();
    lines.try_into().unwrap()
}

#[test]
fn the_host_s_own_paths_are_honoured() {
    let world = World::new();
    fs::create_dir_all(world.path("etc/systemtap")).unwrap();
    fs::write(world.path("etc/systemtap/config"), "CACHE_PATH=/srv/cache\nCONFIG_PATH=/etc/stap.d\n")
        .unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    assert!(world.path("srv/cache/6.12.1/counter.ko").is_file());
    for begin in ["00", "zz"] {
        assert!(world.path(&format!("etc/stap.d/{begin}-stap-bundle.conf")).is_file());
    }
    assert!(!world.path("var/cache").exists());
}

#[test]
fn a_foreign_file_is_reported_and_left() {
    let world = World::new();
    fs::create_dir_all(world.path(CACHE)).unwrap();
    fs::write(world.path(&format!("{CACHE}/counter.ko")), "compiled here").unwrap();
    fs::write(world.path(&format!("{CACHE}/counter.opts")), "by somebody").unwrap();
    let report = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    let [foreign] = report.foreign.as_slice() else { panic!("{report:?}") };
    assert_eq!(
        (foreign.path.to_str().unwrap(), foreign.what.as_str()),
        ("/var/cache/systemtap/6.12.1/counter.ko", "file")
    );
    assert_eq!(fs::read_to_string(world.path(&format!("{CACHE}/counter.ko"))).unwrap(), "compiled here");
    assert_eq!(fs::read_to_string(world.path(&format!("{CACHE}/counter.opts"))).unwrap(), "by somebody");
}

#[test]
fn links_of_what_went_away_are_removed_and_nothing_else() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::write(world.path(&format!("{CACHE}/local.ko")), "compiled here").unwrap();
    symlink("/elsewhere/x.ko", world.path(&format!("{CACHE}/x.ko"))).unwrap();
    let fewer = Bundle { scripts: vec!["counter"], kernels: vec![("6.12.1", None)], ..bundle(2) };
    let world =
        World { options: InstallOptions { allow_removal: true, ..InstallOptions::default() }, ..world };
    let report = world.install(&fewer.bytes()).unwrap().compat.unwrap();
    assert!(!world.path(&format!("{CACHE}/latency.ko")).is_symlink());
    assert!(!world.path(&format!("{CACHE}/latency.opts")).exists());
    assert!(!world.path("var/cache/systemtap/6.12.2").exists());
    assert_eq!(report.removed.len(), 7, "{:?}", report.removed);
    assert!(world.path(&format!("{CACHE}/local.ko")).is_file());
    assert!(world.path(&format!("{CACHE}/x.ko")).is_symlink());
    assert!(cache_is_valid(&world, "counter", None));
    rollback(&world.host, &world.identity, None, None, std::time::Duration::ZERO).unwrap();
    assert!(cache_is_valid(&world, "latency", None));
}

#[test]
fn a_release_whose_kernel_is_another_build_keeps_its_links() {
    let world = World::new();
    let one = Bundle { kernels: vec![("6.12.1", None)], ..bundle(1) };
    let other = Bundle { kernels: vec![("6.12.1", None)], symvers: Some("another build"), ..bundle(2) };
    world.install(&one.bytes()).unwrap();
    let links = our_links(&world);
    let module = |serial: &Bundle| {
        let found = fs::read(world.path(&format!("{CACHE}/counter.ko"))).unwrap();
        assert_eq!(found, serial.module("counter", "6.12.1"));
    };
    module(&one);
    world.install(&other.bytes()).unwrap();
    module(&other);
    rollback(&world.host, &world.identity, None, None, Duration::ZERO).unwrap();
    module(&one);
    assert_eq!(our_links(&world), links);
}

#[test]
fn links_and_options_of_an_earlier_version_become_links_through_the_view() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let links = our_links(&world);
    let view = world.path("var/lib/stap-bundle/current/initscript");
    for name in ["counter", "latency"] {
        let [module, opts] = ["ko", "opts"].map(|kind| world.path(&format!("{CACHE}/{name}.{kind}")));
        let text = fs::read(&opts).unwrap();
        fs::remove_file(&opts).unwrap();
        fs::write(&opts, text).unwrap();
        let target = fs::read_link(view.join(format!("6.12.1/{name}.ko"))).unwrap();
        let target = target.strip_prefix("../..").unwrap();
        fs::remove_file(&module).unwrap();
        symlink(Path::new("../../../../var/lib/stap-bundle/current").join(target), &module).unwrap();
    }
    fs::remove_dir_all(&view).unwrap();
    assert!(cache_is_valid(&world, "counter", None));
    let report = reconcile(&world.host, &world.identity).unwrap();
    assert!(report.foreign.is_empty() && report.removed.is_empty(), "{report:?}");
    assert!(cache_is_valid(&world, "counter", None) && cache_is_valid(&world, "latency", None));
    assert_eq!(our_links(&world), links);
}

#[test]
fn a_renamed_host_gets_new_first_lines() {
    let mut world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.identity.node = "node2".to_owned();
    world.identity.uname_a = Some("Linux node2 6.12.1 #1 SMP Debian 1 x86_64 GNU/Linux".to_owned());
    assert!(!cache_is_valid(&world, "counter", None));
    let report = reconcile(&world.host, &world.identity).unwrap();
    assert!(cache_is_valid(&world, "counter", None));
    assert_eq!(report.written.len(), 4);
    assert_eq!(reconcile(&world.host, &world.identity).unwrap(), crate::ReconcileReport::default());
}

#[test]
fn another_kernel_s_first_line_is_what_uname_will_print_there() {
    let world = World::new();
    let spec = Bundle { kernels: vec![("6.12.1", None), ("6.12.2", Some("#7 SMP later"))], ..bundle(1) };
    world.install(&spec.bytes()).unwrap();
    let opts = fs::read_to_string(world.path("var/cache/systemtap/6.12.2/counter.opts")).unwrap();
    assert_eq!(opts, "Linux node1 6.12.2 #7 SMP later x86_64 GNU/Linux\n-D FOO=1 --\n");
}

#[test]
fn a_damaged_configuration_file_is_left_out_with_a_word() {
    let world = World::new();
    fs::create_dir_all(world.path("etc/systemtap/conf.d")).unwrap();
    fs::write(world.path("etc/systemtap/conf.d/bad.conf"), "if true; then CACHE_PATH=/x; fi\n").unwrap();
    let report = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    let words = "/etc/systemtap/conf.d/bad.conf is left out because of line 1: \"if\" isn't carried out: ";
    let [warning] = report.warnings.as_slice() else { panic!("{report:?}") };
    assert!(warning.starts_with(words) && warning.contains("`stap-bundle config check`"), "{warning}");
    assert!(cache_is_valid(&world, "counter", None));
}

#[test]
fn a_removed_pin_takes_links_and_options_along_and_a_new_one_brings_them_back() {
    let world = World::new();
    let mut trust = TrustStore::open(&world.host).unwrap();
    trust.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap();
    world.install(&bundle(1).bytes()).unwrap();
    let other = Bundle { name: "storage", scripts: vec!["blocks"], key: stranger(), ..bundle(5) };
    world.install(&other.bytes()).unwrap();
    let conf = world.path("etc/systemtap/conf.d/00-stap-bundle.conf");
    let whole = fs::read_to_string(&conf).unwrap();

    trust.remove(&world.host, &public(&stranger()).id().short(), None, Duration::ZERO).unwrap();
    reconcile(&world.host, &world.identity).unwrap();
    let text = fs::read_to_string(&conf).unwrap();
    assert!(text.contains("counter_OPT") && !text.contains("blocks"), "{text}");
    assert!(!world.path(&format!("{CACHE}/blocks.ko")).is_symlink());
    assert!(!world.path(&format!("{CACHE}/blocks.opts")).exists());
    assert!(cache_is_valid(&world, "counter", None));

    trust.remove(&world.host, &public(&farm()).id().short(), None, Duration::ZERO).unwrap();
    reconcile(&world.host, &world.identity).unwrap();
    assert_eq!(our_links(&world), []);
    assert!(!world.path(CACHE).exists() && !conf.is_symlink());

    trust.add(&world.host, public(&farm()), None, Duration::ZERO).unwrap();
    trust.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap();
    reconcile(&world.host, &world.identity).unwrap();
    assert_eq!(fs::read_to_string(&conf).unwrap(), whole);
    assert!(cache_is_valid(&world, "blocks", None));
    let again = reconcile(&world.host, &world.identity).unwrap();
    assert_eq!(again, crate::ReconcileReport::default());
}

#[test]
fn a_hand_made_opts_file_without_our_link_is_left() {
    let world = World::new();
    fs::create_dir_all(world.path(CACHE)).unwrap();
    let opts = world.path(&format!("{CACHE}/counter.opts"));
    fs::write(&opts, "by hand").unwrap();
    let first = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    for report in [first, reconcile(&world.host, &world.identity).unwrap()] {
        let [foreign] = report.foreign.as_slice() else { panic!("{report:?}") };
        assert!(foreign.path.ends_with("counter.opts") && foreign.what == "file", "{foreign:?}");
        assert_eq!(fs::read_to_string(&opts).unwrap(), "by hand");
        assert!(!world.path(&format!("{CACHE}/counter.ko")).is_symlink());
    }
    assert!(cache_is_valid(&world, "latency", None));
    fs::remove_file(&opts).unwrap();
    reconcile(&world.host, &world.identity).unwrap();
    assert!(cache_is_valid(&world, "counter", None));
    fs::remove_file(world.path(&format!("{CACHE}/counter.ko"))).unwrap();
    reconcile(&world.host, &world.identity).unwrap();
    assert!(
        cache_is_valid(&world, "counter", None),
        "an .opts file that is ours to the byte is no one else's"
    );
}

#[test]
fn a_cache_or_configuration_inside_our_own_directories_is_refused() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::create_dir_all(world.path("etc/systemtap")).unwrap();
    symlink("../var/lib/stap-bundle/inbox", world.path("etc/behind")).unwrap();
    fs::create_dir_all(world.path("var/lib/stap-bundle/inbox")).unwrap();
    for (parameter, value, own) in [
        ("CACHE_PATH", "/var/lib/stap-bundle", "/var/lib/stap-bundle"),
        ("CACHE_PATH", "/var/lib//stap-bundle/./current/x", "/var/lib/stap-bundle"),
        ("CONFIG_PATH", "/etc/stap-bundle/trust/default", "/etc/stap-bundle"),
        ("CACHE_PATH", "/run/stap-bundle/cache", "/run/stap-bundle"),
        ("CACHE_PATH", "/etc/behind/new/cache", "/var/lib/stap-bundle"),
    ] {
        fs::write(world.path("etc/systemtap/config"), format!("{parameter}={value}\n")).unwrap();
        let error = reconcile(&world.host, &world.identity).unwrap_err();
        let CompatError::InsideOurs { parameter: found, own: inside, .. } = &error else { panic!("{error}") };
        assert_eq!((*found, *inside), (parameter, own), "{error}");
    }
    fs::write(world.path("etc/systemtap/config"), "CACHE_PATH=/var/lib/stap-bundle-cache\n").unwrap();
    reconcile(&world.host, &world.identity).unwrap();
}

#[test]
fn a_line_end_in_what_the_host_says_never_comes_into_an_opts_file() {
    let mut world = World::new();
    world.identity.node = "node1\n-D EVIL --".to_owned();
    world.options = InstallOptions { kernels: KernelChoice::All, ..InstallOptions::default() };
    let report = world.install(&bundle(1).bytes()).unwrap().compat.unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("the host's name")), "{report:?}");
    assert!(!world.path("var/cache/systemtap").exists());
    world.identity.node = "node1".to_owned();
    world.identity.uname_a = Some("Linux node1 6.12.1\nx".to_owned());
    let report = reconcile(&world.host, &world.identity).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("uname -a")), "{report:?}");
}
