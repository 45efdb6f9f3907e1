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
    "), @r#"
    $ stap-bundle trust list --root host
    2> no key is pinned: no bundle can be installed
    [exit 0]
    $ stap-bundle trust add --root host farm.pub
    pinned: key [FARM-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle trust add --root host farm.pub
    was pinned already: key [FARM-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle trust list --root host
    [FARM-KEY]
    [exit 0]
    $ stap-bundle trust remove --root host 0123456789abcdefX
    2> error: no pinned key begins with `0123456789abcdefX`
    2> hint: `stap-bundle trust list` shows the pinned keys
    [exit 1]
    "#);
    let id = world.farm.public().id().short();
    assert_snapshot!(world.run(&format!("trust remove --root host {id} --yes")), @r#"
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT] --yes
    removed: key [FARM-KEY]
    2> Bundles that only this key signed are refused from now on, installed ones too.
    [exit 0]
    "#);
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
    "), @r#"
    $ stap-bundle trust add --root host mine.key
    2> error: mine.key is a private key, expected a public one
    2> hint: give the file with the suffix .pub, and keep this one on the farm
    [exit 2]
    $ stap-bundle trust add --root host notes.txt
    2> error: notes.txt: not an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`): there is no such line
    2> hint: a public key is what `stap-bundle key generate` writes as NAME.pub
    [exit 11]
    $ stap-bundle trust add --root host absent.pub
    2> error: absent.pub: No such file or directory
    [exit 14]
    $ stap-bundle trust add --root nowhere farm.pub
    2> error: --root nowhere: No such file or directory
    2> hint: name the directory in which a host's files are, such as a mounted image
    [exit 14]
    $ stap-bundle trust add --root host
    2> error: the following required arguments were not provided:
    2>   <NAME.pub|FILE.stapr>
    2>
    2> Usage: stap-bundle trust add --root <DIR> <NAME.pub|FILE.stapr>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle trust remove --root host
    2> error: the following required arguments were not provided:
    2>   <KEY-ID|--domain <NAME>>
    2>
    2> Usage: stap-bundle trust remove --root <DIR> <KEY-ID|--domain <NAME>>
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    assert_eq!(world.tree(), before);
}

#[test]
fn a_store_that_others_can_write_to_is_not_believed() {
    let world = TestWorld::new();
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world.chmod("host/etc/stap-bundle/trust/default", 0o777);
    assert_snapshot!(world.run("trust list --root host"), @r#"
    $ stap-bundle trust list --root host
    2> error: the trust store is not protected
    2>   because: host/etc/stap-bundle/trust/default can be written by others (mode 0777)
    2> hint: chmod go-w host/etc/stap-bundle/trust/default
    2> hint: others could pin a key there: give it to root, and let nobody else write
    [exit 10]
    "#);
    world.chmod("host/etc/stap-bundle/trust/default", 0o755);
    world.write("host/etc/stap-bundle/trust/default/colleague.pub", "hello\n");
    world.chmod("host/etc/stap-bundle/trust/default/colleague.pub", 0o644);
    assert_snapshot!(world.run("trust list --root host"), @r#"
    $ stap-bundle trust list --root host
    [FARM-KEY]
    2> warning: colleague.pub in /etc/stap-bundle/trust/default is no pin: not an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`): there is no such line; it is passed over
    [exit 0]
    "#);
}
