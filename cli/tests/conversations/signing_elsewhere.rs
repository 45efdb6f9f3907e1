//! `sign`: payloads, keys that live elsewhere, and further signatures.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// A world with a payload and with the farm's and a second private key.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.write("fleet.payload", fleet(7).payload());
    for (name, key) in [("farm.key", &world.farm), ("stranger.key", &world.stranger)] {
        world.write(name, key.to_pem().unwrap().as_bytes());
        world.chmod(name, 0o600);
    }
    world
}

#[test]
fn a_payload_is_signed_here_and_is_no_bundle_before() {
    let world = world();
    assert_snapshot!(world.talk("
        verify fleet.payload --key farm.pub
        sign fleet.payload --key farm.key
        verify fleet-1.7.stapb --key farm.pub
        sign fleet-1.7.stapb --key farm.key
        sign fleet.payload --key farm.key --key farm.key -o twice.stapb
    "), @r#"
    $ stap-bundle verify fleet.payload --key farm.pub
    2> error: fleet.payload: an unsigned payload, not a bundle [payload]
    2> hint: sign it on the farm: stap-bundle sign FILE --key NAME.key -o BUNDLE
    [exit 10]
    $ stap-bundle sign fleet.payload --key farm.key
    fleet-1.7.stapb: [SIZE], 1 signature
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
    [exit 0]
    $ stap-bundle verify fleet-1.7.stapb --key farm.pub
    verified: fleet 1.7 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 2 of 2
    [exit 0]
    $ stap-bundle sign fleet-1.7.stapb --key farm.key
    2> error: fleet-1.7.stapb: key [FARM-KEY] has signed already; one key counts once
    2> hint: sign with another key; a second signature by this one would change nothing
    [exit 16]
    $ stap-bundle sign fleet.payload --key farm.key --key farm.key -o twice.stapb
    2> error: fleet.payload: key [FARM-KEY] has signed already; one key counts once
    2> hint: sign with another key; a second signature by this one would change nothing
    [exit 16]
    "#);
    assert!(!world.path("twice.stapb").exists());
    // The two ids stand in the order of their digits, which differs from run to run.
    let said = world.run("sign fleet-1.7.stapb --key stranger.key");
    assert!(said.exit == Some(0) && said.stdout.contains("2 signatures"), "{said}");
    assert!(said.stderr.contains("The signature that it had is kept as found"), "{said}");
    for key in ["farm.pub", "stranger.pub"] {
        assert_eq!(world.run(&format!("verify fleet-1.7.stapb --key {key} --deep")).exit, Some(0), "{key}");
    }
    assert_eq!(
        fs::read_dir(world.work())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".tmp") })
            .count(),
        0
    );
}

#[test]
fn what_would_be_signed_is_shown_before() {
    let world = world();
    world.bundle("fleet.stapb", &fleet(7));
    assert_snapshot!(world.talk("
        sign fleet.payload --dry-run
        sign fleet.payload --dry-run --key farm.key
    "), @r#"
    $ stap-bundle sign fleet.payload --dry-run
    NOT SIGNED: fleet 1.7
      bundle id   [SHA-256]
      content     [SHA-256]
      created     [DATE]   epoch 0   serial 7
      size [SIZE] ( [SIZE] of modules)
      frames      present 2 of 2
      toolchain   systemtap 5.6; gcc 15
      packed by   zstd 1.5.7

     KERNEL       MACHINE  MODULES  RED  FRAME    PLAIN  REFERS TO
     6.12.1-test  [MACHINE]         2    0 [SIZE] [SIZE]  -
     6.13.0-test  [MACHINE]         1    1 [SIZE] [SIZE]  6.12.1-test

     SCRIPT   REQUIRES  USERS  OPTIONS
     counter  -         -      -D FOO=1 -s 4
     latency  counter   -      -D FOO=1 -s 4

    1 red cell:
      latency on 6.13.0-test: no such probe
    [exit 0]
    $ stap-bundle sign fleet.payload --dry-run --key farm.key
    2> error: the argument '--dry-run' cannot be used with '--key <NAME.key>'
    2>
    2> Usage: stap-bundle sign --dry-run <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    let shown = world.json("sign fleet.payload --dry-run");
    assert_eq!((&shown["verified"], &shown["manifest"]["serial"]), (&false.into(), &7.into()), "{shown}");
    let mut payload = fleet(7).payload();
    payload.truncate(payload.len() - 2000);
    world.write("damaged.payload", payload);
    assert_snapshot!(world.talk("sign damaged.payload --dry-run"), @r#"
    $ stap-bundle sign damaged.payload --dry-run
    2> error: damaged.payload can't be signed: the bundle ends at byte [OFFSET], inside a frame's header: the copy is incomplete
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 11]
    "#);
}

/// One signer could get another's signature over frames that the other never decoded.
#[test]
fn frames_that_nobody_had_seen_were_signed() {
    let world = world();
    world.bundle("fleet.stapb", &fleet(7));
    let subset = "subset fleet.stapb --kernel 6.12.1-test --key farm.pub -o part.stapb";
    assert_eq!(world.run(subset).exit, Some(0));
    assert_snapshot!(world.talk("
        sign part.stapb --key stranger.key
        sign part.stapb --payload-out message
    "), @r#"
    $ stap-bundle sign part.stapb --key stranger.key
    2> error: part.stapb can't be signed: kernel 6.13.0-test ([SHA-256]) is in the manifest but not in this file
    2> hint: nothing is signed that wasn't looked into: sign the whole file
    [exit 17]
    $ stap-bundle sign part.stapb --payload-out message
    2> error: part.stapb can't be signed: kernel 6.13.0-test ([SHA-256]) is in the manifest but not in this file
    2> hint: nothing is signed that wasn't looked into: sign the whole file
    [exit 17]
    "#);
    assert!(!world.path("message").exists());
}

#[test]
fn a_delta_is_signed_elsewhere_with_the_bundle_that_it_was_made_from() {
    let world = world();
    world.bundle("full.stapb", &fleet(7));
    let delta = fleet(8).delta_from(&world.path("full.stapb"), &world.farm);
    world.write("delta.stapb", delta);
    world.bundle("other.stapb", &fleet(6));
    assert_snapshot!(world.talk("
        sign delta.stapb --key stranger.key
        sign - --key farm.key
    "), @r#"
    $ stap-bundle sign delta.stapb --key stranger.key
    2> error: delta.stapb can't be signed: kernel 6.12.1-test needs [SHA-256], a frame of version 1.7, which is not here
    2> hint: this is a delta of version 1.7 (bundle id [SHA-256]): bring the full bundle of the new version, or that one
    2> hint: nothing is signed that wasn't looked into: give the bundle that it was made from, --base FILE
    [exit 17]
    $ stap-bundle sign - --key farm.key
    2> error: invalid value '-' for '<FILE>': a file is needed here, not standard input or output (a file of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    let said = world.run("sign delta.stapb --key stranger.key --base other.stapb");
    assert!(said.exit == Some(17) && said.stderr.contains("in the bundle that it refers to"), "{said}");
    let line = "sign delta.stapb --key stranger.key --base full.stapb -o both.stapb";
    let said = world.run(line);
    assert!(said.exit == Some(0) && said.stdout.contains("2 signatures"), "{said}");
    let said = world.run("verify both.stapb --key stranger.pub --deep --base full.stapb");
    assert!(said.exit == Some(0) && said.stdout.contains("3 modules decoded"), "{said}");
    let said = world.run(line);
    assert!(said.exit == Some(0) && said.stderr.contains("both.stapb has these bytes already"), "{said}");
}

#[test]
fn openssl_signs_what_payload_out_gives() {
    let world = world();
    let message = world.run("sign fleet.payload --payload-out message");
    assert!(message.exit == Some(0) && message.stderr.contains("openssl pkeyutl -sign -rawin"), "{message}");
    assert!(
        fs::read(world.path("message"))
            .unwrap()
            .starts_with(b"DSSEv1 44 application/vnd.stap-bundle.manifest.v1+json ")
    );
    let signed = Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-inkey", "farm.key", "-in", "message", "-out", "signature"])
        .current_dir(world.work())
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    assert_snapshot!(world.talk("
        sign fleet.payload --attach farm.pub:signature -o fleet.stapb
        verify fleet.stapb --key farm.pub
        sign fleet.payload --attach stranger.pub:signature -o wrong.stapb
        sign fleet.payload --attach farm.pub:message -o wrong.stapb
        sign fleet.payload --attach farm.pub -o wrong.stapb
        sign fleet.payload --attach farm.pub:gone -o wrong.stapb
    "), @r#"
    $ stap-bundle sign fleet.payload --attach farm.pub:signature -o fleet.stapb
    fleet.stapb: [SIZE], 1 signature
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
    [exit 0]
    $ stap-bundle verify fleet.stapb --key farm.pub
    verified: fleet 1.7 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 2 of 2
    [exit 0]
    $ stap-bundle sign fleet.payload --attach stranger.pub:signature -o wrong.stapb
    2> error: fleet.payload: the signature does not fit this payload and key [STRANGER-KEY]
    2> hint: the message to sign: stap-bundle sign PAYLOAD --payload-out MESSAGE
    [exit 10]
    $ stap-bundle sign fleet.payload --attach farm.pub:message -o wrong.stapb
    2> error: message: expected the 64 bytes of an Ed25519 signature, found more
    2> hint: sign with: openssl pkeyutl -sign -rawin -inkey NAME.key -in MESSAGE -out SIG
    [exit 11]
    $ stap-bundle sign fleet.payload --attach farm.pub -o wrong.stapb
    2> error: --attach farm.pub: expected NAME.pub:SIG, a public key and a signature's file
    [exit 2]
    $ stap-bundle sign fleet.payload --attach farm.pub:gone -o wrong.stapb
    2> error: gone: No such file or directory
    [exit 14]
    "#);
    assert!(!world.path("wrong.stapb").exists());
    assert!(fs::read(world.path("fleet.stapb")).unwrap() == fleet(7).signed(&world.farm), "the same bytes");
}

#[test]
fn a_damaged_payload_is_not_signed() {
    let world = world();
    let mut bytes = fleet(7).payload();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last - 1] ^= 1;
    world.write("damaged.payload", bytes);
    assert_snapshot!(world.talk("
        sign damaged.payload --key farm.key -o out.stapb
        sign damaged.payload --payload-out message
        sign farm.pub --key farm.key -o out.stapb
        sign fleet.payload --key gone.key -o out.stapb
    "), @r#"
    $ stap-bundle sign damaged.payload --key farm.key -o out.stapb
    2> error: damaged.payload can't be signed: `kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256 [SHA-256], found [SHA-256]
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 11]
    $ stap-bundle sign damaged.payload --payload-out message
    2> error: damaged.payload can't be signed: `kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256 [SHA-256], found [SHA-256]
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 11]
    $ stap-bundle sign farm.pub --key farm.key -o out.stapb
    2> error: farm.pub can't be signed: a key or a certificate (PEM), not a bundle
    2> hint: give the bundle here, and a public key with --key or to `trust add`
    [exit 11]
    $ stap-bundle sign fleet.payload --key gone.key -o out.stapb
    2> error: key file gone.key: No such file or directory
    [exit 14]
    "#);
    assert!(!world.path("out.stapb").exists() && !world.path("message").exists());
}
