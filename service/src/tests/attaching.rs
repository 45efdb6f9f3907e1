//! Attaching to a recorder in memory: the script must outlive whoever looks.

use std::sync::mpsc;
use std::time::Duration;

use super::world::{World, name};
use crate::{AttachEnd, AttachError, AttachOutput};

fn attach(world: &World, script: &str, on_data: &mut dyn FnMut(&[u8])) -> Result<AttachEnd, AttachError> {
    world.with_service(|service| {
        service.attach(&name(script), &mut |output| {
            if let AttachOutput::Data(bytes) = output {
                on_data(bytes);
            }
        })
    })
}

#[test]
fn run_06_letting_go_does_not_end_the_script() {
    let world = World::new().scripts("a");
    world.behave("a", "attach \u{1}data without an end");
    world.start("");
    let mut seen = Vec::new();
    let cancel = world.host.cancel.clone();
    let end = attach(&world, "a", &mut |bytes| {
        seen.extend_from_slice(bytes);
        cancel.cancel();
    });
    assert_eq!(end.unwrap(), AttachEnd::Detached);
    assert_eq!(seen, "\u{1}data without an end".as_bytes());
    assert_eq!(world.loaded(), "a");
}

#[test]
fn run_09_a_stop_makes_a_reader_let_go() {
    let world = World::new().scripts("a");
    world.behave("a", "attach data x");
    world.start("");
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| attach(&world, "a", &mut |_| send.send(()).unwrap()));
        receive.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(world.stop("a"), "a stopped, exit 0");
        assert!(reading.join().unwrap().is_ok());
    });
    assert_eq!((world.loaded(), world.deletes()), (String::new(), "a".into()));
}

#[test]
fn what_does_not_run_or_writes_to_a_file_is_refused() {
    let mut world = World::new().scripts("a");
    let output = world.file_script("b");
    world.start("b");
    let refused = |script: &str| attach(&world, script, &mut |_| ()).unwrap_err().to_string();
    assert_eq!(refused("a"), "a doesn't run");
    assert_eq!(refused("b"), format!("b writes its data to {}", output.display()));
    world.stop("");
}

#[test]
fn a_script_that_ends_while_somebody_looks_is_told() {
    let world = World::new().scripts("a");
    world.behave("a", "attach data x");
    world.start("");
    let end = attach(&world, "a", &mut |_| world.fake.remove_module("a").unwrap());
    assert_eq!(end.unwrap(), AttachEnd::ScriptEnded);
}
