//! `import`: what `export` wrote comes back, and nothing that a package doesn't prove is claimed.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use fixtures::fake_host::FakeHost;

use crate::bundles::{Bundle, fleet};
use crate::world::{Said, TestWorld};

#[test]
fn what_was_exported_is_imported_signed_and_verified() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    assert_eq!(world.run("export fleet.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    let packages = "packages/stap-scripts-6.12.1-test.tar.gz packages/stap-scripts-6.13.0-test.tar.gz";
    let said = world.run(&format!("import {packages} -o old.payload"));
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(said.stdout.contains("2 scripts, 3 modules for 2 kernels"), "{said}");
    assert!(said.stdout.contains("not signed: no host takes it"), "{said}");
    assert!(said.stderr.contains("the source is not known of: counter latency"), "{said}");
    assert_eq!(world.run("verify old.payload --key farm.pub").exit, Some(10));
    assert_eq!(world.run("sign old.payload --key farm.key -o old.stapb").exit, Some(0));
    assert_eq!(world.run("verify old.stapb --key farm.pub --deep").exit, Some(0));
    // The same modules under the same kernels; the sources are what an import can't know.
    let difference = world.json("diff fleet.stapb old.stapb --key farm.pub");
    assert_eq!(difference["kernels"].as_array().unwrap().len(), 0, "{difference}");
    for script in difference["scripts"].as_array().unwrap() {
        let fields: Vec<&str> =
            script["what"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["source"], "{difference}");
    }
    let inspected = world.run("inspect old.stapb --key farm.pub");
    assert!(inspected.stdout.contains("unknown, imported"), "{inspected}");
}

#[test]
fn what_is_no_package_is_refused_and_leaves_nothing() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("notes.tar.gz", "not a package");
    let before = world.tree();
    for (line, exit, words) in [
        ("import notes.tar.gz -o out.payload", 11, "notes.tar.gz"),
        ("import fleet.stapb -o out.payload", 11, "tar.gz"),
        ("import gone.tar.gz -o out.payload", 14, "gone.tar.gz"),
        ("import", 2, "<FILE>..."),
    ] {
        let said = world.run(line);
        assert!(said.exit == Some(exit) && said.stderr.contains(words), "{said}");
    }
    assert!(world.tree() == before);
    assert!(fs::read_dir(world.work()).unwrap().all(|entry| entry.unwrap().file_name() != "out.payload"));
}

/// The golden bundle's last line of options is none that the initscript could have written.
#[test]
fn a_refusal_said_error_twice_and_a_missing_package_was_called_damaged() {
    let world = TestWorld::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/golden");
    let exported = world.run(&format!(
        "export --tar-gz {golden}/format-1.stapb --key {golden}/format-1.pub --kernel 6.12.9-test -o ."
    ));
    assert_eq!(exported.exit, Some(0), "{exported}");
    let said = world.run("import stap-scripts-6.12.9-test.tar.gz -o x.payload");
    assert!(said.exit == Some(11) && said.stderr.matches("error:").count() == 1, "{said}");
    let said = world.run("import gone.tar.gz -o x.payload");
    assert!(
        said.exit == Some(14) && said.stderr.contains("gone.tar.gz: No such file or directory"),
        "{said}"
    );
    assert!(!world.path("x.payload").exists());
}

/// A payload of one kernel's package, made with these options.
fn imported(world: &TestWorld, options: &str) -> Said {
    world.run(&format!(
        "import packages/stap-scripts-6.12.1-test.tar.gz --serial 8 --replace -o dated.payload {options}"
    ))
}

/// A world with packages of a bundle, and a host that trusts the farm. What is imported was created on 2025-01-01.
fn with_packages() -> TestWorld {
    let mut world = TestWorld::new();
    world.set("SOURCE_DATE_EPOCH", "1735689600");
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(7));
    world.write("farm.key", world.farm.to_pem().unwrap().as_bytes());
    world.chmod("farm.key", 0o600);
    assert_eq!(world.run("export fleet.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    world
}

#[test]
fn a_best_before_is_signed_shown_and_kept_to() {
    let world = with_packages();
    let said = imported(&world, "--best-before 180");
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(said.stdout.contains("  best before 2025-06-30 00:00:00 UTC\n"), "{said}");
    assert!(
        said.stderr.contains("hosts refuse this bundle: it expired on 2025-06-30 00:00:00 UTC"),
        "{said}"
    );
    let again = imported(&world, "--best-before 2025-06-30");
    assert!(again.stdout.contains("best before 2025-06-30 00:00:00 UTC"), "{again}");
    assert_eq!(world.run("sign dated.payload --key farm.key -o dated.stapb").exit, Some(0));
    let seen = world.json("verify dated.stapb --key farm.pub");
    assert_eq!((&seen["best_before"], &seen["expired"]), (&1_751_241_600.into(), &true.into()), "{seen}");

    // Below --root no clock is asked, and nothing newer is known: it is taken, and the install says so.
    let said = world.run("install --root host dated.stapb");
    assert_eq!(said.exit, Some(0), "{said}");
    let words = "best-before, 2025-06-30 00:00:00 UTC, was not checked: under --root no clock is asked\n";
    assert!(said.stderr.contains(words), "{said}");
    let status = world.json("status --root host");
    assert_eq!(status["bundles"][0]["best_before"], 1_751_241_600);
    assert_eq!(status["bundles"][0]["expired"], true);
    let said = world.run("status --root host");
    assert!(said.stdout.contains("  expired: best before 2025-06-30 00:00:00 UTC\n"), "{said}");
    let said = world.run("status --root host --metrics");
    let gauge = "stap_bundle_bundle_best_before_timestamp_seconds{bundle=\"stap-scripts\",domain=\"default\"} 1751241600\n";
    assert!(said.stdout.contains(gauge), "{said}");
    // By the clock of whoever runs this test.
    let left =
        said.stdout.lines().find_map(|line| line.strip_prefix("stap_bundle_bundle_best_before_seconds{"));
    let left: i64 = left.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    assert!((1_751_241_600 - now - left).abs() < 600, "{left}");

    // Something newer that is installed says what time it is at least.
    world.write("host/etc/stap-bundle/policy.toml", "[time]\ngrace-days = 4000\n");
    world.bundle("fleet.stapb", &Bundle { scripts: vec!["ticker"], red: Vec::new(), ..fleet(60_000_000) });
    assert_eq!(world.run("uninstall --root host stap-scripts").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    let said = world.run("install --root host dated.stapb");
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(said.stderr.contains("the bundle expired on 2025-06-30 00:00:00 UTC; it is now 20"), "{said}");
    world.write("host/etc/stap-bundle/policy.toml", "");
    assert_eq!(world.run("uninstall --root host stap-scripts").exit, Some(0));
    let said = world.run("install --root host dated.stapb");
    assert_eq!(said.exit, Some(13), "{said}");
    assert!(said.stderr.contains("expired on 2025-06-30 00:00:00 UTC; it is now 20"), "{said}");
}

#[test]
fn a_best_before_that_is_not_after_the_creation_is_refused_and_leaves_nothing() {
    let world = with_packages();
    let before = world.tree();
    for date in ["2024-12-31", "2025-01-01", "2025-01-01T00:00:00Z"] {
        let said = imported(&world, &format!("--best-before {date}"));
        assert_eq!(said.exit, Some(2), "{said}");
        assert!(
            said.stderr.contains("is not after the bundle's creation, 2025-01-01 00:00:00 UTC"),
            "{said}"
        );
    }
    for bad in ["0", "20270630", "2027-06-30T12:00:00+02:00", "30.06.2027"] {
        let said = imported(&world, &format!("--best-before {bad}"));
        assert_eq!(said.exit, Some(2), "{said}");
        assert!(said.stderr.contains("such as 2027-06-30"), "{said}");
    }
    let said = world.run("build -r 6.1 --shard 1/2 --best-before 180");
    assert_eq!(said.exit, Some(2), "{said}");
    assert!(said.stderr.contains("'--best-before <DATE|DAYS>'"), "{said}");
    assert!(world.tree() == before);
}
