//! What comes and goes is said; what is used here goes only where that is allowed.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A host with two kernels and a bundle for both; the next one lacks a kernel and a script.
fn world() -> TestWorld {
    let world = TestWorld::new();
    fs::create_dir_all(world.path("host/lib/modules/6.13.0-test/kernel")).unwrap();
    world.bundle("fleet-1.stapb", &Bundle { red: Vec::new(), ..fleet(1) });
    world.bundle(
        "less.stapb",
        &Bundle {
            scripts: vec!["counter", "reads"],
            kernels: vec!["6.12.1-test"],
            red: Vec::new(),
            ..fleet(2)
        },
    );
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    world
}

#[test]
fn a_kernel_that_this_host_has_goes_only_with_allow_removal() {
    let world = world();
    let before = world.tree();
    assert_snapshot!(world.talk("
        install --root host less.stapb
        install --root host less.stapb --dry-run
    "), @r#"
    $ stap-bundle install --root host less.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: less.stapb: bundle fleet 1.2 would take away kernel 6.13.0-test, which this host has
    2> hint: if that is meant: --allow-removal, this once, or `allow-removal = true` below [install] in policy.toml
    2> hint: if not: have the farm build the bundle with it; a kernel that --kernel left out is named with it too
    2> hint: `stap-bundle install --dry-run FILE` lists all that would change
    [exit 16]
    $ stap-bundle install --root host less.stapb --dry-run
    would install: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      + script reads
      - script latency
      ~ kernel 6.12.1-test: added reads; removed latency
      - kernel 6.13.0-test: 2 modules
      would make /var/cache/systemtap/6.12.1-test/reads.ko
      would make /var/cache/systemtap/6.12.1-test/reads.opts
      would remove /var/cache/systemtap/6.12.1-test/latency.ko
      would remove /var/cache/systemtap/6.12.1-test/latency.opts
      would remove /var/cache/systemtap/6.13.0-test/counter.ko
      would remove /var/cache/systemtap/6.13.0-test/counter.opts
      would remove /var/cache/systemtap/6.13.0-test/latency.ko
      would remove /var/cache/systemtap/6.13.0-test/latency.opts
      nothing was written
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2>   6.12.1-test: 2 modules, [SIZE]
    2> warning: the installed kernel 6.13.0-test is not in the bundle
    2> warning: the install will be refused: it would take away kernel 6.13.0-test, which this host has; --allow-removal allows it
    [exit 16]
    "#);
    let dry = world.json("install --root host less.stapb --dry-run");
    assert_eq!(dry["removal"]["kernels"][0], "6.13.0-test");
    assert_eq!(dry["removal"]["refused"], true);
    assert_eq!(dry["changes"]["scripts"]["removed"][0], "latency");
    assert_eq!(dry["changes"]["kernels"][1]["after"], "absent");
    assert_eq!(world.tree(), before);
    assert_snapshot!(world.talk("
        install --root host less.stapb --allow-removal
        history --root host -n 1
        rollback --root host
        uninstall --root host fleet --dry-run
        uninstall --root host fleet
    "), @r#"
    $ stap-bundle install --root host less.stapb --allow-removal
    installed: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      + script reads
      - script latency
      ~ kernel 6.12.1-test: added reads; removed latency
      - kernel 6.13.0-test: 2 modules
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 1 to generation 2
    2> warning: the installed kernel 6.13.0-test is not in the bundle
    2> warning: this takes away kernel 6.13.0-test, which this host has, as was allowed
    [exit 0]
    $ stap-bundle history --root host -n 1
    at an unknown time  installed fleet 1.2 as generation 2, after 1, taking away kernel 6.13.0-test, which this host has, as was allowed
    [exit 0]
    $ stap-bundle rollback --root host
    rolled back: from generation 2 to 1
      + script latency
      - script reads
      ~ kernel 6.12.1-test: added latency; removed reads
      + kernel 6.13.0-test: 2 modules
    [exit 0]
    $ stap-bundle uninstall --root host fleet --dry-run
    would uninstall: fleet 1.1, with 2 scripts
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - kernel 6.13.0-test: 2 modules
    [exit 0]
    $ stap-bundle uninstall --root host fleet
    uninstalled: fleet, with generation 3
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - kernel 6.13.0-test: 2 modules
    2> switching from generation 1 to generation 3
    [exit 0]
    "#);
}

#[test]
fn a_policy_may_allow_it_and_a_script_that_runs_counts_too() {
    let world = world();
    fs::remove_dir_all(world.path("host/lib/modules/6.13.0-test")).unwrap();
    world.write(
        "host/run/stap-bundle/run/latency.json",
        r#"{"script":"latency","generation":1,"boot_id":"x"}"#,
    );
    let refused = world.run("install --root host less.stapb");
    world.write("host/etc/stap-bundle/policy.toml", "[install]\nallow-removal = true\n");
    world.chmod("host/etc/stap-bundle/policy.toml", 0o644);
    assert_snapshot!(format!("{refused}{}", world.run("install --root host less.stapb")), @r#"
    $ stap-bundle install --root host less.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: less.stapb: bundle fleet 1.2 would take away script latency, which runs
    2> hint: if that is meant: --allow-removal, this once, or `allow-removal = true` below [install] in policy.toml
    2> hint: if not: have the farm build the bundle with it; a kernel that --kernel left out is named with it too
    2> hint: `stap-bundle install --dry-run FILE` lists all that would change
    [exit 16]
    $ stap-bundle install --root host less.stapb
    installed: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      + script reads
      - script latency
      ~ kernel 6.12.1-test: added reads; removed latency
      - kernel 6.13.0-test: 2 modules
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 1 to generation 2
    2> warning: this takes away script latency, which runs, as was allowed
    [exit 0]
    "#);
    let document = world.json("history --root host -n 1");
    assert_eq!(document["events"][0]["event"]["removed_scripts"][0], "latency");
}

#[test]
fn an_empty_generation_is_shown_and_gone_back_to_by_its_number_only() {
    let world = world();
    world.bundle("fleet-3.stapb", &Bundle { red: Vec::new(), ..fleet(3) });
    assert_eq!(world.run("uninstall --root host fleet").exit, Some(0));
    assert_eq!(world.run("install --root host fleet-3.stapb").exit, Some(0));
    assert_snapshot!(world.talk("
        list --root host
        rollback --root host
        rollback --root host 2
    "), @r#"
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE     SCRIPTS  KERNELS
     1            -     fleet 1.1  2        6.12.1-test, 6.13.0-test
     2            -     (empty)    0
     3 (current)  -     fleet 1.3  2        6.12.1-test, 6.13.0-test
    [exit 0]
    $ stap-bundle rollback --root host
    2> error: generation 2, to which it would go, is empty: nothing is installed in it
    2> hint: the newest one before it that has bundles: stap-bundle rollback 1
    2> hint: if that is meant: stap-bundle rollback 2
    [exit 16]
    $ stap-bundle rollback --root host 2
    rolled back: from generation 3 to 2
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - kernel 6.13.0-test: 2 modules
    [exit 0]
    "#);
    let list = world.json("list --root host");
    assert_eq!(
        (&list["generations"][0]["empty"], &list["generations"][1]["empty"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn a_bundle_is_compared_with_what_is_installed_under_its_name() {
    let world = world();
    world.bundle(
        "other.stapb",
        &Bundle { name: "storage", scripts: vec!["blocks"], red: Vec::new(), ..fleet(2) },
    );
    world.write("stranger.stapb", fleet(2).signed(&world.stranger));
    let delta = Bundle { red: Vec::new(), buffer: 8, ..fleet(3) }
        .delta_from(&world.path("fleet-1.stapb"), &world.farm);
    world.write("delta.stapb", delta);
    let before = world.tree();
    assert_snapshot!(world.talk("
        diff --root host --installed fleet-1.stapb
        diff --root host --installed less.stapb
        diff --root host --installed delta.stapb
        diff --root host --installed other.stapb
        diff --root host --installed stranger.stapb
        diff --root host --installed fleet-1.stapb less.stapb
        diff --root host fleet-1.stapb
    "), @r#"
    $ stap-bundle diff --root host --installed fleet-1.stapb
    --- fleet 1.1, serial 1
    +++ fleet 1.1, serial 1
    2> The content is the same.
    [exit 0]
    $ stap-bundle diff --root host --installed less.stapb
    --- fleet 1.1, serial 1
    +++ fleet 1.2, serial 2
    - script latency
    + script reads
    ~ kernel 6.12.1-test: added reads; removed latency; [SIZE] -> [SIZE] unpacked, [SIZE] -> [SIZE] in frames
    - kernel 6.13.0-test: 2 modules, [SIZE] unpacked, [SIZE] in frames
      frames [SIZE] -> [SIZE]
    [exit 1]
    $ stap-bundle diff --root host --installed delta.stapb
    --- fleet 1.1, serial 1
    +++ fleet 1.3, serial 3
    ~ script counter: options, run arguments
        options "-D FOO=1 -s 4" -> "-D FOO=1 -s 8"
        run arguments "-L -b 4" -> "-L -b 8"
    ~ script latency: options, run arguments
        options "-D FOO=1 -s 4" -> "-D FOO=1 -s 8"
        run arguments "-L -b 4" -> "-L -b 8"
      frames [SIZE] -> [SIZE]
    [exit 1]
    $ stap-bundle diff --root host --installed other.stapb
    2> error: bundle storage is not installed; installed: fleet
    2> hint: `stap-bundle list` shows what is installed
    [exit 12]
    $ stap-bundle diff --root host --installed stranger.stapb
    2> error: stranger.stapb: signed by key [STRANGER-KEY-SHORT], which isn't trusted here
    2>   because: only key [FARM-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle diff --root host --installed fleet-1.stapb less.stapb
    2> error: the argument '--installed' cannot be used with '[NEW]'
    2>
    2> Usage: stap-bundle diff [OPTIONS] OLD NEW
    2>        stap-bundle diff [OPTIONS] --installed NEW
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle diff --root host fleet-1.stapb
    2> error: the following required arguments were not provided:
    2>   <NEW>
    2>
    2> Usage: stap-bundle diff [OPTIONS] OLD NEW
    2>        stap-bundle diff [OPTIONS] --installed NEW
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    assert_eq!(world.tree(), before);
    let input = fs::read(world.path("less.stapb")).unwrap();
    let said = world.run_with_input("diff --root host --installed -", &input);
    assert_eq!(said.exit, Some(1), "{said}");
}

/// Without a policy of its own a host keeps three generations.
#[test]
fn a_host_without_a_policy_keeps_three_generations() {
    let world = world();
    for serial in 2..=5 {
        world.bundle("next.stapb", &fleet(serial));
        let said = world.run("install --root host next.stapb --allow-removal");
        assert_eq!(said.exit, Some(0), "{said}");
    }
    let list = world.json("list --root host");
    let numbers: Vec<u64> =
        list["generations"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 4, 5]);
}
