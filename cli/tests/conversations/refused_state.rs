//! State that is refused or damaged is named by every command that reads it, with a code of its own: never "nothing is
//! installed", for nobody knows that then.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::made_up_kernel::start;
use crate::world::TestWorld;

const STATE: &str = "host/var/lib/stap-bundle";

/// A host with one bundle.
fn world() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    for line in ["trust add --root host farm.pub", "install --root host fleet.stapb"] {
        assert_eq!(world.run(line).exit, Some(0));
    }
    world
}

/// The same, and its scripts run.
fn running() -> TestWorld {
    let world = world();
    start(&world.path("host"), "6.12.1-test", true).unwrap();
    world
}

/// Something that is wrong with what is kept on a host.
struct Wrong {
    /// What a command says of it.
    said: &'static str,
    /// How it ends.
    exit: i32,
    make: fn(&Path),
}

fn open_to_others(path: PathBuf) {
    fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

fn link_to(state: &Path, target: &str) {
    fs::remove_file(state.join("current")).unwrap();
    symlink(target, state.join("current")).unwrap();
}

/// What keeps any command from knowing what is installed.
const UNKNOWN: [Wrong; 8] = [
    Wrong {
        said: "/var/lib/stap-bundle can be written by others (mode 0777)",
        exit: 10,
        make: |state| open_to_others(state.to_owned()),
    },
    Wrong {
        said: "/var/lib/stap-bundle/generations can be written by others (mode 0777)",
        exit: 10,
        make: |state| open_to_others(state.join("generations")),
    },
    Wrong {
        said: "current: it is missing, though generation 1 is there",
        exit: 11,
        make: |state| fs::remove_file(state.join("current")).unwrap(),
    },
    Wrong {
        said: "current: it points to `elsewhere`, not to a generation",
        exit: 11,
        make: |state| link_to(state, "elsewhere"),
    },
    Wrong {
        said: "`current` names generation 7, which is not there",
        exit: 11,
        make: |state| link_to(state, "generations/7"),
    },
    Wrong {
        said: "current: it is no link",
        exit: 11,
        make: |state| {
            fs::remove_file(state.join("current")).unwrap();
            fs::write(state.join("current"), "").unwrap();
        },
    },
    Wrong {
        said: "`current` names generation 1, which is not there",
        exit: 11,
        make: |state| fs::remove_dir_all(state.join("generations/1")).unwrap(),
    },
    Wrong {
        said: "stap-bundle: it leads to ../gone, which is not there",
        exit: 11,
        make: |state| {
            fs::remove_dir_all(state).unwrap();
            symlink("../gone", state).unwrap();
        },
    },
];

/// Words for a host without bundles.
const NONE: [&str; 4] = ["nothing is installed", "no scripts", "no installed bundle", "is not installed"];

#[test]
fn what_is_not_known_is_never_called_nothing() {
    for Wrong { said, exit, make } in UNKNOWN {
        let world = world();
        make(&world.path(STATE));
        let before = world.tree();
        for line in ["list", "status", "status counter", "status nobody", "status --metrics", "-q list"] {
            let answer = world.run(&format!("{line} --root host"));
            assert_eq!(answer.exit, Some(exit), "{said}: {answer}");
            let on_one_line = answer.stderr.replace("\n  because: ", ": ");
            assert!(on_one_line.contains(said), "{said}: {answer}");
            assert!(NONE.iter().all(|none| !answer.to_string().contains(none)), "{said}: {answer}");
        }
        for line in ["fsck", "gc", "uninstall fleet --dry-run", "diff --installed fleet.stapb", "pin"] {
            let answer = world.run(&format!("{line} --root host"));
            assert!(answer.exit != Some(0), "{said}: {answer}");
            assert!(NONE.iter().all(|none| !answer.to_string().contains(none)), "{said}: {answer}");
        }
        let status = world.json("status --root host");
        assert!(status["errors"][0]["what"].as_str().unwrap().contains(said), "{status}");
        assert!(status["generation"].is_null());
        let listed = world.run("--json list --root host");
        assert_eq!(listed.exit, Some(exit), "{listed}");
        let metrics = world.run("status --root host --metrics").stdout;
        assert!(metrics.contains("\nstap_bundle_errors ") && !metrics.contains("_errors 0"), "{metrics}");
        assert!(!metrics.contains("stap_bundle_generation"), "{metrics}");
        assert!(world.tree() == before, "{said}");
    }
}

#[test]
fn a_spoilt_generation_is_an_error_although_scripts_run() {
    let spoilt = [
        ("generation.json", Some("{"), 11),
        ("generation.json", None, 11),
        ("bundles/fleet/bundle.stapb", Some("not a bundle"), 0),
    ];
    for (name, text, listed) in spoilt {
        let world = running();
        let path = world.path(STATE).join("generations/1").join(name);
        fs::remove_file(&path).unwrap();
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let status = world.run("status --root host");
        assert_eq!(status.exit, Some(11), "{status}");
        assert!(status.stdout.contains("counter  running"), "{status}");
        assert_eq!(world.run("status --root host --metrics").exit, Some(11));
        assert_eq!(world.run("list --root host").exit, Some(listed));
        assert_eq!(world.json("status --root host")["errors"][0]["kind"], "damaged");
    }
    let world = running();
    fs::remove_dir_all(world.path(STATE).join("generations/1/bundles/fleet")).unwrap();
    for line in ["status", "status --metrics", "list"] {
        let answer = world.run(&format!("{line} --root host"));
        assert_eq!(answer.exit, Some(11), "{answer}");
        assert!(answer.to_string().contains("bundles/fleet"), "{answer}");
    }
}

#[test]
fn a_bundle_that_is_not_believed_is_an_error_although_its_scripts_run() {
    let world = running();
    fs::remove_dir_all(world.path("host/etc/stap-bundle/trust")).unwrap();
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet -
      refused: signed by key [FARM-KEY-SHORT], which isn't trusted here

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    [exit 10]
    "#);
    let metrics = world.run("status --root host --metrics");
    assert_eq!(metrics.exit, Some(10));
    assert!(metrics.stdout.contains("\nstap_bundle_errors 1\n"), "{metrics}");
    assert_eq!(world.json("status --root host")["errors"][0]["bundle"], "fleet");
}

#[test]
fn what_is_wrong_comes_with_the_way_out() {
    let world = running();
    fs::remove_file(world.path(STATE).join("current")).unwrap();
    assert_snapshot!(world.talk("
        status --root host
        list --root host
        install --root host fleet.stapb
    "), @r#"
    $ stap-bundle status --root host
    no kernel runs here, what is installed can't be read

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    2> error: what is installed can't be read: can't use link /var/lib/stap-bundle/current
    2>   because: it is missing, though generation 1 is there
    2> hint: stap-bundle list shows the generations; to make generation N current: stap-bundle rollback N
    [exit 11]
    $ stap-bundle list --root host
     GENERATION  MADE  BUNDLE     SCRIPTS  KERNELS
     1           -     fleet 1.1  2        6.12.1-test
    2> error: can't use link /var/lib/stap-bundle/current
    2>   because: it is missing, though generation 1 is there
    2> hint: stap-bundle list shows the generations; to make generation N current: stap-bundle rollback N
    [exit 11]
    $ stap-bundle install --root host fleet.stapb
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet.stapb: can't use link /var/lib/stap-bundle/current
    2>   because: it is missing, though generation 1 is there
    2> hint: stap-bundle list shows the generations; to make generation N current: stap-bundle rollback N
    [exit 11]
    "#);
    fs::create_dir(world.path(STATE).join("generations/2")).unwrap();
    symlink("generations/1", world.path(STATE).join("current")).unwrap();
    open_to_others(world.path(STATE).join("generations/2"));
    assert_snapshot!(world.talk("
        status --root host
        list --root host
    "), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    [exit 0]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE                                                                                                                      SCRIPTS  KERNELS
     1 (current)  -     fleet 1.1                                                                                                                   2        6.12.1-test
     2            -     can't be read: what is installed is not protected: /var/lib/stap-bundle/generations/2 can be written by others (mode 0777)
    [exit 10]
    "#);
    open_to_others(world.path("host/run/stap-bundle/run"));
    assert_snapshot!(world.talk("
        status --root host
        status --root nowhere --metrics
    "), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE     DATA  REQUIRES
     counter  running  -       -       - [SIZE]  -     -
     latency  running  -       -       - [SIZE]  -     counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    2> error: all records in /run/stap-bundle/run are passed over: /run/stap-bundle/run can be written by others (mode 0777): chmod go-w host/run/stap-bundle/run
    [exit 11]
    $ stap-bundle status --root nowhere --metrics
    # HELP stap_bundle_errors State of this host that is refused or damaged; other gauges may be missing for it.
    # TYPE stap_bundle_errors gauge
    stap_bundle_errors 1
    2> error: --root nowhere: No such file or directory
    2> hint: name the directory in which a host's files are, such as a mounted image
    [exit 14]
    "#);
}
