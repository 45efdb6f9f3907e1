//! `trust`: whom a host believes.

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn keys_are_pinned_listed_and_removed() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        trust list --root host
        trust add --root host farm.pub
        trust add --root host farm.pub
        trust list --root host
        trust remove --root host 0123456789abcdefX
    "), @"");
    let id = world.farm.public().id().short();
    assert_snapshot!(world.run(&format!("trust remove --root host {id}")), @"");
    assert_eq!(world.run("trust list --root host").stdout, "");
}

#[test]
fn what_is_no_public_key_is_not_pinned() {
    let world = TestWorld::new();
    assert_eq!(world.run("key generate --out mine").exit, Some(0));
    world.write("notes.txt", "hello\n");
    let before = world.tree();
    assert_snapshot!(world.talk("
        trust add --root host mine.key
        trust add --root host notes.txt
        trust add --root host absent.pub
        trust add --root nowhere farm.pub
        trust add --root host
        trust remove --root host
    "), @"");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_store_that_others_can_write_to_is_not_believed() {
    let world = TestWorld::new();
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world.chmod("host/etc/stap-bundle/trust/default", 0o777);
    assert_snapshot!(world.run("trust list --root host"), @"");
    world.chmod("host/etc/stap-bundle/trust/default", 0o755);
    world.write("host/etc/stap-bundle/trust/default/colleague.pub", "hello\n");
    world.chmod("host/etc/stap-bundle/trust/default/colleague.pub", 0o644);
    assert_snapshot!(world.run("trust list --root host"), @"");
}
