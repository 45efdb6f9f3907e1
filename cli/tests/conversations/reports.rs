//! `status --report` on hosts, `collect` and `coverage` of what they say on the farm.

use std::fs;

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;
use serde_json::Value;

use crate::bundles::fleet;
use crate::made_up_kernel;
use crate::world::TestWorld;

/// A host with that serial installed.
fn host(world: &TestWorld, name: &str, serial: u64, kernel: &str) {
    fs::create_dir_all(world.path(name).join("lib/modules").join(kernel).join("kernel")).unwrap();
    world.chmod(name, 0o755);
    FakeHost::create(&world.path(name)).unwrap();
    world.write(&format!("{name}/etc/hostname"), format!("{name}\n"));
    let bundle = format!("fleet-{serial}.stapb");
    world.bundle(&bundle, &fleet(serial));
    assert_eq!(world.run(&format!("trust add --root {name} farm.pub")).exit, Some(0));
    let said = world.run(&format!("install --root {name} {bundle}"));
    assert_eq!(said.exit, Some(0), "{said}");
}

fn report(world: &TestWorld, name: &str) -> Value {
    let said = world.run(&format!("status --root {name} --report"));
    assert_eq!((said.exit, said.stdout.lines().count()), (Some(0), 1), "{said}");
    world.write(&format!("reports/{name}"), &said.stdout);
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn a_host_says_in_a_line_what_it_runs_and_what_is_wrong() {
    let world = TestWorld::new();
    host(&world, "web1", 1, "6.12.1-test");
    made_up_kernel::start(&world.path("web1"), "6.12.1-test", false).unwrap();
    FakeHost::at(&world.path("web1")).remove_module("latency").unwrap();
    assert_eq!(world.run("mask --root web1 latency").exit, Some(0));
    let found = report(&world, "web1");
    assert_eq!((&found["host"], &found["kernel"]), (&"web1".into(), &"6.12.1-test".into()));
    assert_eq!((&found["running"], &found["masked"]), (&vec!["counter"].into(), &vec!["latency"].into()));
    assert_eq!(found["refused"]["masked"], Value::from(vec!["latency"]));
    assert_eq!((&found["bundles"][0]["name"], &found["bundles"][0]["serial"]), (&"fleet".into(), &1.into()));
    // A bundle that isn't believed is no bundle.
    let id = world.farm.public().id().short();
    assert_eq!(world.run(&format!("trust remove --root web1 {id} --yes")).exit, Some(0));
    let found = report(&world, "web1");
    assert_eq!((&found["refused_bundles"], &found["bundles"]), (&vec!["fleet"].into(), &Value::Null));
}

#[test]
fn who_is_behind_and_who_refuses_what_is_shown_and_coverage_reads_the_same_files() {
    let world = TestWorld::new();
    for (name, serial, kernel) in
        [("web1", 2, "6.12.1-test"), ("web2", 1, "6.12.1-test"), ("db", 2, "6.13.0-test")]
    {
        host(&world, name, serial, kernel);
        report(&world, name);
    }
    // An older report of a host, one of a later program, and what is none.
    let older = fs::read_to_string(world.path("reports/db")).unwrap();
    let mut older: Value = serde_json::from_str(&older).unwrap();
    older["time"] = 9.into();
    world.write("reports/older", format!("{older}\n{{\"schema\":\"host-report/9\"}}\nnonsense\n"));
    world.write("reports/.hidden", "nothing");
    let said = world.run("collect reports");
    assert_snapshot!(said.stdout, @r#"
     HOST  REPORTED                 KERNEL       GENERATION  RUNNING  REFUSED  BUNDLES
     db    [DATE]  6.13.0-test  1           0        2        fleet 1.2
     web1  [DATE]  6.12.1-test  1           0        2        fleet 1.2
     web2  [DATE]  6.12.1-test  1           0        2        fleet 1.1
    web2 is behind: it has serial 1 of fleet, others have 2
    no-kernel: counter on db, web1, web2; latency on db, web1, web2
    3 hosts
    "#);
    assert_snapshot!(said.stderr, @r#"
    warning: reports/older:2: passed over: its schema is `host-report/9`, this stap-bundle reads host-report/1
    warning: reports/older:3: passed over: it is no report of a host
    "#);
    let found = world.json("collect reports");
    assert_eq!((found["hosts"].as_array().unwrap().len(), &found["superseded"]), (3, &1.into()));
    world.write("notes", "no report\n".repeat(7));
    assert_snapshot!(world.talk("
        collect reports/absent
        collect notes
        coverage --fleet reports fleet-2.stapb --key farm.pub
    "), @r#"
    $ stap-bundle collect reports/absent
    2> error: reports/absent: No such file or directory
    [exit 14]
    $ stap-bundle collect notes
    2> warning: notes:1: passed over: it is no report of a host
    2> warning: notes:2: passed over: it is no report of a host
    2> warning: notes:3: passed over: it is no report of a host
    2> warning: notes:4: passed over: it is no report of a host
    2> warning: notes:5: passed over: it is no report of a host
    2> warning: notes: 2 lines more are passed over
    2> error: there is no report of a host
    2> hint: stap-bundle status --report on a host writes one
    [exit 2]
    $ stap-bundle coverage --fleet reports fleet-2.stapb --key farm.pub
     KERNEL       HOSTS  MACHINE  SCRIPTS  WHICH
     6.12.1-test  2      [MACHINE]   all      web1, web2
     6.13.0-test  1      [MACHINE]   1 of 2   db
    6.13.0-test: latency: no such probe
    all scripts: 2 of 3 hosts (66 %)
    2> warning: reports/older:2: passed over: its schema is `host-report/9`, this stap-bundle reads host-report/1
    2> warning: reports/older:3: passed over: it is no report of a host
    [exit 1]
    "#);
}
