//! Chains of roots, from the farm's first key to a bundle that a host refuses because it was revoked.

use bundle_format::{RootChain, RootsFile};
use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A world in which `farm.key` and `stranger.key` are there too, with mode 0600. Keys are listed by id, so the farm's
/// is always the lower one.
fn farm_world() -> TestWorld {
    // Each world is dropped before the next one is made, and its redactions with it.
    let mut world = loop {
        let world = TestWorld::new();
        if world.farm.public().id() < world.stranger.public().id() {
            break world;
        }
    };
    for (name, key) in [("farm.key", &world.farm), ("stranger.key", &world.stranger)] {
        world.write(name, key.to_pem().unwrap().as_bytes());
        world.chmod(name, 0o600);
    }
    world.set("SOURCE_DATE_EPOCH", "1700000000");
    world
}

fn chain(world: &TestWorld, name: &str) -> RootChain {
    RootsFile::read(&std::fs::read(world.path(name)).unwrap()).unwrap().complete().unwrap()
}

/// Writes a bundle with the roots of this file.
fn bundle_with(world: &TestWorld, name: &str, roots: &str, serial: u64) {
    let bundle = Bundle { roots: Some(chain(world, roots)), ..fleet(serial) };
    world.write(name, bundle.signed_by(&[&world.farm, &world.stranger]));
}

fn ok(world: &TestWorld, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
    }
}

#[test]
fn a_chain_is_made_signed_and_shown() {
    let world = farm_world();
    let id = world.stranger.public().id();
    assert_snapshot!(world.talk("
        trust root create --key farm.pub --key stranger.pub --threshold 3 -o roots.stapr
        trust root create --key farm.pub --key stranger.pub --threshold 2 --name fleet -o roots.stapr
        trust root sign roots.stapr --key farm.key
        trust add --root host roots.stapr
        trust root sign roots.stapr --key stranger.key
        trust root sign roots.stapr --key farm.key
        trust root create --key farm.pub -o roots.stapr
    "), @r#"
    $ stap-bundle trust root create --key farm.pub --key stranger.pub --threshold 3 -o roots.stapr
    2> error: root 1 is not valid: its threshold is 3, expected 1 to 2 (active keys: 2)
    2> hint: add a key first, or set another threshold with `trust root set-threshold`
    [exit 2]
    $ stap-bundle trust root create --key farm.pub --key stranger.pub --threshold 2 --name fleet -o roots.stapr
    roots.stapr: root 1 of chain fleet, lacks signatures
      threshold  2 of 2 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  -
     [STRANGER-KEY]  active  -
    lacks 2 of 2 signatures by the keys of root 1: [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust root sign roots.stapr --key farm.key
    roots.stapr: root 1 of chain fleet, lacks signatures
      threshold  2 of 2 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  yes
     [STRANGER-KEY]  active  -
    lacks 1 of 2 signatures by the keys of root 1: [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust add --root host roots.stapr
    2> error: roots.stapr: root number 1 is signed by 1 of the keys of its own list, 2 are needed
    2> hint: `stap-bundle trust root show FILE` says which signatures are missing
    [exit 10]
    $ stap-bundle trust root sign roots.stapr --key stranger.key
    roots.stapr: root 1 of chain fleet, complete
      threshold  2 of 2 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  yes
     [STRANGER-KEY]  active  yes
    [exit 0]
    $ stap-bundle trust root sign roots.stapr --key farm.key
    2> error: roots.stapr: its newest root has all its signatures
    [exit 2]
    $ stap-bundle trust root create --key farm.pub -o roots.stapr
    2> error: roots.stapr exists already: a file of roots with other bytes
    2> hint: move it away, or name another file: -o FILE
    [exit 16]
    "#);
    assert_snapshot!(world.run(&format!("trust root retire-key roots.stapr {id}")), @r#"
    $ stap-bundle trust root retire-key roots.stapr [STRANGER-KEY]
    2> error: roots.stapr: root 2 is not valid: its threshold is 2, expected 1 to 1 (active keys: 1)
    2> hint: add a key first, or set another threshold with `trust root set-threshold`
    [exit 2]
    "#);
}

#[test]
fn a_key_that_lives_elsewhere_signs_the_payload() {
    let world = farm_world();
    ok(&world, "trust root create --key farm.pub -o roots.stapr");
    assert_snapshot!(world.run("trust root sign roots.stapr --payload-out payload"), @r#"
    $ stap-bundle trust root sign roots.stapr --payload-out payload
    payload: 322 bytes to sign for root 1
    2> Elsewhere: openssl pkeyutl -sign -rawin -inkey NAME.key -in PAYLOAD -out SIGNATURE
    2> Then: trust root sign roots.stapr --attach NAME.pub:SIGNATURE
    [exit 0]
    "#);
    world.write("wrong", [0; 64]);
    world.write("short", "x");
    let openssl = std::process::Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey", "farm.key", "-in", "payload", "-out", "signature"])
        .current_dir(world.work())
        .status();
    assert!(openssl.unwrap().success());
    assert_snapshot!(world.talk("
        trust root sign roots.stapr --attach farm.pub:short
        trust root sign roots.stapr --attach farm.pub:wrong
        trust root sign roots.stapr --attach stranger.pub:signature
        trust root sign roots.stapr --attach farm.pub:signature
    "), @r#"
    $ stap-bundle trust root sign roots.stapr --attach farm.pub:short
    2> error: short: expected the 64 bytes of an Ed25519 signature, found 1 byte
    2> hint: sign with: openssl pkeyutl -sign -rawin -inkey NAME.key -in MESSAGE -out SIG
    [exit 11]
    $ stap-bundle trust root sign roots.stapr --attach farm.pub:wrong
    2> error: roots.stapr: the signature by key [FARM-KEY] does not fit root number 1
    [exit 10]
    $ stap-bundle trust root sign roots.stapr --attach stranger.pub:signature
    2> error: roots.stapr: root 1 does not ask for a signature by key [STRANGER-KEY-SHORT]
    [exit 10]
    $ stap-bundle trust root sign roots.stapr --attach farm.pub:signature
    roots.stapr: root 1 of chain default, complete
      threshold  1 of 1 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  yes
    [exit 0]
    "#);
}

/// A world with a chain of two keys, both of which must sign, and a host that pins one.
pub(crate) fn two_of_two() -> TestWorld {
    let world = farm_world();
    ok(
        &world,
        "
        trust root create --key farm.pub --key stranger.pub --threshold 2 --name fleet -o roots.stapr
        trust root sign roots.stapr --key farm.key --key stranger.key
        trust add --root host farm.pub
    ",
    );
    bundle_with(&world, "fleet-1.stapb", "roots.stapr", 1);
    world
}

#[test]
fn a_bundle_with_roots_is_installed_by_two_keys_and_not_by_one() {
    let world = two_of_two();
    let one = Bundle { roots: Some(chain(&world, "roots.stapr")), ..fleet(1) };
    world.write("alone.stapb", one.signed_by(&[&world.farm]));
    assert_snapshot!(world.talk("
        verify alone.stapb --key farm.pub
        install --root host --all-kernels alone.stapb
        install --root host --all-kernels fleet-1.stapb
        trust list --root host
        trust add --root host stranger.pub
    "), @r#"
    $ stap-bundle verify alone.stapb --key farm.pub
    2> error: alone.stapb: signatures by trusted keys: 1, needed: 2 [signature-threshold]
    2> hint: the farm adds a signature with another of its keys
    [exit 10]
    $ stap-bundle install --root host --all-kernels alone.stapb
    2> root 1 of chain fleet is accepted on this host
    2> error: alone.stapb: signatures by trusted keys: 1, needed: 2
    2> hint: the farm adds a signature with another of its keys
    [exit 10]
    $ stap-bundle install --root host --all-kernels fleet-1.stapb
    installed: fleet 1.1 as generation 1
      6.12.1-test: 2 modules
      6.13.0-test: 1 module, 1 red cell
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    2> staging generation 1 with 2 kernels
    2>   6.12.1-test: 2 modules, [SIZE]
    2>   6.13.0-test: 1 module, [SIZE]
    2> switching from nothing to generation 1
    [exit 0]
    $ stap-bundle trust list --root host
    root 1 of chain fleet (accepted)
    [FARM-KEY]
    2> The pinned keys count only for what they let in before; `trust show` has the chain's keys.
    [exit 0]
    $ stap-bundle trust add --root host stranger.pub
    2> error: root 1 rules on this host, so a pin would count for nothing
    2> hint: let the farm add the key with a new root, and bring that: stap-bundle trust update FILE
    2> hint: to believe another farm there instead: stap-bundle trust remove --domain default, and pin its key
    [exit 10]
    "#);
}

#[test]
fn a_rotation_keeps_what_is_installed_and_a_revocation_refuses_it() {
    let world = two_of_two();
    ok(&world, "install --root host --all-kernels fleet-1.stapb");
    // Retire the second key; a new generation of hosts asks for one key only. What is installed stays.
    let id = world.stranger.public().id().short();
    ok(
        &world,
        &format!(
            "
        trust root set-threshold roots.stapr 1
        trust root retire-key roots.stapr {id}
        trust root sign roots.stapr --key farm.key --key stranger.key
    "
        ),
    );
    assert_snapshot!(world.talk("
        trust update --root host --dry-run roots.stapr
        trust update --root host roots.stapr
        trust update --root host roots.stapr
        list --root host
    "), @r#"
    $ stap-bundle trust update --root host --dry-run roots.stapr
    would be accepted: root 2 of chain fleet, after root 1
      threshold  1 of 1 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS   SIGNED
     [FARM-KEY]  active   yes
     [STRANGER-KEY]  retired  yes
    [exit 0]
    $ stap-bundle trust update --root host roots.stapr
    accepted: root 2 of chain fleet, after root 1
      threshold  1 of 1 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS   SIGNED
     [FARM-KEY]  active   yes
     [STRANGER-KEY]  retired  yes
    [exit 0]
    $ stap-bundle trust update --root host roots.stapr
    nothing new: root 2 rules already
    [exit 0]
    $ stap-bundle list --root host
     GENERATION   MADE  BUNDLE     SCRIPTS  KERNELS
     1 (current)  -     fleet 1.1  2        6.12.1-test, 6.13.0-test
    [exit 0]
    "#);
    ok(
        &world,
        "
        trust root revoke roots.stapr --bundle fleet --serials 1..3
        trust root sign roots.stapr --key farm.key
    ",
    );
    assert_snapshot!(world.talk("
        trust update --root host roots.stapr
        install --root host --all-kernels fleet-1.stapb
        trust show --root host
    "), @r#"
    $ stap-bundle trust update --root host roots.stapr
    accepted: root 3 of chain fleet, after root 2
      threshold  1 of 1 active keys must sign
      epoch      0
      created    [DATE]
      revoked    bundles fleet of epoch 0, serials 1 to 3

     KEY                                                               STATUS   SIGNED
     [FARM-KEY]  active   yes
     [STRANGER-KEY]  retired  -
    2> warning: bundle fleet is refused: bundle fleet 1.1 (serial 1) is revoked by root 3
    [exit 0]
    $ stap-bundle install --root host --all-kernels fleet-1.stapb
    2> error: fleet-1.stapb: bundle fleet 1.1 (serial 1) is revoked by root 3
    2> hint: bring a bundle that the farm made and signed after its newest root
    [exit 10]
    $ stap-bundle trust show --root host
    root 3 of chain fleet (accepted)
      threshold  1 of 1 active keys must sign
      epoch      0
      created    [DATE]
      revoked    bundles fleet of epoch 0, serials 1 to 3

     KEY                                                               STATUS   SIGNED
     [FARM-KEY]  active   yes
     [STRANGER-KEY]  retired  -
    [exit 0]
    "#);
    let said = world.json("trust list --root host");
    assert_eq!(said["chain"]["version"], 3);
    assert_eq!(said["chain"]["revoked_serials"][0]["last"], 3);
}

#[test]
fn verify_extract_and_export_follow_roots_from_a_key_or_a_directory() {
    let world = farm_world();
    ok(
        &world,
        "
        trust root create --key farm.pub --key stranger.pub --threshold 2 --name fleet -o keys/roots.stapr
    "
        .replace("keys/roots", "roots")
        .as_str(),
    );
    ok(&world, "trust root sign roots.stapr --key farm.key --key stranger.key");
    bundle_with(&world, "fleet.stapb", "roots.stapr", 1);
    world.write("plain.stapb", fleet(1).signed(&world.farm));
    world.write("trust/roots.stapr", std::fs::read(world.path("roots.stapr")).unwrap());
    for line in [
        "verify --key stranger.pub",
        "verify --trust trust",
        "inspect --trust trust",
        "verify --deep --key farm.pub",
    ] {
        ok(&world, &format!("{line} fleet.stapb"));
    }
    // Without roots a key is enough by itself, but not for who asks for a threshold.
    let judged = "judged by  root 1 of fleet, which asks for 2 signatures";
    let said = world.run("verify --key farm.pub fleet.stapb").to_string();
    assert!(said.contains(judged), "{said}");
    let said = world.run("inspect --key farm.pub fleet.stapb").to_string();
    assert!(said.contains("judged by   root 1 of fleet"), "{said}");
    ok(&world, "verify --key farm.pub plain.stapb");
    assert_snapshot!(world.run("verify --trust trust plain.stapb"), @r#"
    $ stap-bundle verify --trust trust plain.stapb
    2> error: plain.stapb: signatures by trusted keys: 1, needed: 2 [signature-threshold]
    2> hint: the farm adds a signature with another of its keys
    [exit 10]
    "#);
    world.write("trust/more.stapr", "x");
    assert_snapshot!(world.run("verify --trust trust plain.stapb"), @r#"
    $ stap-bundle verify --trust trust plain.stapb
    2> error: trust: there are 2 files *.stapr in it
    2> hint: leave one; a chain has one file
    [exit 10]
    "#);
}

#[test]
fn keys_epochs_and_revocations_are_added_to_a_chain() {
    let world = farm_world();
    ok(
        &world,
        "
        trust root create --key farm.pub --name fleet -o roots.stapr
        trust root sign roots.stapr --key farm.key
    ",
    );
    assert_snapshot!(world.talk("
        trust root add-key roots.stapr --key stranger.pub
        trust root add-key roots.stapr --key stranger.pub
        trust root raise-epoch roots.stapr
        trust root revoke roots.stapr
        trust root revoke roots.stapr --bundle fleet --serials 1..7
        trust root revoke roots.stapr --bundle fleet --serials nonsense
        trust root revoke roots.stapr --content 12
    "), @r#"
    $ stap-bundle trust root add-key roots.stapr --key stranger.pub
    roots.stapr: root 2 of chain fleet, lacks signatures
      threshold  1 of 2 active keys must sign
      epoch      0
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  -
     [STRANGER-KEY]  active  -
    lacks 1 of 1 signature by the keys of root 1: [FARM-KEY-SHORT]
    lacks 1 of 1 signature by the keys of root 2: [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust root add-key roots.stapr --key stranger.pub
    2> error: key [STRANGER-KEY] is active already
    [exit 2]
    $ stap-bundle trust root raise-epoch roots.stapr
    roots.stapr: root 2 of chain fleet, lacks signatures
      threshold  1 of 2 active keys must sign
      epoch      1
      created    [DATE]

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  -
     [STRANGER-KEY]  active  -
    lacks 1 of 1 signature by the keys of root 1: [FARM-KEY-SHORT]
    lacks 1 of 1 signature by the keys of root 2: [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust root revoke roots.stapr
    2> error: the following required arguments were not provided:
    2>   <--key-id <KEY-ID>|--bundle <NAME>|--content <SHA256>>
    2>
    2> Usage: stap-bundle trust root revoke <--key-id <KEY-ID>|--bundle <NAME>|--content <SHA256>> <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle trust root revoke roots.stapr --bundle fleet --serials 1..7
    roots.stapr: root 2 of chain fleet, lacks signatures
      threshold  1 of 2 active keys must sign
      epoch      1
      created    [DATE]
      revoked    bundles fleet of epoch 0, serials 1 to 7

     KEY                                                               STATUS  SIGNED
     [FARM-KEY]  active  -
     [STRANGER-KEY]  active  -
    lacks 1 of 1 signature by the keys of root 1: [FARM-KEY-SHORT]
    lacks 1 of 1 signature by the keys of root 2: [FARM-KEY-SHORT], [STRANGER-KEY-SHORT]
    [exit 0]
    $ stap-bundle trust root revoke roots.stapr --bundle fleet --serials nonsense
    2> error: invalid value 'nonsense' for '--serials <N|FIRST..LAST>': expected N or FIRST..LAST, the first not above the last
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle trust root revoke roots.stapr --content 12
    2> error: invalid value '12' for '--content <SHA256>': `12` is not a SHA-256 digest: expected 64 lower-case hexadecimal digits
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    let id = world.stranger.public().id();
    assert_snapshot!(world.run(&format!("trust root revoke roots.stapr --key-id {id}")), @r#"
    $ stap-bundle trust root revoke roots.stapr --key-id [STRANGER-KEY]
    roots.stapr: root 2 of chain fleet, lacks signatures
      threshold  1 of 1 active keys must sign
      epoch      1
      created    [DATE]
      revoked    bundles fleet of epoch 0, serials 1 to 7

     KEY                                                               STATUS   SIGNED
     [FARM-KEY]  active   -
     [STRANGER-KEY]  revoked  -
    lacks 1 of 1 signature by the keys of root 1: [FARM-KEY-SHORT]
    lacks 1 of 1 signature by the keys of root 2: [FARM-KEY-SHORT]
    [exit 0]
    "#);
}
