//! What each command can do with a delta, and what it says where it can't.

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A full bundle, and a delta of it that has a kernel more.
fn world() -> TestWorld {
    let world = TestWorld::new();
    let full = Bundle { red: Vec::new(), ..fleet(1) };
    world.bundle("full.stapb", &full);
    let next =
        Bundle { red: Vec::new(), kernels: vec!["6.12.1-test", "6.13.0-test", "6.14.0-test"], ..fleet(2) };
    let delta = next.delta_from(&world.path("full.stapb"), &world.farm);
    world.write("delta.stapb", delta);
    world.write("host/etc/hostname", "web7\n");
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

#[test]
fn a_delta_is_verified_and_unpacked_with_the_bundle_that_it_was_made_from() {
    let world = world();
    assert_snapshot!(world.talk("
        verify delta.stapb --key farm.pub
        verify delta.stapb --key farm.pub --deep
        verify delta.stapb --key farm.pub --deep --base full.stapb
        extract delta.stapb out --key farm.pub --kernel 6.12.1-test
        extract delta.stapb out --key farm.pub --kernel 6.12.1-test --base full.stapb
        diff full.stapb delta.stapb --key farm.pub
    "), @r#"
    $ stap-bundle verify delta.stapb --key farm.pub
    verified: fleet 1.2 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 3 of 3
      delta of   version 1.1 (bundle id [SHA-256])
    [exit 0]
    $ stap-bundle verify delta.stapb --key farm.pub --deep
    signatures and digests verified, not decoded: fleet 1.2 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 3 of 3
      modules    0 modules decoded and compared
      delta of   version 1.1 (bundle id [SHA-256])
      not looked into: 3 frames that need that bundle: --deep --base FILE
    [exit 17]
    $ stap-bundle verify delta.stapb --key farm.pub --deep --base full.stapb
    verified: fleet 1.2 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 3 of 3
      modules    6 modules decoded and compared
      delta of   version 1.1 (bundle id [SHA-256])
    [exit 0]
    $ stap-bundle extract delta.stapb out --key farm.pub --kernel 6.12.1-test
    2> error: delta.stapb: kernel 6.12.1-test needs [SHA-256], a frame of version 1.1, which is not here
    2> hint: this is a delta of version 1.1 (bundle id [SHA-256]): bring the full bundle of the new version, or that one
    2> hint: if you have the older bundle: --base FILE
    [exit 17]
    $ stap-bundle extract delta.stapb out --key farm.pub --kernel 6.12.1-test --base full.stapb
    out/6.12.1-test: 2 modules
    [exit 0]
    $ stap-bundle diff full.stapb delta.stapb --key farm.pub
    --- fleet 1.1, serial 1
    +++ fleet 1.2, serial 2
    + kernel 6.14.0-test: 2 modules, [SIZE] unpacked, [SIZE] in frames
      frames [SIZE] -> [SIZE]
    [exit 1]
    "#);
    let said = world.run("extract delta.stapb other --key farm.pub --kernel 6.12.1-test --base delta.stapb");
    assert!(said.exit == Some(17) && said.stderr.contains("from which the delta was made"), "{said}");
    let said = world.run("verify delta.stapb --key farm.pub --deep --base -");
    assert!(said.exit == Some(2) && said.stderr.contains("a file is needed here"), "{said}");
    // A delta is the older one now.
    let said = world.run("diff delta.stapb full.stapb --key farm.pub");
    assert!(said.exit == Some(1) && said.stdout.contains("- kernel 6.14.0-test"), "{said}");
}

#[test]
fn a_delta_is_installed_where_the_bundle_is_that_it_was_made_from() {
    let world = world();
    let before = world.tree();
    let said = world.run("install --root host delta.stapb");
    assert!(
        said.exit == Some(17) && said.stderr.contains("bring the full bundle of the new version"),
        "{said}"
    );
    assert!(world.tree() == before);
    assert_snapshot!(world.talk("
        install --root host full.stapb --quiet
        install --root host delta.stapb --dry-run
        install --root host delta.stapb
        install --root host delta.stapb --kernel 6.14.0-test
        fsck --root host
        rollback --root host 1
    "), @r#"
    $ stap-bundle install --root host full.stapb --quiet
    [exit 0]
    $ stap-bundle install --root host delta.stapb --dry-run
    would install: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      + not unpacked kernel 6.14.0-test
      nothing was written
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2>   6.12.1-test: 2 modules, [SIZE]
    [exit 0]
    $ stap-bundle install --root host delta.stapb
    installed: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      + not unpacked kernel 6.14.0-test
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 1 to generation 2
    [exit 0]
    $ stap-bundle install --root host delta.stapb --kernel 6.14.0-test
    installed: fleet 1.2 as generation 3
      6.12.1-test: 2 modules
      6.14.0-test: 2 modules
      + kernel 6.14.0-test: 2 modules
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 3 with 2 kernels
    2>   6.12.1-test: 2 modules, [SIZE]
    2>   6.14.0-test: 2 modules, [SIZE]
    2> switching from generation 2 to generation 3
    [exit 0]
    $ stap-bundle fsck --root host
    good: generation 3, 8 files compared, [SIZE]
    [exit 0]
    $ stap-bundle rollback --root host 1
    rolled back: from generation 3 to 1
      - kernel 6.14.0-test: 2 modules
    [exit 0]
    "#);
}
