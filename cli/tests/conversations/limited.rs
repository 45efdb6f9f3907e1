//! Row E12 with the real program on a real root, which is put together of mounts: without the right to load modules, and with a
//! read-only /var.

use std::fs;
use std::process::{Command, Output};

use fixtures::user::needs_root;
use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::{PROGRAM, TestWorld};

/// A world whose `host` has a bundle for the running kernel, and a `staprun` that does nothing.
pub(crate) fn world() -> TestWorld {
    needs_root();
    let world = TestWorld::new();
    let release: &'static str = running_release().leak();
    for serial in [1, 2] {
        let bundle = Bundle { kernels: vec![release], red: Vec::new(), ..fleet(serial) };
        world.bundle(&format!("fleet-{serial}.stapb"), &bundle);
    }
    for directory in ["host/run", "host/etc", "host/var", "staprun"] {
        fs::create_dir_all(world.path(directory)).unwrap();
        world.chmod(directory, 0o755);
    }
    fs::copy("/bin/true", world.path("staprun/staprun")).unwrap();
    for line in ["trust add farm.pub", &format!("install --kernel {release} fleet-1.stapb")] {
        let said = world.run(&format!("--root host {line}"));
        assert_eq!(said.exit, Some(0), "{said}");
    }
    world
}

pub(crate) fn running_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim().to_owned()
}

/// Runs the program where the host's directories are those of `/`, after these commands.
pub(crate) fn on_this_root(world: &TestWorld, before: &str, line: &str) -> String {
    let work = world.work().display().to_string();
    let script = format!(
        "set -eu
        mount -t overlay overlay -o lowerdir={work}/staprun:/usr/bin /usr/bin
        for part in etc var run; do mount --bind {work}/host/$part /$part; done
        {before} {PROGRAM} {line}"
    );
    let Output { status, stdout, stderr } = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(&work)
        .output()
        .unwrap();
    let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    let text = text.replace(&running_release(), "RELEASE").replace(&work, "WORK");
    format!("{text}[exit {}]", status.code().unwrap())
}

const WITHOUT_THE_RIGHT: &str = "exec setpriv --bounding-set=-sys_module --";

#[test]
fn e12_without_the_right_to_load_modules_start_says_so_before_it_tries() {
    let world = world();
    assert_snapshot!(on_this_root(&world, WITHOUT_THE_RIGHT, "start"), @r"
    counter: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    latency: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    0 of 2 scripts running
    verified 0 modules, refused 2
      counter did not start: this process may not load modules: it runs without CAP_SYS_MODULE
      latency did not start: this process may not load modules: it runs without CAP_SYS_MODULE
    [exit 1]
    ");
    assert_snapshot!(on_this_root(&world, WITHOUT_THE_RIGHT, "start --boot --timeout 60"), @r"
    counter: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    latency: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    0 of 2 scripts running
    verified 0 modules, refused 2
      counter did not start: this process may not load modules: it runs without CAP_SYS_MODULE
      latency did not start: this process may not load modules: it runs without CAP_SYS_MODULE
    [exit 1]
    ");
    assert_snapshot!(on_this_root(&world, WITHOUT_THE_RIGHT, "start --dry-run"), @r"
    counter: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    latency: this process may not load modules: it runs without CAP_SYS_MODULE
        run it as root on the host itself, outside of containers
    [exit 1]
    ");
    // With the right it is tried: this staprun loads nothing.
    assert_snapshot!(on_this_root(&world, "exec", "start counter"), @r"
    counter: it ended right after its start
        see dmesg, and try the script by hand with staprun
    0 of 1 script running
    verified 1 module
      counter did not start: it ended right after its start
    [exit 1]
    ");
}

#[test]
fn e12_with_a_read_only_var_nothing_is_installed_and_what_is_there_can_be_started() {
    let world = world();
    let read_only = "mount -o remount,bind,ro /var; exec";
    assert_snapshot!(on_this_root(&world, read_only, "install fleet-2.stapb"), @r"
    fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    error: fleet-2.stapb: can't remove /var/lib/stap-bundle/.back
      because: Read-only file system
    [exit 14]
    ");
    assert_snapshot!(on_this_root(&world, read_only, "start --dry-run"), @r"
    counter: would start
    latency: would start
    [exit 0]
    ");
}

#[test]
fn ctrl_c_at_a_start_of_systemtap_ends_what_it_has_started() {
    let world = world();
    world.write("staprun/staprun", "#!/bin/sh\nexec sleep 4711\n");
    let typed = format!(
        "ln -s {PROGRAM} /run/systemtap
        env --default-signal=INT /run/systemtap start counter & started=$!
        until pgrep -x -f 'sleep 4711' >/dev/null; do sleep 0.05; done
        kill -INT $started; code=0; wait $started || code=$?; echo ended with $code
        if pgrep -x -f 'sleep 4711'; then echo it is left; fi
        exec"
    );
    let said = on_this_root(&world, &typed, "list");
    assert!(said.contains("Starting systemtap ... FAILED"), "{said}");
    assert!(said.contains("ended with 130") && !said.contains("it is left"), "{said}");
}

#[test]
fn an_ordinary_user_is_sent_to_root_and_never_away_with_rm() {
    let world = world();
    fs::create_dir_all(world.path("host/run/stap-bundle")).unwrap();
    world.chmod("host/run/stap-bundle", 0o755);
    for line in ["start", "stop", "restart"] {
        let said = on_this_root(&world, "exec setpriv --reuid 65534 --regid 65534 --clear-groups --", line);
        let expected = format!("error: `{line}` needs root\n");
        assert!(
            said.contains(&expected) && said.contains("hint: sudo ") && said.ends_with("[exit 14]"),
            "{said}"
        );
        assert!(!said.contains("rm -r"), "{line}: {said}");
    }
}
