//! `mask` and `unmask`: what is said, and what is seen of them.

use std::fs;

use fixtures::fake_host::FakeHost;

use crate::bundles::fleet;
use crate::running::start;
use crate::world::TestWorld;

/// A host with counter and latency installed.
fn installed() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    world
}

#[test]
fn a_mask_is_said_seen_and_taken_away() {
    let world = installed();
    let said = world.run("mask --root host latency later");
    assert_eq!(said.exit, Some(0), "{said}");
    assert_eq!(said.stdout, "masked: latency, later\n", "{said}");
    assert!(
        said.stderr.contains("warning: no installed bundle has later: it is masked for when one comes"),
        "{said}"
    );
    let again = world.run("mask --root host latency");
    assert_eq!((again.exit, again.stdout.as_str()), (Some(0), "already masked: latency\n"), "{again}");

    assert_eq!(start(&world), ["counter"]);
    let status = world.json("status --root host");
    let of = |name: &str| {
        let scripts = status["scripts"].as_array().unwrap();
        scripts.iter().find(|script| script["script"] == name).unwrap().clone()
    };
    assert!(of("latency")["masked"]["by"].is_string() && of("counter")["masked"].is_null(), "{status}");
    assert_eq!(of("latency")["reason"]["id"], "masked");
    assert_eq!(of("later")["reason"]["id"], "masked");
    assert!(status["masks_unknown"].is_null());
    let said = world.run("status --root host");
    let lines = |start: &str| said.stdout.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("latency: masked by "), lines("latency")), (1, 1), "{said}");
    assert!(said.stdout.contains(": stap-bundle unmask latency\n"), "{said}");
    let said = world.run("status --root host --metrics");
    for line in [
        "stap_bundle_masks_known 1",
        "stap_bundle_script_masked{script=\"counter\"} 0",
        "stap_bundle_script_masked{script=\"latency\"} 1",
    ] {
        assert!(said.stdout.lines().any(|found| found == line), "{line}: {said}");
    }

    let said = world.run("mask --root host counter");
    assert!(
        said.stdout.contains("masked: counter\ncounter still runs: stap-bundle stop counter\n"),
        "{said}"
    );
    let said = world.run("status --root host counter");
    assert!(said.stdout.contains("; it still runs: stap-bundle stop counter\n"), "{said}");

    let said = world.run("unmask --root host latency absent");
    assert_eq!((said.exit, said.stdout.as_str()), (Some(0), "unmasked: latency\n"), "{said}");
    assert!(said.stderr.contains("absent was not masked"), "{said}");
    assert_eq!(start(&world), ["counter", "latency"]);
    assert_eq!(
        world.run("unmask --root host --all").stdout,
        "unmasked: counter, later\nno script is masked\n"
    );
    let said = world.run("history --root host -n 4");
    for words in
        [" masked latency, later\n", " masked counter\n", " unmasked latency\n", " unmasked counter, later\n"]
    {
        assert!(said.stdout.contains(words), "{words}: {said}");
    }
    assert_eq!(world.run("mask --root host").exit, Some(2));
    assert_eq!(world.run("unmask --root host").exit, Some(2));
    assert_eq!(world.run("mask --root host ../latency").exit, Some(2));
}

#[test]
fn a_mask_outlives_installs_rollbacks_and_an_uninstall() {
    let world = installed();
    world.bundle("newer.stapb", &fleet(2));
    assert_eq!(world.run("mask --root host latency").exit, Some(0));
    for line in [
        "install --root host newer.stapb",
        "rollback --root host",
        "uninstall --root host fleet",
        "install --root host newer.stapb",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{said}");
        let status = world.json("status --root host latency");
        assert_eq!(status["scripts"][0]["reason"]["id"], "masked", "{line}: {status}");
    }
    assert_eq!(start(&world), ["counter"]);
}

#[test]
fn a_damaged_file_of_masks_is_said_and_counts_as_unknown() {
    let world = installed();
    assert_eq!(world.run("mask --root host latency").exit, Some(0));
    let file = "host/var/lib/stap-bundle/state/masks.json";
    world.write(file, "{\"format\":1,\"masks\":{\"lat");
    assert!(start(&world).is_empty());
    let said = world.run("status --root host");
    assert!(
        said.stderr.contains("masks.json is damaged") && said.stderr.contains("nothing is started"),
        "{said}"
    );
    assert!(said.stdout.contains("counter, latency: it isn't known which scripts are masked"), "{said}");
    let said = world.run("status --root host --metrics");
    assert!(
        said.stdout.contains("\nstap_bundle_masks_known 0\n") && !said.stdout.contains("script_masked"),
        "{said}"
    );
    for line in ["mask --root host counter", "unmask --root host latency"] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(11), "{said}");
        assert!(said.stderr.contains("hint: stap-bundle unmask --all starts over without masks"), "{said}");
    }
    assert_eq!(world.run("unmask --root host --all").exit, Some(0));
    assert!(
        world
            .run("history --root host -n 1")
            .stdout
            .contains(" unmasked all, in the place of a damaged file of masks")
    );
    assert_eq!(start(&world), ["counter", "latency"]);

    world.write(file, "{\"format\":9,\"masks\":{}}");
    let said = world.run("unmask --root host --all");
    assert_eq!(said.exit, Some(30), "{said}");
    assert!(said.stderr.contains("its version is 9, this stap-bundle reads up to 1"), "{said}");
    assert!(fs::read_to_string(world.path(file)).unwrap().contains("\"format\":9"));
}
