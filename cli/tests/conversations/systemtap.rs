//! The program under the initscript's name: a link is enough. What the commands do is tested in `cli/src/systemtap`, where a
//! host can be made up; here only what needs no host.

use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::world::{PROGRAM, TestWorld};

fn systemtap(world: &TestWorld, name: &str, line: &str) -> (Option<i32>, String, String) {
    let program = world.path(name);
    let _ = symlink(PROGRAM, &program);
    let output = Command::new(program)
        .args(line.split_whitespace())
        .env_clear()
        .current_dir(world.work())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn init_cli_02_a_link_takes_the_synopsis_of_the_readme() {
    let world = TestWorld::new();
    for name in ["systemtap", "systemtap-service"] {
        let (exit, out, err) = systemtap(&world, name, "start -r 6.1 a");
        assert_eq!(
            (exit, err.as_str()),
            (Some(3), "Error: option -r is valid only with compile and cleanup\n")
        );
        assert!(out.starts_with("Usage: systemtap {start|stop|restart|status|compile|"), "{out}");
    }
}

#[test]
fn init_onboot_02_a_script_that_can_t_start_there_changes_nothing() {
    let world = TestWorld::new();
    world.config("config", "");
    let (exit, out, err) = systemtap(&world, "systemtap", "onboot -c config no_such_script_of_this_machine");
    assert_eq!((exit, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("Error: "), "{err}");
}

#[test]
fn init_cli_07_a_configuration_that_is_not_there_is_named() {
    let (exit, out, err) = systemtap(&TestWorld::new(), "systemtap", "status -c nowhere");
    assert_eq!((exit, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("Error: there is no configuration file nowhere\n"), "{err}");
}

#[test]
fn a_script_that_is_not_there_is_not_compiled() {
    let world = TestWorld::new();
    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}");
    let (exit, out, err) = systemtap(&world, "systemtap", "compile -c config -r 6.1.0-none countre");
    assert_eq!((exit, out.as_str()), (Some(1), "Compiling systemtap ... FAILED\n"));
    assert!(err.starts_with("Error: there is no script countre in "), "{err}");
    assert!(err.contains("did you mean counter?"), "{err}");
}
