//! `install`, `list`, `status`, `rollback`: a host in a directory.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A host that believes the farm, and two versions of its bundle.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet-1.stapb", &fleet(1));
    world.bundle("fleet-2.stapb", &fleet(2));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

#[test]
fn a_bundle_is_installed_once_and_never_an_older_one() {
    let world = world();
    assert_snapshot!(world.talk("
        list --root host
        install --root host fleet-1.stapb
        install --root host fleet-1.stapb
        install --root host fleet-2.stapb
        install --root host fleet-1.stapb
        list --root host
    "), @r#"
    $ stap-bundle list --root host
    2> nothing is installed
    [exit 0]
    $ stap-bundle install --root host fleet-1.stapb
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle install --root host fleet-1.stapb
    already installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    [exit 0]
    $ stap-bundle install --root host fleet-2.stapb
    installed: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      no script, kernel or module differs from generation 1
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 1 to generation 2
    [exit 0]
    $ stap-bundle install --root host fleet-1.stapb
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-1.stapb: bundle fleet 1.1 has serial 1 of epoch 0, older than serial 2 of epoch 0 in generation 2
    2> hint: to go back to what was installed before: stap-bundle rollback
    2> hint: to install it all the same, this once: --allow-downgrade
    [exit 13]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE     SCRIPTS  KERNELS
     1            -     fleet 1.1  2        6.12.1-test
     2 (current)  -     fleet 1.2  2        6.12.1-test
    [exit 0]
    "#);
    let cached = fs::read_to_string(world.path("host/var/cache/systemtap/6.12.1-test/latency.opts")).unwrap();
    assert_eq!(cached.lines().nth(1), Some("-D FOO=1 --"));
    assert!(world.path("host/var/cache/systemtap/6.12.1-test/counter.ko").is_file());
    assert!(!world.path("host/var/cache/systemtap/6.13.0-test").exists());
}

#[test]
fn the_kernels_can_be_chosen() {
    let world = world();
    assert_snapshot!(world.talk("
        install --root host fleet-1.stapb --all-kernels
        -q install --root host fleet-2.stapb --kernel 6.13.0-test
        install --root host fleet-2.stapb --kernel 6.13.0-test --allow-removal
        install --root host fleet-2.stapb --kernel 5.10.0-test
    "), @r#"
    $ stap-bundle install --root host fleet-1.stapb --all-kernels
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
      6.13.0-test: 1 module, 1 red cell
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 2 kernels
    2>   6.12.1-test: 2 modules, [SIZE]
    2>   6.13.0-test: 1 module, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle -q install --root host fleet-2.stapb --kernel 6.13.0-test
    2> error: fleet-2.stapb: bundle fleet 1.2 would take away kernel 6.12.1-test, which this host has
    2> hint: if that is meant: --allow-removal, this once, or `allow-removal = true` below [install] in policy.toml
    2> hint: if not: have the farm build the bundle with it; a kernel that --kernel left out is named with it too
    2> hint: `stap-bundle install --dry-run FILE` lists all that would change
    [exit 16]
    $ stap-bundle install --root host fleet-2.stapb --kernel 6.13.0-test --allow-removal
    installed: fleet 1.2 as generation 2
      6.13.0-test: 1 module, 1 red cell
      - kernel 6.12.1-test: 2 modules, no longer unpacked
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.13.0-test: 1 module, [SIZE]
    2> switching from generation 1 to generation 2
    2> warning: this takes away kernel 6.12.1-test, which this host has, as was allowed
    [exit 0]
    $ stap-bundle install --root host fleet-2.stapb --kernel 5.10.0-test
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-2.stapb: bundle fleet is for 6.12.1-test, 6.13.0-test; asked for is 5.10.0-test
    2> hint: on the farm: stap-bundle build -r 5.10.0-test …
    [exit 12]
    "#);
}

#[test]
fn a_refused_bundle_changes_nothing() {
    let world = world();
    world.write("stranger.stapb", fleet(3).signed(&world.stranger));
    world.bundle("other-kernel.stapb", &Bundle { kernels: vec!["5.10.0-test"], ..fleet(3) });
    world.bundle("expired.stapb", &Bundle { best_before: Some(1_700_000_500), ..fleet(3) });
    let mut damaged = fleet(3).signed(&world.farm);
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last - 1] ^= 1;
    world.write("damaged.stapb", damaged);
    world.write("notes.txt", "not a bundle\n");
    world.bundle("equivocating.stapb", &Bundle { scripts: vec!["counter"], red: Vec::new(), ..fleet(1) });
    world.bundle("conflicting.stapb", &Bundle { name: "others", ..fleet(1) });
    // Under --root no clock counts: it is at least as late as the newest bundle that is installed.
    world.bundle(
        "later.stapb",
        &Bundle { name: "later", scripts: vec!["ticker"], red: Vec::new(), ..fleet(9000) },
    );
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    assert_eq!(world.run("install --root host later.stapb").exit, Some(0));
    let before = world.tree();
    assert_snapshot!(world.talk("
        install --root host stranger.stapb
        install --root host other-kernel.stapb
        install --root host expired.stapb
        install --root host damaged.stapb
        install --root host notes.txt
        install --root host absent.stapb
        install --root host host
        install --root host equivocating.stapb
        install --root host conflicting.stapb
        install --root host
        install --root nowhere fleet-2.stapb
    "), @r#"
    $ stap-bundle install --root host stranger.stapb
    2> error: stranger.stapb: signed by key [STRANGER-KEY-SHORT], which isn't trusted here
    2>   because: only key [FARM-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle install --root host other-kernel.stapb
    2> fleet 1.3 is signed by trusted key [FARM-KEY-SHORT]
    2> error: other-kernel.stapb: bundle fleet is for 5.10.0-test; no kernel runs here, installed is 6.12.1-test
    2> hint: on the farm: stap-bundle build -r 6.12.1-test …
    [exit 12]
    $ stap-bundle install --root host expired.stapb
    2> fleet 1.3 is signed by trusted key [FARM-KEY-SHORT]
    2> error: expired.stapb: bundle fleet 1.3 expired on [DATE]; it is now [DATE]
    2> hint: bring a newer bundle, or correct this host's clock
    [exit 13]
    $ stap-bundle install --root host damaged.stapb
    2> fleet 1.3 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 3 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> error: damaged.stapb: `kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256 [SHA-256], found [SHA-256]
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 11]
    $ stap-bundle install --root host notes.txt
    2> error: notes.txt: not a bundle: the file does not begin with a `stap-bundle` member
    2> hint: a bundle is what `stap-bundle build` writes, by default NAME-VERSION.stapb
    [exit 11]
    $ stap-bundle install --root host absent.stapb
    2> error: absent.stapb: No such file or directory
    2> hint: `-` reads from a pipe; without a file the newest fitting bundle of the inbox is taken
    [exit 14]
    $ stap-bundle install --root host host
    2> error: host is a directory, expected a bundle
    [exit 2]
    $ stap-bundle install --root host equivocating.stapb
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> error: equivocating.stapb: bundle fleet serial 1 has other content than the one in generation 1
    2> hint: somebody signed two different bundles under one number: ask your farm before anything else
    [exit 13]
    $ stap-bundle install --root host conflicting.stapb
    2> others 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> error: conflicting.stapb: script counter of bundle others is in the installed bundle fleet already
    2> hint: leave the script out of one of the two bundles
    [exit 16]
    $ stap-bundle install --root host
    2> error: no bundle is given, and there is none in /var/lib/stap-bundle/inbox
    2> hint: give the file: stap-bundle install FILE
    [exit 2]
    $ stap-bundle install --root nowhere fleet-2.stapb
    2> error: --root nowhere: No such file or directory
    2> hint: name the directory in which a host's files are, such as a mounted image
    [exit 14]
    "#);
    assert_eq!(world.tree(), before);
}

#[test]
fn a_host_without_pins_believes_nobody() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    let before = world.tree();
    assert_snapshot!(world.run("install --root host fleet.stapb"), @r#"
    $ stap-bundle install --root host fleet.stapb
    2> error: fleet.stapb: this host trusts no key: /etc/stap-bundle/trust/default is empty
    2> hint: pin your farm's key: stap-bundle trust add NAME.pub
    [exit 10]
    "#);
    assert_eq!(world.tree(), before);
}

#[test]
fn a_bundle_comes_through_a_pipe() {
    let world = world();
    let bundle = fleet(1).signed(&world.farm);
    assert_snapshot!(world.run_with_input("install --root host -", &bundle), @r#"
    $ stap-bundle install --root host -
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    "#);
    let bundle = fleet(2).signed(&world.farm);
    let manifest = bundle.windows(9).position(|bytes| bytes == b"\"created\"").unwrap();
    assert_snapshot!(world.run_with_input("install --root host -", &bundle[..manifest]), @r#"
    $ stap-bundle install --root host -
    2> error: standard input: the bundle ends at byte [OFFSET], inside manifest.json: the copy is incomplete
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 11]
    "#);
    assert_snapshot!(world.run_with_input("install --root host -", b""), @r#"
    $ stap-bundle install --root host -
    2> error: standard input: empty, not a bundle
    2> hint: did the copy, or the command before the pipe, fail?
    [exit 11]
    "#);
}

#[test]
fn a_foreign_file_in_the_cache_is_left_alone() {
    let world = world();
    world.write("host/var/cache/systemtap/6.12.1-test/counter.ko", "mine");
    assert_snapshot!(world.run("install --root host fleet-1.stapb"), @r#"
    $ stap-bundle install --root host fleet-1.stapb
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    2> warning: /var/cache/systemtap/6.12.1-test/counter.ko is a foreign file: it is left alone and never used by `start`; move it away, or install with --move-foreign, to have the bundle's there
    [exit 16]
    "#);
    let kept = fs::read(world.path("host/var/cache/systemtap/6.12.1-test/counter.ko")).unwrap();
    assert_eq!(kept, b"mine");
}

#[test]
fn a_second_writer_waits_its_turn() {
    let world = world();
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    let lock = fs::File::open(world.path("host/var/lib/stap-bundle/lock")).unwrap();
    lock.lock().unwrap();
    assert_snapshot!(world.talk("
        install --root host fleet-2.stapb
        rollback --root host
    "), @r#"
    $ stap-bundle install --root host fleet-2.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-2.stapb: another stap-bundle is writing: /var/lib/stap-bundle/lock is locked by process [PID] ([PROGRAM])
    2> hint: wait until it has ended, and try again; most commands take --wait SECONDS
    [exit 15]
    $ stap-bundle rollback --root host
    2> error: another stap-bundle is writing: /var/lib/stap-bundle/lock is locked by process [PID] ([PROGRAM])
    2> hint: wait until it has ended, and try again; most commands take --wait SECONDS
    [exit 15]
    "#);
}

#[test]
fn rollback_goes_back_one_generation() {
    let world = world();
    assert_snapshot!(world.talk("
        rollback --root host
        install --root host -q fleet-1.stapb
        rollback --root host
        install --root host -q fleet-2.stapb
        rollback --root host
        rollback --root host 1
        rollback --root host 7
        rollback --root host 2
    "), @r#"
    $ stap-bundle rollback --root host
    2> error: nothing is installed
    2> hint: install a bundle first: stap-bundle install FILE
    [exit 1]
    $ stap-bundle install --root host -q fleet-1.stapb
    [exit 0]
    $ stap-bundle rollback --root host
    2> error: generation 1 is the oldest on this host
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    $ stap-bundle install --root host -q fleet-2.stapb
    [exit 0]
    $ stap-bundle rollback --root host
    rolled back: from generation 2 to 1
      no script, kernel or module differs from generation 2
    [exit 0]
    $ stap-bundle rollback --root host 1
    2> error: generation 1 is the current one already
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    $ stap-bundle rollback --root host 7
    2> error: there is no generation 7; there are 1, 2
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    $ stap-bundle rollback --root host 2
    rolled back: from generation 1 to 2
      no script, kernel or module differs from generation 1
    [exit 0]
    "#);
}

#[test]
fn commands_for_modules_take_no_root() {
    assert_snapshot!(world().talk("
        start --root host
        stop --root host counter
        restart --root host
        condrestart --root host counter
    "), @r#"
    $ stap-bundle start --root host
    2> error: `start` takes no --root: no kernel runs in a directory
    2> hint: run it on the host itself
    [exit 2]
    $ stap-bundle stop --root host counter
    2> error: `stop` takes no --root: no kernel runs in a directory
    2> hint: run it on the host itself
    [exit 2]
    $ stap-bundle restart --root host
    2> error: `restart` takes no --root: no kernel runs in a directory
    2> hint: run it on the host itself
    [exit 2]
    $ stap-bundle condrestart --root host counter
    2> error: `try-restart` takes no --root: no kernel runs in a directory
    2> hint: run it on the host itself
    [exit 2]
    "#);
}

#[test]
fn quiet_says_errors_only() {
    let world = world();
    assert_snapshot!(world.talk("
        -q list --root host
        -q install --root host fleet-1.stapb
        -q install --root host absent.stapb
        -q trust list --root host
    "), @r#"
    $ stap-bundle -q list --root host
    [exit 0]
    $ stap-bundle -q install --root host fleet-1.stapb
    [exit 0]
    $ stap-bundle -q install --root host absent.stapb
    2> error: absent.stapb: No such file or directory
    2> hint: `-` reads from a pipe; without a file the newest fitting bundle of the inbox is taken
    [exit 14]
    $ stap-bundle -q trust list --root host
    [exit 0]
    "#);
}

#[test]
fn modules_for_kernels_that_are_gone_go_when_asked_to() {
    let world = world();
    assert_snapshot!(world.talk("
        install --root host fleet-1.stapb --all-kernels -q
        gc --root host --gone-kernels --dry-run
        gc --root host --gone-kernels
        --json gc --root host --gone-kernels
        history --root host -n 1
    "), @r#"
    $ stap-bundle install --root host fleet-1.stapb --all-kernels -q
    [exit 0]
    $ stap-bundle gc --root host --gone-kernels --dry-run
    would remove: modules for 6.13.0-test
    [exit 0]
    $ stap-bundle gc --root host --gone-kernels
    removed: modules for 6.13.0-test (generation 2)
    2>   bundle fleet is carried over
    2> switching from generation 1 to generation 2
    [exit 0]
    $ stap-bundle --json gc --root host --gone-kernels
    {
      "bytes": 0,
      "dry_run": false,
      "generation": null,
      "gone_kernels": [],
      "removed": [],
      "schema": "gc/1",
      "spared": []
    }
    [exit 0]
    $ stap-bundle history --root host -n 1
    at an unknown time  left out modules for kernels that are gone with generation 2, after 1: 6.13.0-test
    [exit 0]
    "#);
}

#[test]
fn generations_are_pinned_collected_and_told_by_the_history() {
    let world = world();
    world.bundle("fleet-3.stapb", &fleet(3));
    for serial in 1..=3 {
        assert_eq!(world.run(&format!("install --root host fleet-{serial}.stapb")).exit, Some(0));
    }
    assert_snapshot!(world.talk("
        gc --root host
        pin --root host 1
        pin --root host 9
        gc --root host --keep 1 --dry-run
        pin --root host 1 --remove
        gc --root host --keep 1
        list --root host
        uninstall --root host fleet --dry-run
        uninstall --root host fleet
        uninstall --root host fleet
        install --root host fleet-2.stapb --dry-run
        install --root host fleet-2.stapb --allow-downgrade
        history --root host -n 5
    "), @r#"
    $ stap-bundle gc --root host
    nothing to remove
    [exit 0]
    $ stap-bundle pin --root host 1
    pinned: generation 1
    [exit 0]
    $ stap-bundle pin --root host 9
    2> error: there is no generation 9; there are 1, 2, 3
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    $ stap-bundle gc --root host --keep 1 --dry-run
    nothing to remove
    2> generation 1 stays: it is pinned
    2> generation 2 stays: a rollback would go to it
    [exit 0]
    $ stap-bundle pin --root host 1 --remove
    unpinned: generation 1
    [exit 0]
    $ stap-bundle gc --root host --keep 1
    removed: generation 1, [SIZE]
      1 generation, [SIZE] in all
    2> generation 2 stays: a rollback would go to it
    [exit 0]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE     SCRIPTS  KERNELS
     2            -     fleet 1.2  2        6.12.1-test
     3 (current)  -     fleet 1.3  2        6.12.1-test
    [exit 0]
    $ stap-bundle uninstall --root host fleet --dry-run
    would uninstall: fleet 1.3, with 2 scripts
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - not unpacked kernel 6.13.0-test
    [exit 0]
    $ stap-bundle uninstall --root host fleet
    uninstalled: fleet, with generation 4
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - not unpacked kernel 6.13.0-test
    2> switching from generation 3 to generation 4
    [exit 0]
    $ stap-bundle uninstall --root host fleet
    2> error: bundle fleet is not installed; nothing is
    2> hint: `stap-bundle list` shows what is installed
    [exit 1]
    $ stap-bundle install --root host fleet-2.stapb --dry-run
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-2.stapb: bundle fleet 1.2 has serial 2 of epoch 0, older than serial 3 of epoch 0 in generation 3
    2> hint: to go back to what was installed before: stap-bundle rollback
    2> hint: to install it all the same, this once: --allow-downgrade
    [exit 13]
    $ stap-bundle install --root host fleet-2.stapb --allow-downgrade
    installed: fleet 1.2 as generation 5
      6.12.1-test: 2 modules
      + scripts counter, latency
      + kernel 6.12.1-test: 2 modules
      + not unpacked kernel 6.13.0-test
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 5 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 4 to generation 5
    2> warning: serial 2 of epoch 0 is older than serial 3 of epoch 0: a downgrade, as asked for
    2> removed generation 2, [SIZE], as the policy says
    [exit 0]
    $ stap-bundle history --root host -n 5
    at an unknown time  unpinned generation 1
    at an unknown time  removed generation 1
    at an unknown time  uninstalled fleet with generation 4, after 3
    at an unknown time  installed fleet 1.2 as generation 5, after 4 (a downgrade, as asked for)
    at an unknown time  removed generation 2
    [exit 0]
    "#);
}

#[test]
fn a_policy_is_named_where_it_refuses_and_where_it_is_wrong() {
    let world = world();
    world.write("host/etc/stap-bundle/policy.toml", "[install]\nbundles = [\"net-*\"]\n");
    let refused = world.run("install --root host fleet-1.stapb");
    world.write("host/etc/stap-bundle/policy.toml", "[generations]\nkep = 2\n");
    assert_snapshot!(format!("{refused}{}", world.talk("
        install --root host fleet-1.stapb
        gc --root host
    ")), @r#"
    $ stap-bundle install --root host fleet-1.stapb
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-1.stapb: the policy allows bundles called `net-*`, not `fleet`
    2> hint: /etc/stap-bundle/policy.toml says what this host takes
    [exit 10]
    $ stap-bundle install --root host fleet-1.stapb
    2> error: fleet-1.stapb: /etc/stap-bundle/policy.toml:2:1: unknown field `kep`, expected one of `keep`, `automatic`, `quota-mib`
    2> hint: half a policy would be none, so nothing is installed before it is mended
    [exit 11]
    $ stap-bundle gc --root host
    2> error: /etc/stap-bundle/policy.toml:2:1: unknown field `kep`, expected one of `keep`, `automatic`, `quota-mib`
    2> hint: half a policy would be none, so nothing is installed before it is mended
    [exit 11]
    "#);
}

#[test]
fn a_damaged_bundle_can_be_taken_in_part_and_foreign_files_moved() {
    let world = world();
    let mut damaged = fleet(3).signed(&world.farm);
    let last = damaged.iter().rposition(|byte| *byte != 0).unwrap();
    damaged[last - 1] ^= 1;
    world.write("damaged.stapb", damaged);
    world.write("host/var/cache/systemtap/6.12.1-test/counter.ko", "mine");
    assert_snapshot!(world.talk("
        install --root host damaged.stapb --all-kernels --partial --move-foreign
        install --root host damaged.stapb --kernel 6.13.0-test --partial
    "), @r#"
    $ stap-bundle install --root host damaged.stapb --all-kernels --partial --move-foreign
    installed: fleet 1.3 as generation 1
      6.12.1-test: 2 modules
    2> fleet 1.3 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    2> warning: kernel 6.13.0-test is damaged in this file and was left out
    2> /var/cache/systemtap/6.12.1-test/counter.ko was foreign and is now /var/cache/systemtap/6.12.1-test/counter.ko.before-stap-bundle
    [exit 0]
    $ stap-bundle install --root host damaged.stapb --kernel 6.13.0-test --partial
    2> fleet 1.3 is signed by trusted key [FARM-KEY-SHORT]
    2> error: damaged.stapb: no chosen kernel is whole in this file: `kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256 [SHA-256], found [SHA-256]
    2> hint: copy the bundle again from where it was built; nothing of it can be saved for this host
    [exit 17]
    "#);
}

#[test]
fn the_inbox_is_looked_into_where_no_file_is_given() {
    let world = world();
    let inbox = "host/var/lib/stap-bundle/inbox";
    world.write(&format!("{inbox}/one.stapb"), fleet(1).signed(&world.farm));
    world.write(&format!("{inbox}/two.stapb"), fleet(2).signed(&world.farm));
    world.write(&format!("{inbox}/three.stapb"), fleet(3).signed(&world.stranger));
    assert_snapshot!(world.run("install --root host"), @r#"
    $ stap-bundle install --root host
    installed: fleet 1.2 as generation 1
      6.12.1-test: 2 modules
    2> /var/lib/stap-bundle/inbox/one.stapb is passed over: another file there is newer
    2> /var/lib/stap-bundle/inbox/three.stapb is passed over: signed by key [STRANGER-KEY-SHORT], which isn't trusted here
    2> installing /var/lib/stap-bundle/inbox/two.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    "#);
}

#[test]
fn a_whole_inbox_is_emptied_and_status_says_what_was_refused() {
    let world = world();
    let inbox = "host/var/lib/stap-bundle/inbox";
    world.write(&format!("{inbox}/one.stapb"), fleet(1).signed(&world.farm));
    world.write(&format!("{inbox}/two.stapb"), fleet(2).signed(&world.farm));
    world.write(&format!("{inbox}/three.stapb"), fleet(3).signed(&world.stranger));
    world.write(&format!("{inbox}/under-way.part"), "no bundle yet");
    assert_snapshot!(world.talk("
        install --root host --inbox
        status --root host
        install --root host --inbox
    "), @r#"
    $ stap-bundle install --root host --inbox
    installed: fleet 1.2 as generation 1
      6.12.1-test: 2 modules
    2> warning: three.stapb is refused and moved to /var/lib/stap-bundle/inbox/refused/three.stapb: signed by key [STRANGER-KEY-SHORT], which isn't trusted here
    2> installing /var/lib/stap-bundle/inbox/.taken/two.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from nothing to generation 1
    2> installing /var/lib/stap-bundle/inbox/.taken/one.stapb
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> warning: one.stapb is refused and moved to /var/lib/stap-bundle/inbox/refused/one.stapb: bundle fleet 1.1 has serial 1 of epoch 0, older than serial 2 of epoch 0 in generation 1
    [exit 1]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.2

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    2> warning: /var/lib/stap-bundle/inbox/refused/one.stapb was refused: bundle fleet 1.1 has serial 1 of epoch 0, older than serial 2 of epoch 0 in generation 1
    2> warning: /var/lib/stap-bundle/inbox/refused/three.stapb was refused: signed by key [STRANGER-KEY-SHORT], which isn't trusted here
    [exit 3]
    $ stap-bundle install --root host --inbox
    [exit 0]
    "#);
    let left = |path: &str| {
        let entries = fs::read_dir(world.path(path)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(left(inbox), [".taken", "refused", "under-way.part"]);
    assert_eq!(left(&format!("{inbox}/.taken")), [".lock"]);
    let refused = ["one.stapb", "one.stapb.reason", "three.stapb", "three.stapb.reason"];
    assert_eq!(left(&format!("{inbox}/refused")), refused);
}

#[test]
fn fsck_names_what_is_damaged_and_mends_it() {
    let world = world();
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    let good = world.run("fsck --root host");
    let kernels = world.path("host/var/lib/stap-bundle/current/kernels");
    let kernel = fs::read_dir(kernels).unwrap().next().unwrap().unwrap().path();
    fs::write(kernel.join("counter.ko"), "not a module").unwrap();
    let damaged = world.run("fsck --root host");
    assert!(
        damaged.exit == Some(11) && damaged.stdout.contains("mend it: stap-bundle fsck --repair"),
        "{damaged}"
    );
    assert!(
        damaged.stdout.contains("counter.ko (bundle fleet): counter.ko has 12 bytes, signed are"),
        "{damaged}"
    );
    assert_snapshot!(format!("{good}{}", world.talk("
        fsck --root host --repair fleet-2.stapb
        fsck --root host --repair fleet-1.stapb --quiet
        fsck --root host
    ")), @r#"
    $ stap-bundle fsck --root host
    good: generation 1, 5 files compared, [SIZE]
    [exit 0]
    $ stap-bundle fsck --root host --repair fleet-2.stapb
    2> kernels/2994bf7ec0cac4b1/counter.ko (bundle fleet): counter.ko has 12 bytes, signed are 360
    2> error: fleet-2.stapb: bundle [SHA-256] is not installed, so nothing can be mended from it; installed: fleet 1.1 ([SHA-256])
    [exit 17]
    $ stap-bundle fsck --root host --repair fleet-1.stapb --quiet
    [exit 0]
    $ stap-bundle fsck --root host
    good: generation 2, 5 files compared, [SIZE]
    [exit 0]
    "#);
}

#[test]
fn an_install_removes_old_generations_where_the_policy_says_so() {
    let world = TestWorld::new();
    world.run("trust add --root host farm.pub");
    for serial in [1, 2, 3] {
        world.bundle(&format!("fleet-{serial}.stapb"), &fleet(serial));
    }
    world.write("host/etc/stap-bundle/policy.toml", "[generations]\nkeep = 2\nautomatic = true\n");
    world.chmod("host/etc/stap-bundle/policy.toml", 0o644);
    for serial in [1, 2, 3] {
        let said = world.run(&format!("install --root host fleet-{serial}.stapb"));
        assert_eq!(said.exit, Some(0), "{said}");
        assert_eq!(said.stderr.contains("removed generation 1,"), serial == 3, "{said}");
    }
    assert!(!world.path("host/var/lib/stap-bundle/generations/1").exists());
    assert_eq!(world.run("rollback --root host").exit, Some(0));
}

#[test]
fn an_install_removes_nothing_where_the_policy_says_so() {
    let world = TestWorld::new();
    world.run("trust add --root host farm.pub");
    world.write("host/etc/stap-bundle/policy.toml", "[generations]\nkeep = 1\nautomatic = false\n");
    world.chmod("host/etc/stap-bundle/policy.toml", 0o644);
    for serial in [1, 2, 3, 4] {
        world.bundle(&format!("fleet-{serial}.stapb"), &fleet(serial));
        let said = world.run(&format!("install --root host fleet-{serial}.stapb"));
        assert!(said.exit == Some(0) && !said.stderr.contains("removed generation"), "{said}");
    }
    assert!(world.path("host/var/lib/stap-bundle/generations/1").exists());
    // What the policy keeps an install from is still what `gc` does.
    assert_eq!(world.run("gc --root host").exit, Some(0));
    assert!(!world.path("host/var/lib/stap-bundle/generations/1").exists());
}
