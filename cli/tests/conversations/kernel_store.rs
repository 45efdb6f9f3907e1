//! `kernel add`, `list`, `show`, `remove`: packages of kernels on a farm.

use fixtures::package::{Member, deb};
use insta::assert_snapshot;

use crate::schema::check_kind;
use crate::world::TestWorld;

const RELEASE: &str = "6.1.0-50-amd64";

/// A root, and the packages of one kernel.
fn world() -> TestWorld {
    let world = TestWorld::new();
    world.write("root/usr/bin/stap", "");
    let tree = format!("./usr/src/linux-headers-{RELEASE}");
    let (makefile, utsrelease) =
        (format!("{tree}/Makefile"), format!("{tree}/include/generated/utsrelease.h"));
    let release = format!("#define UTS_RELEASE \"{RELEASE}\"\n");
    let headers: [Member<'_>; 2] = [
        (&makefile, 'f', b"include /usr/src/linux-headers-6.1.0-50-common/Makefile\n"),
        (&utsrelease, 'f', release.as_bytes()),
    ];
    world.write("debs/headers.deb", deb(&format!("linux-headers-{RELEASE}"), "6.1.170-3", &headers));
    let common = [("./usr/src/linux-headers-6.1.0-50-common/Makefile", 'f', &b"all:\n"[..])];
    world.write("debs/common.deb", deb("linux-headers-6.1.0-50-common", "6.1.170-3", &common));
    let hostile = [("./usr/src/../../etc/cron.d/x", 'f', &b"x"[..])];
    world.write("hostile.deb", deb("linux-headers-x", "1", &hostile));
    world
}

#[test]
fn a_kernels_packages_are_taken_in_shown_and_removed() {
    let world = world();
    assert_snapshot!(world.talk("
        kernel list --kernel-store store
        kernel add debs/headers.deb --kernel-store store
        build -r 6.1.0-50-amd64 --sysroot root --kernel-store store --cache cache --dry-run
        kernel add debs --kernel-store store
        kernel list --kernel-store store
        kernel show 6.1.0-50-amd64 --kernel-store store
        kernel missing -r 6.1.0-50-amd64 --sysroot root --kernel-store store
        kernel remove 6.1.0-50-amd64 --kernel-store store
        kernel remove 6.1.0-50-amd64 --kernel-store store
    "), @r#"
    $ stap-bundle kernel list --kernel-store store
    the kernel store has no kernels: $WORLD/work/store
    [exit 0]
    $ stap-bundle kernel add debs/headers.deb --kernel-store store
    linux-headers-6.1.0-50-amd64 6.1.170-3 (amd64): unverified; for 6.1.0-50-amd64
    kernel 6.1.0-50-amd64: build tree (not whole); 1 package, [SIZE]
    2> taking in debs/headers.deb
    2> warning: 1 package unverified, and the bills of materials say so; check with --keyring, --index or --digests
    2> warning: kernel 6.1.0-50-amd64 can't be built for yet: its build tree refers to /usr/src/linux-headers-6.1.0-50-common, which no package has brought
    [exit 0]
    $ stap-bundle build -r 6.1.0-50-amd64 --sysroot root --kernel-store store --cache cache --dry-run
    2> error: 4 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/root has no directory /mnt, where the work directory of a job is mounted
    2>   because: the build tree of 6.1.0-50-amd64 in the kernel store refers to /usr/src/linux-headers-6.1.0-50-common, which is not there: add the package that has it (stap-bundle kernel add)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: put scripts into /etc/systemtap/script.d (SCRIPT_PATH of the configuration), or name `.stp` files
    [exit 21]
    $ stap-bundle kernel add debs --kernel-store store
    linux-headers-6.1.0-50-common 6.1.170-3 (amd64): unverified; is kept for the kernels that need it
    linux-headers-6.1.0-50-amd64 6.1.170-3 (amd64): unverified; is there already
    kernel 6.1.0-50-amd64: build tree; 2 packages, [SIZE]
    2> taking in debs/common.deb
    2> taking in debs/headers.deb
    2> warning: 2 packages unverified, and the bills of materials say so; check with --keyring, --index or --digests
    [exit 0]
    $ stap-bundle kernel list --kernel-store store
    6.1.0-50-amd64  build tree; 2 packages, [SIZE]
    [exit 0]
    $ stap-bundle kernel show 6.1.0-50-amd64 --kernel-store store
    6.1.0-50-amd64: build tree; 2 packages, [SIZE]
      linux-headers-6.1.0-50-amd64 6.1.170-3 (amd64)
        headers.deb, unverified
        sha256 [SHA-256]
      linux-headers-6.1.0-50-common 6.1.170-3 (amd64)
        common.deb, unverified
        sha256 [SHA-256]
      in $WORLD/work/store/6.1.0-50-amd64/root
    [exit 0]
    $ stap-bundle kernel missing -r 6.1.0-50-amd64 --sysroot root --kernel-store store
    nothing is missing for 1 kernel
    [exit 0]
    $ stap-bundle kernel remove 6.1.0-50-amd64 --kernel-store store
    kernel 6.1.0-50-amd64 is removed, with 2 packages
    [exit 0]
    $ stap-bundle kernel remove 6.1.0-50-amd64 --kernel-store store
    2> error: kernel 6.1.0-50-amd64 is not in the kernel store
    2> hint: `stap-bundle kernel list` shows what is there
    [exit 2]
    "#);
}

#[test]
fn a_package_that_is_refused_is_named_with_its_member_and_nothing_is_taken() {
    let world = world();
    world.write("SHA256SUMS", format!("{}  other.deb\n", "0".repeat(64)));
    assert_snapshot!(world.talk("
        kernel add debs hostile.deb --kernel-store store
        kernel list --kernel-store store
        kernel add debs --digests SHA256SUMS --kernel-store store
        kernel add debs --index root/usr/bin/stap --kernel-store store
        kernel add root --kernel-store store
        kernel add absent.deb --kernel-store store
        kernel add --kernel-store store
        kernel add --debuginfod http://127.0.0.1:1 6.1.0-50-amd64 --build-id zz --kernel-store store
    "), @r#"
    $ stap-bundle kernel add debs hostile.deb --kernel-store store
    2> taking in debs/common.deb
    2> taking in debs/headers.deb
    2> taking in hostile.deb
    2> error: package hostile.deb is refused: its member ./usr/src/../../etc/cron.d/x leads out of the package
    2> hint: nothing was taken into the kernel store
    [exit 11]
    $ stap-bundle kernel list --kernel-store store
    the kernel store has no kernels: $WORLD/work/store
    [exit 0]
    $ stap-bundle kernel add debs --digests SHA256SUMS --kernel-store store
    2> taking in debs/common.deb
    2> error: package debs/common.deb is refused: its SHA-256 is [SHA-256], which is in no index and on no list that was given
    2> hint: nothing was taken into the kernel store
    [exit 10]
    $ stap-bundle kernel add debs --index root/usr/bin/stap --kernel-store store
    2> error: index root/usr/bin/stap can't be used: its SHA-256, [SHA-256], is in no InRelease file that was given
    [exit 2]
    $ stap-bundle kernel add root --kernel-store store
    2> error: root has no packages: files that end with .deb or .rpm
    [exit 2]
    $ stap-bundle kernel add absent.deb --kernel-store store
    2> taking in absent.deb
    2> error: can't open absent.deb
    2>   because: No such file or directory
    [exit 2]
    $ stap-bundle kernel add --kernel-store store
    2> error: the following required arguments were not provided:
    2>   <FILE|DIR>...
    2>
    2> Usage: stap-bundle kernel add --kernel-store <DIR> <FILE|DIR>...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle kernel add --debuginfod http://127.0.0.1:1 6.1.0-50-amd64 --build-id zz --kernel-store store
    2> error: invalid value 'zz' for '--build-id <HEX>': a build id is an even number of hexadecimal digits
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}

#[test]
fn documents_have_packages_and_how_each_was_checked() {
    let world = world();
    let json = |line: &str, kind: &str| {
        let document = world.json(&format!("{line} --json --kernel-store store"));
        check_kind(&format!("{}-1", kind.replace(' ', "-")), &document, kind);
        document
    };
    let added = json("kernel add debs", "kernel add");
    assert_eq!(added["packages"][0]["checked"]["by"], "unverified");
    assert_eq!(added["kernels"][0]["lacks"].as_array().unwrap().len(), 0);
    assert_eq!(json("kernel list", "kernel list")["kernels"][0]["kernel"], RELEASE);
    assert_eq!(json("kernel show 6.1.0-50-amd64", "kernel show")["packages"].as_array().unwrap().len(), 2);
    assert_eq!(json("kernel remove 6.1.0-50-amd64", "kernel remove")["kernel"], RELEASE);
}
