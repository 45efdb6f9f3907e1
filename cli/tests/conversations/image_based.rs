//! A host whose `/etc` or `/lib/modules` come with its image and can't be written, and a cache that somebody has emptied.

use std::fs;
use std::process::{Command, Output};

use fixtures::user::needs_root;
use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::{PROGRAM, TestWorld};

fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

/// Runs commands while these directories of the host are read-only.
fn read_only(world: &TestWorld, directories: &[&str], lines: &[&str]) -> String {
    needs_root();
    let mounts = directories.iter().map(|directory| {
        format!("mount --bind host/{directory} host/{directory}; mount -o remount,bind,ro host/{directory}; ")
    });
    let commands = lines.iter().map(|line| {
        format!(
            "echo '$ stap-bundle {line}'; {PROGRAM} {line} 2>&1 && echo '[exit 0]' || echo \"[exit $?]\"; "
        )
    });
    let script: String = std::iter::once("set -u; ".to_owned()).chain(mounts).chain(commands).collect();
    let Output { status, stdout, stderr } = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(world.work())
        .output()
        .unwrap();
    assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_read_only_etc_loses_the_initscript_s_options_which_install_status_and_fsck_say() {
    let world = world();
    fs::create_dir_all(world.path("host/etc/systemtap")).unwrap();
    assert_snapshot!(read_only(&world, &["etc", "lib/modules"], &[
        "install --root host fleet.stapb",
        "status --root host",
        "fsck --root host",
        "fsck --root host --repair",
        "uninstall --root host fleet",
    ]), @r#"
    $ stap-bundle install --root host fleet.stapb
    fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    staging generation 1 with 1 kernel
      6.12.1-test: 2 modules, [SIZE]
    switching from nothing to generation 1
    warning: /etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it
    warning: /etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
    [exit 0]
    $ stap-bundle status --root host
    warning: /etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it
    warning: /etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    [exit 3]
    $ stap-bundle fsck --root host
    /etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it
      make it part of the image, or let CACHE_PATH and CONFIG_PATH be elsewhere
    /etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it
      make it part of the image, or let CACHE_PATH and CONFIG_PATH be elsewhere
    2 problems: generation 1, 5 files compared, [SIZE]
    [exit 11]
    $ stap-bundle fsck --root host --repair
    /etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it
    /etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it
    /etc/systemtap/conf.d is on a read-only file system and lacks 00-stap-bundle.conf: the unmodified initscript starts scripts of bundles without their options; `stap-bundle start` needs none of it
      make it part of the image, or let CACHE_PATH and CONFIG_PATH be elsewhere
    /etc/systemtap/conf.d is on a read-only file system and lacks zz-stap-bundle.conf: the unmodified initscript lists no script without its source, and may compile others; `stap-bundle start` needs none of it
      make it part of the image, or let CACHE_PATH and CONFIG_PATH be elsewhere
    2 problems: generation 1, 5 files compared, [SIZE]
    [exit 11]
    $ stap-bundle uninstall --root host fleet
    switching from generation 1 to generation 2
    uninstalled: fleet, with generation 2
      - scripts counter, latency
      - kernel 6.12.1-test: 2 modules
      - not unpacked kernel 6.13.0-test
    [exit 0]
    "#);
    let metrics =
        read_only(&world, &["etc"], &["-q install --root host fleet.stapb", "status --root host --metrics"]);
    assert!(metrics.contains("\nstap_bundle_warnings 2\n"), "{metrics}");
}

#[test]
fn fsck_misses_what_an_emptied_cache_had_and_repairs_it() {
    let world = world();
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    fs::remove_dir_all(world.path("host/var/cache/systemtap/6.12.1-test")).unwrap();
    fs::remove_dir_all(world.path("host/var/lib/stap-bundle/generations/1/initscript")).unwrap();
    assert_snapshot!(world.talk("
        status --root host
        fsck --root host
        fsck --root host --repair
        fsck --root host
    "), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    2> warning: /var/cache/systemtap/6.12.1-test lacks the modules of counter, latency: the unmodified initscript can't start them; `stap-bundle start` needs none of it
    [exit 3]
    $ stap-bundle fsck --root host
    /var/cache/systemtap/6.12.1-test lacks the modules of counter, latency: the unmodified initscript can't start them; `stap-bundle start` needs none of it
      make it again: stap-bundle fsck --repair, or the next install
    1 problem: generation 1, 5 files compared, [SIZE]
    [exit 11]
    $ stap-bundle fsck --root host --repair
    mended: generation 1, 5 files compared, [SIZE]
    2> /var/cache/systemtap/6.12.1-test lacks the modules of counter, latency: the unmodified initscript can't start them; `stap-bundle start` needs none of it
    [exit 0]
    $ stap-bundle fsck --root host
    good: generation 1, 5 files compared, [SIZE]
    [exit 0]
    "#);
    for file in ["counter.ko", "counter.opts", "latency.ko", "latency.opts"] {
        let path = world.path("host/var/cache/systemtap/6.12.1-test").join(file);
        assert!(path.is_symlink() && path.is_file(), "{file}");
    }
}

#[test]
fn an_install_beneath_a_root_goes_by_the_kernels_of_that_root() {
    let world = world();
    // The machine that runs this has none of them, and its own is in no bundle.
    fs::rename(world.path("host/lib/modules/6.12.1-test"), world.path("host/lib/modules/6.13.0-test"))
        .unwrap();
    assert_snapshot!(world.talk("
        install --root host fleet.stapb
        status --root host
    "), @r#"
    $ stap-bundle install --root host fleet.stapb
    installed: fleet 1.1 as generation 1
      6.13.0-test: 1 module, 1 red cell
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 1 with 1 kernel
    2>   6.13.0-test: 1 module, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root
    [exit 3]
    "#);
    fs::remove_dir_all(world.path("host/lib/modules")).unwrap();
    world.bundle("fleet-2.stapb", &fleet(2));
    assert_snapshot!(world.run("install --root host fleet-2.stapb"), @r#"
    $ stap-bundle install --root host fleet-2.stapb
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> error: fleet-2.stapb: bundle fleet is for 6.12.1-test, 6.13.0-test; no kernel runs here, and none is installed in /lib/modules
    2> hint: to unpack some of them all the same: --kernel REL, or --all-kernels
    [exit 12]
    "#);
}
