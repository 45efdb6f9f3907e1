//! `inspect`, `verify` and `extract`: what a file says, and what it doesn't get away with.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// A world with one good bundle.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world
}

/// Flips one bit of `fleet.stapb` and writes it to `name`.
fn flip(world: &TestWorld, name: &str, offset: usize) {
    let mut bytes = fs::read(world.path("fleet.stapb")).unwrap();
    bytes[offset] ^= 1;
    world.write(name, bytes);
}

#[test]
fn inspect_shows_more_the_more_is_proven() {
    assert_snapshot!(world().talk("
        inspect --root host fleet.stapb
        inspect --root host fleet.stapb --unverified
        inspect --root host fleet.stapb --key farm.pub
        inspect --root host fleet.stapb --key stranger.pub
    "), @r#"
    $ stap-bundle inspect --root host fleet.stapb
    NOT VERIFIED: no key was given and this host pins none
      file              fleet.stapb ( [SIZE])
      manifest [SIZE]
      claims a signer   [FARM-KEY]
    2> To see the content: --key NAME.pub, or --unverified.
    [exit 0]
    $ stap-bundle inspect --root host fleet.stapb --unverified
    NOT VERIFIED: fleet 1.7
      bundle id   [SHA-256]
      content     [SHA-256]
      claims a signer   [FARM-KEY]
      created     [DATE]   epoch 0   serial 7
      size [SIZE] ( [SIZE] of modules)
      frames      2
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
    $ stap-bundle inspect --root host fleet.stapb --key farm.pub
    manifest verified: fleet 1.7
      bundle id   [SHA-256]
      content     [SHA-256]
      signed by   [FARM-KEY]
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
    $ stap-bundle inspect --root host fleet.stapb --key stranger.pub
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    "#);
}

#[test]
fn inspect_refuses_what_is_no_bundle() {
    let world = world();
    world.write("notes.txt", "not a bundle\n");
    world.write("empty.stapb", "");
    world.write("keys/readme", "");
    assert_snapshot!(world.talk("
        inspect --root host notes.txt
        inspect --root host empty.stapb
        inspect --root host absent.stapb
        inspect --root host keys
        inspect --root host fleet.stapb --key notes.txt
        inspect --root host fleet.stapb --trust keys
        inspect --root host fleet.stapb --trust nowhere
        inspect --root host fleet.stapb --unverified --key farm.pub
    "), @r#"
    $ stap-bundle inspect --root host notes.txt
    2> error: notes.txt: not a bundle: the file does not begin with a `stap-bundle` member
    2> hint: a bundle is what `stap-bundle build` writes, by default NAME-VERSION.stapb
    [exit 11]
    $ stap-bundle inspect --root host empty.stapb
    2> error: empty.stapb: empty, not a bundle
    2> hint: did the copy, or the command before the pipe, fail?
    [exit 11]
    $ stap-bundle inspect --root host absent.stapb
    2> error: absent.stapb: No such file or directory
    [exit 14]
    $ stap-bundle inspect --root host keys
    2> error: keys is a directory, expected a bundle
    [exit 2]
    $ stap-bundle inspect --root host fleet.stapb --key notes.txt
    2> error: notes.txt: not an Ed25519 public key in PEM (`-----BEGIN PUBLIC KEY-----`): there is no such line
    2> hint: a public key is what `stap-bundle key generate` writes as NAME.pub
    [exit 11]
    $ stap-bundle inspect --root host fleet.stapb --trust keys
    2> error: keys: there is no *.pub in it
    [exit 10]
    $ stap-bundle inspect --root host fleet.stapb --trust nowhere
    2> error: nowhere: No such file or directory
    [exit 14]
    $ stap-bundle inspect --root host fleet.stapb --unverified --key farm.pub
    2> error: the argument '--unverified' cannot be used with '--key <NAME.pub>'
    2>
    2> Usage: stap-bundle inspect --root <DIR> --unverified <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}

#[test]
fn verify_accepts_what_the_farm_signed() {
    assert_snapshot!(world().talk("
        verify --root host fleet.stapb --key farm.pub
        verify --root host fleet.stapb --trust . --deep
    "), @r#"
    $ stap-bundle verify --root host fleet.stapb --key farm.pub
    verified: fleet 1.7 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 2 of 2
    [exit 0]
    $ stap-bundle verify --root host fleet.stapb --trust . --deep
    verified: fleet 1.7 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 2 of 2
      modules    3 modules decoded and compared
    [exit 0]
    "#);
}

#[test]
fn verify_names_the_damage() {
    let world = world();
    let good = fs::read(world.path("fleet.stapb")).unwrap();
    let manifest = good.windows(9).position(|bytes| bytes == b"\"created\"").unwrap();
    flip(&world, "flipped-manifest.stapb", manifest + 2);
    // Before the end mark and the padding of the last frame, both of which have checks of their own.
    let last = good.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&world, "flipped-frame.stapb", last - 1);
    flip(&world, "flipped-end.stapb", good.len() - 1);
    world.write("truncated.stapb", &good[..good.len() - 700]);
    world.write("longer.stapb", [good.as_slice(), b"more"].concat());
    world.write("notes.txt", "not a bundle\n".repeat(100));
    assert_snapshot!(world.talk("
        verify fleet.stapb --key stranger.pub
        verify flipped-manifest.stapb --key farm.pub
        verify flipped-frame.stapb --key farm.pub
        verify flipped-end.stapb --key farm.pub
        verify truncated.stapb --key farm.pub
        verify longer.stapb --key farm.pub
        verify notes.txt --key farm.pub
    "), @r#"
    $ stap-bundle verify fleet.stapb --key stranger.pub
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here [signature-untrusted]
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle verify flipped-manifest.stapb --key farm.pub
    2> error: flipped-manifest.stapb: the signature by trusted key [FARM-KEY] does not fit the manifest: the bundle was changed after signing [signature-invalid]
    2> hint: copy the file again from where it was built; of a bundle, `stap-bundle verify` says what is still good
    [exit 10]
    $ stap-bundle verify flipped-frame.stapb --key farm.pub
    flipped-frame.stapb: 1 problem; the signature of fleet 1.7 is good
      frame-digest: `kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256 [SHA-256], found [SHA-256]
      frames     present 2 of 2
      damaged    6.13.0-test
      still good 6.12.1-test
    2> Copy the bundle again from where it was built.
    2> Or save what is good: stap-bundle subset flipped-frame.stapb -r 6.12.1-test -o FILE
    [exit 11]
    $ stap-bundle verify flipped-end.stapb --key farm.pub
    flipped-end.stapb: 1 problem; the signature of fleet 1.7 is good
      member-header: invalid header at byte [OFFSET]: expected a frame, or the end mark
      frames     present 2 of 2
      still good 6.12.1-test 6.13.0-test
    2> Copy the bundle again from where it was built.
    [exit 11]
    $ stap-bundle verify truncated.stapb --key farm.pub
    truncated.stapb: 1 problem; the signature of fleet 1.7 is good
      truncated: the bundle ends at byte [OFFSET], inside a frame's header: the copy is incomplete
      frames     present 2 of 2
      still good 6.12.1-test 6.13.0-test
    2> Copy the bundle again from where it was built.
    [exit 11]
    $ stap-bundle verify longer.stapb --key farm.pub
    longer.stapb: 1 problem; the signature of fleet 1.7 is good
      trailing-bytes: bytes follow the end mark at byte [OFFSET]
      frames     present 2 of 2
      still good 6.12.1-test 6.13.0-test
    2> Copy the bundle again from where it was built.
    [exit 11]
    $ stap-bundle verify notes.txt --key farm.pub
    2> error: notes.txt: not a bundle: the file does not begin with a `stap-bundle` member [not-a-bundle]
    2> hint: a bundle is what `stap-bundle build` writes, by default NAME-VERSION.stapb
    [exit 11]
    "#);
}

#[test]
fn verify_needs_a_key() {
    let world = world();
    assert_eq!(world.run("key generate --out other").exit, Some(0));
    assert_snapshot!(world.talk("
        verify --root host fleet.stapb
        verify --root host fleet.stapb --key absent.pub
        verify --root host fleet.stapb --key other.key
    "), @r#"
    $ stap-bundle verify --root host fleet.stapb
    2> error: no key to verify with: none was given and this host pins none
    2> hint: give the farm's public key: --key NAME.pub
    2> hint: or pin it on this host: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle verify --root host fleet.stapb --key absent.pub
    2> error: absent.pub: No such file or directory
    [exit 14]
    $ stap-bundle verify --root host fleet.stapb --key other.key
    2> error: other.key is a private key, expected a public one
    2> hint: give the file with the suffix .pub, and keep this one on the farm
    [exit 2]
    "#);
}

#[test]
fn a_bundle_of_a_later_format_names_what_is_needed() {
    let world = world();
    let mut bytes = fs::read(world.path("fleet.stapb")).unwrap();
    let version = bytes[512..].iter().position(|byte| *byte == 1).unwrap();
    bytes[512 + version] = 2;
    world.write("later.stapb", bytes);
    assert_snapshot!(world.run("verify later.stapb --key farm.pub"), @r#"
    $ stap-bundle verify later.stapb --key farm.pub
    2> error: later.stapb: bundle format 2, this program reads format 1: a newer stap-bundle is needed [format-unknown]
    [exit 30]
    "#);
}

#[test]
fn extract_writes_plain_files_and_leaves_the_same_ones_alone() {
    let world = world();
    assert_snapshot!(world.talk("
        extract fleet.stapb out --key farm.pub
        extract fleet.stapb out --key farm.pub
        extract fleet.stapb one --key farm.pub --kernel 6.13.0-test
        extract fleet.stapb none --key farm.pub --kernel 5.10.0-test
        extract fleet.stapb other --key stranger.pub
    "), @r#"
    $ stap-bundle extract fleet.stapb out --key farm.pub
    out/6.12.1-test: 2 modules
    out/6.13.0-test: 1 module
    [exit 0]
    $ stap-bundle extract fleet.stapb out --key farm.pub
    out/6.12.1-test: 2 modules
    out/6.13.0-test: 1 module
    [exit 0]
    $ stap-bundle extract fleet.stapb one --key farm.pub --kernel 6.13.0-test
    one/6.13.0-test: 1 module
    [exit 0]
    $ stap-bundle extract fleet.stapb none --key farm.pub --kernel 5.10.0-test
    2> error: fleet.stapb: there is no kernel 5.10.0-test in it
    2> hint: it holds 6.12.1-test, 6.13.0-test
    [exit 12]
    $ stap-bundle extract fleet.stapb other --key stranger.pub
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    "#);
    assert!(world.path("out/6.12.1-test/latency.ko").is_file());
    assert!(world.path("out/6.12.1-test/latency.opts").is_file());
    assert!(!world.path("one/6.12.1-test").exists());
    assert!(!world.path("none").exists() && !world.path("other").exists());
}

#[test]
fn extract_leaves_nothing_of_a_damaged_bundle() {
    let world = world();
    let good = fs::read(world.path("fleet.stapb")).unwrap();
    flip(&world, "flipped.stapb", good.iter().rposition(|byte| *byte != 0).unwrap() - 1);
    let said = world.run("extract flipped.stapb out --key farm.pub");
    assert_eq!(said.exit, Some(11), "{said}");
    assert!(fs::read_dir(world.path("out")).map_or(true, |mut entries| entries.next().is_none()));
}

#[test]
fn export_writes_one_package_a_kernel() {
    let world = world();
    assert_snapshot!(world.talk("
        export fleet.stapb --tar-gz -o out --key farm.pub
        export fleet.stapb --tar-gz -o none --key farm.pub --kernel 5.10.0-test
        export fleet.stapb --tar-gz -o none --key stranger.pub
        export fleet.stapb -o none --key farm.pub
    "), @r#"
    $ stap-bundle export fleet.stapb --tar-gz -o out --key farm.pub
    out/stap-scripts-6.12.1-test.tar.gz: [SIZE]
    out/stap-scripts-6.13.0-test.tar.gz: [SIZE]
    2> These packages carry no signature: a host that unpacks them checks nothing.
    [exit 0]
    $ stap-bundle export fleet.stapb --tar-gz -o none --key farm.pub --kernel 5.10.0-test
    2> error: fleet.stapb: there is no kernel 5.10.0-test in it
    2> hint: it holds 6.12.1-test, 6.13.0-test
    [exit 12]
    $ stap-bundle export fleet.stapb --tar-gz -o none --key stranger.pub
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle export fleet.stapb -o none --key farm.pub
    2> error: export: no form given
    2> hint: --deb or --rpm for package managers; --tar-gz writes stap-scripts-RELEASE.tar.gz packages for the initscript
    [exit 2]
    "#);
    assert!(world.path("out/stap-scripts-6.12.1-test.tar.gz").is_file());
    assert!(!world.path("none").exists());
}

#[test]
fn extract_into_a_file_is_refused() {
    let world = world();
    world.write("taken", "");
    assert_snapshot!(world.run("extract fleet.stapb taken --key farm.pub"), @r#"
    $ stap-bundle extract fleet.stapb taken --key farm.pub
    2> error: taken is there and is no directory
    2> hint: give another directory
    [exit 16]
    "#);
}
