//! What people read where something on a host is from a newer stap-bundle.

use std::fs;

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::made_up_kernel::{loaded, start, stop};
use crate::world::TestWorld;

const STATE: &str = "host/var/lib/stap-bundle";

/// A host with one bundle, whose scripts run.
fn world() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet-1.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    for line in ["trust add --root host farm.pub", "install --root host fleet-1.stapb"] {
        assert_eq!(world.run(line).exit, Some(0));
    }
    start(&world.path("host"), "6.12.1-test", true).unwrap();
    world
}

/// Changes the text of a file.
fn edit(world: &TestWorld, path: &str, old: &str, new: &str) {
    let path = world.path(STATE).join(path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replacen(old, new, 1)).unwrap();
}

#[test]
fn a_generation_of_a_newer_version_is_named_by_each_command_and_stop_goes_on() {
    let world = world();
    edit(&world, "generations/1/generation.json", "\"format\": 1", "\"format\": 99");
    let before = world.tree();
    assert_snapshot!(world.talk("
        fsck --root host
        list --root host
        install --root host fleet-2.stapb
        status --root host
    "), @r#"
    $ stap-bundle fsck --root host
    2> error: can't understand /var/lib/stap-bundle/generations/1/generation.json
    2>   because: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE                                                                                                                                                                      SCRIPTS  KERNELS
     1 (current)  -     can't be read: can't understand /var/lib/stap-bundle/generations/1/generation.json: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    $ stap-bundle install --root host fleet-2.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-2.stapb: can't understand /var/lib/stap-bundle/generations/1/generation.json
    2>   because: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    $ stap-bundle status --root host
    no kernel runs here, what is installed can't be read

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    2> error: what is installed can't be read: can't understand /var/lib/stap-bundle/generations/1/generation.json
    2>   because: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    "#);
    let said = world.json("status --root host");
    assert!(said["errors"][0]["what"].as_str().unwrap().contains("generation.json"), "{said}");
    let metrics = world.run("status --root host --metrics");
    assert!(metrics.stdout.contains("\nstap_bundle_errors 1\n") && metrics.exit == Some(30), "{metrics}");
    assert!(world.tree() == before);
    assert_eq!(stop(&world.path("host"), "6.12.1-test").exit_code(), 0);
    assert!(loaded(&world.path("host")).is_empty());
}

#[test]
fn an_event_of_a_newer_version_is_in_the_history() {
    let world = world();
    let path = world.path(STATE).join("state/history");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"time\":1750000000,\"event\":{\"kind\":\"mask\",\"script\":\"counter\"}}\n");
    text.push_str(
        "{\"format\":99,\"time\":1750000001,\"event\":{\"kind\":\"pin\",\"generations\":[1]}}\n{\"time\":17",
    );
    fs::write(path, text).unwrap();
    assert_snapshot!(world.run("history --root host -n 3"), @r#"
    $ stap-bundle history --root host -n 3
    [DATE]  not known to this stap-bundle: {"kind":"mask","script":"counter"}
    [DATE]  not known to this stap-bundle: {"generations":[1],"kind":"pin"}
    at an unknown time  not known to this stap-bundle: "{\"time\":17"
    [exit 0]
    "#);
    let events = world.json("history --root host");
    assert_eq!(events["events"][2]["event"], serde_json::json!({ "kind": "mask", "script": "counter" }));
    assert_eq!(events["events"][4]["event"], "{\"time\":17");
}

#[test]
fn a_boot_guard_s_record_of_a_newer_version_is_shown_and_settled_by_nobody() {
    let world = world();
    edit(&world, "state/boot-guard.json", "\"schema\":1", "\"schema\":99");
    let record = || fs::read_to_string(world.path(STATE).join("state/boot-guard.json")).unwrap();
    let before = record();
    assert_snapshot!(world.talk("
        boot-guard show --root host
        boot-guard settle --root host
        status --root host
    "), @r#"
    $ stap-bundle boot-guard show --root host
    2> error: /var/lib/stap-bundle/state/boot-guard.json: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    2> hint: stap-bundle boot-guard reset removes it
    [exit 30]
    $ stap-bundle boot-guard settle --root host
    2> error: can't settle /var/lib/stap-bundle/state/boot-guard.json
    2>   because: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL       BUNDLE     SINCE                    MODULE     DATA    REQUIRES
     counter  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  -
     latency  running  6.12.1-test  fleet 1.1  [DATE] [SIZE]  memory  counter
    kernel memory: about [SIZE] in 2 modules, recorders' buffers included
    2> error: the boot guard: /var/lib/stap-bundle/state/boot-guard.json: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 11]
    "#);
    stop(&world.path("host"), "6.12.1-test");
    let report = start(&world.path("host"), "6.12.1-test", true).unwrap();
    assert_eq!((report.exit_code(), report.left_out.len()), (0, 2));
    assert!(loaded(&world.path("host")).is_empty());
    assert_eq!(record(), before);
    assert_snapshot!(world.run("boot-guard reset --root host"), @r#"
    $ stap-bundle boot-guard reset --root host
    2> forgotten
    [exit 0]
    "#);
    start(&world.path("host"), "6.12.1-test", true).unwrap();
    assert_eq!(loaded(&world.path("host")), ["counter", "latency"]);
}

#[test]
fn a_chain_of_roots_in_a_newer_format_asks_for_a_newer_program_and_not_for_its_removal() {
    let world = TestWorld::new();
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    for line in ["create --key farm.pub -o roots.stapr", "sign roots.stapr --key farm.key"] {
        assert_eq!(world.run(&format!("trust root {line}")).exit, Some(0));
    }
    assert_eq!(world.run("trust add --root host roots.stapr").exit, Some(0));
    let mut chain = fs::read(world.path("roots.stapr")).unwrap();
    let format = b"{\"format\":1,";
    let at = chain.windows(format.len()).position(|window| window == format).unwrap() + format.len() - 2;
    chain[at] = b'2';
    let directory = world.path(STATE).join("state/roots/default");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("chain.stapr"), chain).unwrap();
    assert_snapshot!(world.run("trust list --root host"), @r#"
    $ stap-bundle trust list --root host
    2> error: /var/lib/stap-bundle/state/roots/default/chain.stapr, the accepted chain of roots, can't be used
    2>   because: a root needs `format 2`, which this program does not know: a newer stap-bundle is needed
    [exit 30]
    "#);
}

#[test]
fn a_policy_for_a_newer_version_stops_installs() {
    let world = world();
    fs::write(world.path("host/etc/stap-bundle/policy.toml"), "format = 99\n[domains]\nx = 1\n").unwrap();
    assert_snapshot!(world.run("install --root host fleet-2.stapb"), @r#"
    $ stap-bundle install --root host fleet-2.stapb
    2> error: fleet-2.stapb: can't understand /etc/stap-bundle/policy.toml
    2>   because: its version is 99, this stap-bundle reads up to 1: install the newer stap-bundle again
    [exit 30]
    "#);
}
