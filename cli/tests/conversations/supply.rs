//! `kernel missing`: which packages a farm lacks for the kernels of a fleet.

use insta::assert_snapshot;

use crate::schema::check_kind;
use crate::world::TestWorld;

/// A root with the build tree of one kernel, and the list of a fleet.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.write("root/lib/modules/6.1.0-50-amd64/build/Makefile", "all:\n");
    world.write(
        "fleet.txt",
        "web1 6.1.0-50-amd64\nweb2 6.1.0-47-amd64\nweb3 6.1.0-47-cloud-amd64\ndb1 5.14.0-427.el9.x86_64\n",
    );
    world
}

#[test]
fn packages_are_named_by_kernel_and_for_what_fetches_them() {
    let world = world();
    assert_snapshot!(world.talk("
        kernel missing --kernels fleet.txt --sysroot root
        kernel missing --kernels fleet.txt --sysroot root --for apt
        kernel missing -r 6.1.0-50-amd64 --sysroot root
        kernel missing -r 6.1.0-50-amd64 --sysroot root --debuginfo
    "), @r#"
    $ stap-bundle kernel missing --kernels fleet.txt --sysroot root
    5.14.0-427.el9.[MACHINE] (1 host: db1): no build tree; RHEL's packages:
      kernel-devel-5.14.0-427.el9.[MACHINE]
    6.1.0-47-amd64 (1 host: web2): no build tree; Debian's packages:
      linux-headers-6.1.0-47-amd64
      linux-headers-6.1.0-47-common
      linux-kbuild-6.1
    6.1.0-47-cloud-amd64 (1 host: web3): no build tree; Debian's packages:
      linux-headers-6.1.0-47-cloud-amd64
      linux-headers-6.1.0-47-common
      linux-kbuild-6.1

    apt-get download linux-headers-6.1.0-47-amd64 linux-headers-6.1.0-47-cloud-amd64 linux-headers-6.1.0-47-common linux-kbuild-6.1

    dnf download kernel-devel-5.14.0-427.el9.[MACHINE]
    [exit 0]
    $ stap-bundle kernel missing --kernels fleet.txt --sysroot root --for apt
    linux-headers-6.1.0-47-amd64
    linux-headers-6.1.0-47-cloud-amd64
    linux-headers-6.1.0-47-common
    linux-kbuild-6.1
    2> warning: 1 package more, for `dnf download`: see --for
    [exit 0]
    $ stap-bundle kernel missing -r 6.1.0-50-amd64 --sysroot root
    nothing is missing for 1 kernel
    [exit 0]
    $ stap-bundle kernel missing -r 6.1.0-50-amd64 --sysroot root --debuginfo
    6.1.0-50-amd64: no debuginfo, no modules; Debian's packages:
      linux-image-6.1.0-50-amd64-dbg
      linux-image-6.1.0-50-amd64

    apt-get download linux-image-6.1.0-50-amd64 linux-image-6.1.0-50-amd64-dbg
    [exit 0]
    "#);
}

#[test]
fn what_is_unknown_is_said_and_no_success() {
    let world = world();
    assert_snapshot!(world.talk("
        kernel missing -r 6.6.1-custom -r 6.8.0-45-generic --sysroot root
        kernel missing -r 6.6.1-custom --sysroot root --for apt
        kernel missing -r ../x --sysroot absent
        kernel missing --sysroot root
        kernel missing --kernels absent.txt --sysroot root
    "), @r#"
    $ stap-bundle kernel missing -r 6.6.1-custom -r 6.8.0-45-generic --sysroot root
    6.6.1-custom: no build tree; its packages are unknown
    6.8.0-45-generic: no build tree; Ubuntu's packages:
      linux-headers-6.8.0-45-generic

    apt-get download linux-headers-6.8.0-45-generic
    2> warning: Ubuntu: besides these, what linux-headers depends on (apt-cache depends names it)
    2> warning: kernel 6.6.1-custom: no distribution is known that gives releases such names; ask on a host what owns /lib/modules/6.6.1-custom
    [exit 1]
    $ stap-bundle kernel missing -r 6.6.1-custom --sysroot root --for apt
    2> warning: kernel 6.6.1-custom: no distribution is known that gives releases such names; ask on a host what owns /lib/modules/6.6.1-custom
    [exit 1]
    $ stap-bundle kernel missing -r ../x --sysroot absent
    2> error: sysroot absent can't be opened
    2>   because: No such file or directory
    2>   because: `-r ../x` isn't a kernel's build tree: No such file or directory
    [exit 2]
    $ stap-bundle kernel missing --sysroot root
    2> error: the following required arguments were not provided:
    2>   <--kernel <REL>|--kernels <FILE>|--all-kernels>
    2>
    2> Usage: stap-bundle kernel missing --sysroot <DIR> <--kernel <REL>|--kernels <FILE>|--all-kernels>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle kernel missing --kernels absent.txt --sysroot root
    2> error: absent.txt: No such file or directory
    [exit 14]
    "#);
}

#[test]
fn the_document_says_what_each_kernel_lacks() {
    let world = world();
    let document = world.json("kernel missing --json --kernels fleet.txt -r 6.6.1-custom --sysroot root");
    check_kind("kernel-missing-1", &document, "kernel missing");
    let missing = document["missing"].as_array().unwrap();
    let packages = |at: usize| missing[at]["packages"].as_array().map_or(0, Vec::len);
    assert_eq!((missing.len(), packages(0), packages(1)), (4, 1, 3));
    assert_eq!(missing[0]["hosts"][0], "db1");
    assert!(missing[3]["packages"].is_null() && missing[3]["downloader"].is_null(), "{document:#}");
}
