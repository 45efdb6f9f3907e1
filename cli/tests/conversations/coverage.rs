//! `coverage`: what a fleet's hosts would get.

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::stand_in_farm;
use crate::world::TestWorld;

/// Hosts of every sort, and a line that is none.
const HOSTS: &str = "\
web1: Linux web1 6.12.1-test #1 SMP x86_64 GNU/Linux
web2 6.12.1-test
arm1: Linux arm1 6.12.1-test #1 SMP aarch64 GNU/Linux
old1 5.10.0-30-amd64
old2 5.10.0-30-amd64
Permission denied (publickey).
";

fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    world.write("hosts.txt", HOSTS);
    world
}

#[test]
fn each_sort_of_host_is_a_row_and_the_exit_code_says_whether_all_get_all() {
    let world = world();
    assert_snapshot!(world.talk("
        coverage --fleet hosts.txt fleet.stapb --key farm.pub
        coverage --fleet hosts.txt fleet.stapb --key farm.pub --min 40
        coverage --fleet hosts.txt fleet.stapb --key farm.pub --min 41 -q
        coverage --fleet hosts.txt fleet.stapb --key stranger.pub
        coverage --fleet hosts.txt
        coverage --fleet absent.txt fleet.stapb --key farm.pub
    "), @r#"
    $ stap-bundle coverage --fleet hosts.txt fleet.stapb --key farm.pub
     KERNEL           HOSTS  MACHINE  SCRIPTS          WHICH
     5.10.0-30-amd64  2      -        none             old1, old2
     6.12.1-test      2      -        all              web1, web2
     6.12.1-test      1      aarch64  another machine  arm1
    6.12.1-test: the modules are for [MACHINE]
    all scripts: 2 of 5 hosts (40 %)
    2> warning: hosts.txt: 1 line names no kernel and is passed over: line 6: `Permission denied (publickey).`
    [exit 1]
    $ stap-bundle coverage --fleet hosts.txt fleet.stapb --key farm.pub --min 40
     KERNEL           HOSTS  MACHINE  SCRIPTS          WHICH
     5.10.0-30-amd64  2      -        none             old1, old2
     6.12.1-test      2      -        all              web1, web2
     6.12.1-test      1      aarch64  another machine  arm1
    6.12.1-test: the modules are for [MACHINE]
    all scripts: 2 of 5 hosts (40 %)
    2> warning: hosts.txt: 1 line names no kernel and is passed over: line 6: `Permission denied (publickey).`
    [exit 0]
    $ stap-bundle coverage --fleet hosts.txt fleet.stapb --key farm.pub --min 41 -q
    2> warning: hosts.txt: 1 line names no kernel and is passed over: line 6: `Permission denied (publickey).`
    [exit 1]
    $ stap-bundle coverage --fleet hosts.txt fleet.stapb --key stranger.pub
    2> warning: hosts.txt: 1 line names no kernel and is passed over: line 6: `Permission denied (publickey).`
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle coverage --fleet hosts.txt
    2> error: the following required arguments were not provided:
    2>   <BUNDLE>...
    2>
    2> Usage: stap-bundle coverage --fleet <FILE> <BUNDLE>...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle coverage --fleet absent.txt fleet.stapb --key farm.pub
    2> error: absent.txt: No such file or directory
    [exit 14]
    "#);
    let found = world.json("coverage --fleet hosts.txt fleet.stapb --key farm.pub");
    assert_eq!((&found["hosts"], &found["covered"], &found["percent"]), (&5.into(), &2.into(), &40.into()));
}

#[test]
fn what_a_new_kernel_would_cost_is_known_before_it_is_rolled_out() {
    let world = world();
    world.write("web.txt", "web1 6.12.1-test\nweb2 6.12.1-test\n");
    assert_snapshot!(world.talk("
        coverage --fleet web.txt fleet.stapb --key farm.pub --next 6.12.1-test
        coverage --fleet web.txt fleet.stapb --key farm.pub --next 6.13.0-test
    "), @r#"
    $ stap-bundle coverage --fleet web.txt fleet.stapb --key farm.pub --next 6.12.1-test
     KERNEL       HOSTS  MACHINE  SCRIPTS  WHICH
     6.12.1-test  2      -        all      web1, web2
    all scripts: 2 of 2 hosts (100 %)
    nothing would be lost with kernel 6.12.1-test
    [exit 0]
    $ stap-bundle coverage --fleet web.txt fleet.stapb --key farm.pub --next 6.13.0-test
     KERNEL       HOSTS  MACHINE  SCRIPTS  WHICH
     6.12.1-test  2      -        all      web1, web2
    all scripts: 2 of 2 hosts (100 %)
    with kernel 6.13.0-test would be lost:
      latency on 2 hosts: no such probe
    [exit 1]
    "#);
}

#[test]
fn what_a_build_would_do_stands_in_for_a_bundle() {
    let world = world();
    world.write("web.txt", "web1 6.12.1-test\n");
    world.write(
        "plan.json",
        r#"{"schema":"build-plan/1","kernels":[{"release":"6.12.1-test","machine":"x86_64","uname_v":null}],
        "cells":[{"script":"a","kernel":"6.12.1-test","state":"cached","reason":null},
                 {"script":"b","kernel":"6.12.1-test","state":"compile","reason":null},
                 {"script":"c","kernel":"6.12.1-test","state":"red","reason":"no such probe"}]}"#,
    );
    world.write("other.json", r#"{"schema":"status/1"}"#);
    assert_snapshot!(world.talk("
        coverage --fleet web.txt --plan plan.json
        coverage --fleet web.txt --plan other.json
        coverage --fleet web.txt --plan plan.json fleet.stapb
    "), @r#"
    $ stap-bundle coverage --fleet web.txt --plan plan.json
     KERNEL       HOSTS  MACHINE  SCRIPTS  WHICH
     6.12.1-test  1      -        1 of 3   web1
    6.12.1-test: b: it isn't compiled yet
    6.12.1-test: c: no such probe
    all scripts: 0 of 1 host (0 %)
    [exit 1]
    $ stap-bundle coverage --fleet web.txt --plan other.json
    2> error: other.json: its schema is status/1, expected build-plan/1
    2> hint: stap-bundle --json build --kernels FILE --dry-run writes one
    [exit 11]
    $ stap-bundle coverage --fleet web.txt --plan plan.json fleet.stapb
    2> error: the argument '--plan <FILE>' cannot be used with '[BUNDLE]...'
    2>
    2> Usage: stap-bundle coverage --fleet <FILE> --plan <FILE> [BUNDLE]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}

#[test]
fn the_page_has_every_row_and_asks_the_network_for_nothing() {
    let world = world();
    let said = world.run("coverage --fleet hosts.txt fleet.stapb --key farm.pub --report fleet.html -q");
    assert_eq!(said.exit, Some(1), "{said}");
    let page = std::fs::read_to_string(world.path("fleet.html")).unwrap();
    for words in
        ["all scripts: 2 of 5 hosts (40 %)", "<th>5.10.0-30-amd64</th>", "another machine", "old1, old2"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("http") && !page.contains("<script"), "{page}");
    let again = world.run("coverage --fleet hosts.txt fleet.stapb --key farm.pub --report fleet.html -q");
    assert!(again.stderr.contains("--replace"), "{again}");
}

#[test]
fn kernels_with_the_most_hosts_come_first_in_what_a_build_shows() {
    let world = stand_in_farm::world();
    world.write("fleet.txt", "db 6.12.1-test\nweb1 6.12.2-test\nweb2 6.12.2-test\n");
    let build = "build --kernels fleet.txt --sysroot root -c config --cache c --key farm2.key -o fleet.stapb counter latency";
    let said = world.run(build);
    assert_snapshot!(said.stdout.split("\n\n").next().unwrap(), @r#"
    SCRIPT   6.12.2-test  6.12.1-test
             2 hosts      1 host
    counter  compiled     compiled
    latency  compiled     compiled
    "#);
}
