//! `unpack`: a kernel that is installed after the bundle.

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::TestWorld;

#[test]
fn a_kernel_that_came_later_is_unpacked_and_one_without_modules_is_named() {
    let world = TestWorld::new();
    world.bundle("fleet-1.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_snapshot!(world.run("unpack --root host"), @r#"
    $ stap-bundle unpack --root host
    2> error: nothing is installed, so nothing is unpacked
    2> hint: stap-bundle install FILE
    [exit 12]
    "#);
    assert_eq!(world.run("install --root host fleet-1.stapb").exit, Some(0));
    for release in ["6.13.0-test", "6.99.0-test"] {
        world.write(&format!("host/lib/modules/{release}/modules.order"), "");
    }
    assert_snapshot!(world.talk("
        unpack --root host -r 6.13.0-test
        unpack --root host -r 6.13.0-test
        unpack --root host -r 6.99.0-test
        unpack --root host -r 6.14.0-test
        unpack --root host
    "), @r#"
    $ stap-bundle unpack --root host -r 6.13.0-test
    unpacked as generation 2
    2> fleet 1.1 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 2 kernels
    2>   6.12.1-test: 2 modules, [SIZE]
    2>   6.13.0-test: 1 module, [SIZE]
    2> switching from generation 1 to generation 2
    2> warning: the installed kernel 6.99.0-test is not in the bundle
    [exit 0]
    $ stap-bundle unpack --root host -r 6.13.0-test
    nothing to do: all that the installed bundles have for these kernels is unpacked
    [exit 0]
    $ stap-bundle unpack --root host -r 6.99.0-test
    2> warning: no installed bundle has modules for kernel 6.99.0-test: no script of a bundle will start there
    [exit 12]
    $ stap-bundle unpack --root host -r 6.14.0-test
    2> error: kernel 6.14.0-test isn't installed here: there is no /lib/modules/6.14.0-test
    [exit 12]
    $ stap-bundle unpack --root host
    nothing to do: all that the installed bundles have for these kernels is unpacked
    2> warning: no installed bundle has modules for kernel 6.99.0-test: no script of a bundle will start there
    [exit 12]
    "#);
    let json = world.run("unpack --root host --json -r 6.13.0-test -r 6.99.0-test");
    assert_eq!(json.exit, Some(12));
}
