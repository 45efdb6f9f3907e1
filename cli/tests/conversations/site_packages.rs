//! `export --deb`, `--rpm`: a bundle as a package of the site's own channel.

use std::fs;
use std::process::Command;

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::world::TestWorld;

fn said(program: &str, arguments: &[&str], world: &TestWorld) -> String {
    let output = Command::new(program).args(arguments).current_dir(world.path(".")).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_package_has_the_bundle_in_the_inbox_and_is_the_same_each_time() {
    let mut world = TestWorld::new();
    world.bundle("fleet-7.stapb", &fleet(7));
    assert_snapshot!(world.run("export --deb fleet-7.stapb --key farm.pub"), @r#"
    $ stap-bundle export --deb fleet-7.stapb --key farm.pub
    2> error: program dpkg-deb not found in PATH $WORLD/bin
    2> hint: it is in the package dpkg
    [exit 1]
    "#);
    // Where the real tools are.
    world.set("PATH", std::env::var_os("PATH").unwrap());
    assert_snapshot!(world.talk("
        export fleet-7.stapb --key farm.pub
        export --deb --rpm fleet-7.stapb --key farm.pub
        export --deb - --key farm.pub
        export --deb fleet-7.stapb --key stranger.pub
        export --deb fleet-7.stapb --key farm.pub
        export --rpm fleet-7.stapb --key farm.pub
        export --deb fleet-7.stapb --key farm.pub -o again
        export --rpm fleet-7.stapb --key farm.pub -o again
        export --deb fleet-7.stapb --key farm.pub
    "), @r#"
    $ stap-bundle export fleet-7.stapb --key farm.pub
    2> error: export: no form given
    2> hint: --deb or --rpm for package managers; --tar-gz writes stap-scripts-RELEASE.tar.gz packages for the initscript
    [exit 2]
    $ stap-bundle export --deb --rpm fleet-7.stapb --key farm.pub
    2> error: the argument '--deb' cannot be used with '--rpm'
    2>
    2> Usage: stap-bundle export --deb --key <NAME.pub> <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle export --deb - --key farm.pub
    2> error: a package is made of a file, not of standard input
    [exit 2]
    $ stap-bundle export --deb fleet-7.stapb --key stranger.pub
    2> error: fleet-7.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle export --deb fleet-7.stapb --key farm.pub
    ./stap-scripts-fleet_7+1.7_all.deb: [SIZE]
    [exit 0]
    $ stap-bundle export --rpm fleet-7.stapb --key farm.pub
    ./stap-scripts-fleet-7+1.7-1.noarch.rpm: [SIZE]
    [exit 0]
    $ stap-bundle export --deb fleet-7.stapb --key farm.pub -o again
    again/stap-scripts-fleet_7+1.7_all.deb: [SIZE]
    [exit 0]
    $ stap-bundle export --rpm fleet-7.stapb --key farm.pub -o again
    again/stap-scripts-fleet-7+1.7-1.noarch.rpm: [SIZE]
    [exit 0]
    $ stap-bundle export --deb fleet-7.stapb --key farm.pub
    ./stap-scripts-fleet_7+1.7_all.deb: [SIZE]
    2> ./stap-scripts-fleet_7+1.7_all.deb has these bytes already; it stays as it is
    [exit 0]
    "#);
    let deb = "stap-scripts-fleet_7+1.7_all.deb";
    let rpm = "stap-scripts-fleet-7+1.7-1.noarch.rpm";
    for package in [deb, rpm] {
        assert_eq!(
            fs::read(world.path(package)).unwrap(),
            fs::read(world.path(&format!("again/{package}"))).unwrap(),
            "{package} differs"
        );
    }
    let inside = "var/lib/stap-bundle/inbox/stap-scripts-fleet_7+1.7.stapb";
    said("dpkg-deb", &["-x", deb, "unpacked"], &world);
    assert_eq!(
        fs::read(world.path(&format!("unpacked/{inside}"))).unwrap(),
        fs::read(world.path("fleet-7.stapb")).unwrap()
    );
    assert_eq!(
        said("dpkg-deb", &["-f", deb, "Version", "Depends"], &world),
        "Version: 7+1.7\nDepends: stap-bundle\n"
    );
    // No maintainer script.
    said("dpkg-deb", &["-e", deb, "control"], &world);
    assert_eq!(fs::read_dir(world.path("control")).unwrap().count(), 1);
    let query = ["-qp", "--scripts", "--qf", "[%{FILENAMES} %{FILEMODES:perms}\n]", rpm];
    assert_eq!(said("rpm", &query, &world), format!("/{inside} -rw-r--r--\n"));
}
