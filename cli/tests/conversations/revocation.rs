//! Row B9: what was installed in good faith isn't started any more once a root revokes its key, its serial or its content.

use bundle_format::{RawBundle, RootChain, RootsFile};
use fixtures::fake_host::FakeHost;

use crate::bundles::{Bundle, fleet};
use crate::running::start;
use crate::world::TestWorld;

fn ok(world: &TestWorld, line: &str) {
    let said = world.run(line);
    assert_eq!(said.exit, Some(0), "{said}");
}

/// A host that runs the scripts of a bundle by the farm's key, which is one of two in a chain.
fn running() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    for (name, key) in [("farm.key", &world.farm), ("stranger.key", &world.stranger)] {
        world.write(name, key.to_pem().unwrap().as_bytes());
        world.chmod(name, 0o600);
    }
    ok(
        &world,
        "trust root create --key farm.pub --key stranger.pub --threshold 1 --name fleet -o roots.stapr",
    );
    ok(&world, "trust root sign roots.stapr --key farm.key --key stranger.key");
    ok(&world, "trust add --root host farm.pub");
    let roots: RootChain =
        RootsFile::read(&std::fs::read(world.path("roots.stapr")).unwrap()).unwrap().complete().unwrap();
    world.bundle("fleet.stapb", &Bundle { roots: Some(roots), ..fleet(1) });
    ok(&world, "install --root host fleet.stapb");
    assert_eq!(start(&world), ["counter", "latency"]);
    world
}

/// As the machine is after a boot: nothing is loaded, and nothing is known of what was.
fn boot(world: &TestWorld) {
    let fake = FakeHost::at(&world.path("host"));
    for name in ["latency", "counter"] {
        fake.remove_module(name).unwrap();
    }
    for gone in ["host/run/stap-bundle", "host/var/run/systemtap"] {
        std::fs::remove_dir_all(world.path(gone)).unwrap();
    }
}

fn refused_at_the_next_boot(revoke: impl Fn(&TestWorld) -> String, reason: &str) {
    let world = running();
    ok(&world, &format!("trust root revoke roots.stapr {}", revoke(&world)));
    ok(&world, "trust root sign roots.stapr --key farm.key --key stranger.key");
    ok(&world, "trust update --root host roots.stapr");
    boot(&world);
    assert!(start(&world).is_empty(), "a revoked set was loaded");
    let status = world.run("status --root host");
    assert!(status.exit == Some(10) && status.stdout.contains(reason), "`{reason}` is not in {status}");
    // Nor is it let in again, and the other way of having it back isn't one.
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(10));
    ok(&world, "history --root host");
}

#[test]
fn b09_what_a_revoked_key_signed_is_not_started_at_the_next_boot() {
    refused_at_the_next_boot(|world| format!("--key-id {}", world.farm.public().id()), "revoked");
}

#[test]
fn b09_a_bundle_whose_serial_is_revoked_is_not_started_at_the_next_boot() {
    refused_at_the_next_boot(
        |_| "--bundle fleet --serials 1".to_owned(),
        "bundle fleet 1.1 (serial 1) is revoked by root 2",
    );
}

#[test]
fn b09_a_bundle_whose_content_is_revoked_is_not_started_at_the_next_boot() {
    let content = |world: &TestWorld| {
        let raw = RawBundle::read(std::fs::File::open(world.path("fleet.stapb")).unwrap()).unwrap();
        let keys = bundle_format::TrustedKeys::any_of([world.farm.public().clone()]);
        format!("--content {}", raw.verify(&keys).unwrap().manifest().content)
    };
    refused_at_the_next_boot(content, "is revoked by root 2");
}
