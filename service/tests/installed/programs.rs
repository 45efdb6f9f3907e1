//! Scripts that probe programs, on hosts with other builds of them.

use std::fs;

use bundle_format::{Digest, ProgramRecord};
use fixtures::program::program_with;
use service::StartOutcome;

use super::{World, bundle, reason_of_status};

const PROGRAM: &str = "/usr/bin/probed";

/// What the script `probing` probes.
pub(crate) fn probed() -> ProgramRecord {
    ProgramRecord {
        path: PROGRAM.to_owned(),
        build_id: "aabb".to_owned(),
        sha256: Digest::of(b"program"),
        kernels: Vec::new(),
    }
}

fn put(world: &World, build_id: &[u8]) {
    let place = world.dir.path().join("usr/bin");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("probed"), program_with(build_id)).unwrap();
}

fn allow(world: &World) {
    let place = world.dir.path().join("etc/stap-bundle");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("policy.toml"), "[programs]\nother-build = \"warn\"\n").unwrap();
}

#[test]
fn a_script_is_started_only_beside_the_program_for_which_its_module_is_made() {
    let world = World::new();
    world.install(&bundle(1, &["counter", "probing"]));
    for (build_id, here) in [(None, "which isn't on this host"), (Some([0xcc, 0xdd]), "this host's has ccdd")]
    {
        if let Some(build_id) = build_id {
            put(&world, &build_id);
        }
        let report = world.start();
        assert_eq!((report.exit_code(), world.loaded()), (0, vec!["counter".to_owned()]));
        let left_out = &report.left_out[0];
        assert_eq!((left_out.script.as_str(), left_out.reason.id.as_str()), ("probing", "another-program"));
        let text = format!("its module is made for {PROGRAM} with build id aabb, {here}");
        assert_eq!(left_out.reason.text, text);
        assert_eq!(reason_of_status(&world, "probing"), "another-program");
    }
    put(&world, &[0xaa, 0xbb]);
    assert!(world.start().all_run());
    assert_eq!(world.loaded(), ["counter", "probing"]);
    // An upgrade while it runs.
    put(&world, &[0xee]);
    let status = world.status();
    let warning = status.scripts[1].warning.clone().unwrap();
    assert!(
        warning.ends_with("this host's has ee: data of that program are missing or wrong, and it may crash"),
        "{warning}"
    );
    assert_eq!(status.scripts[0].warning, None);
    let report = world.start();
    let probing = report.scripts.iter().find(|entry| entry.script.as_str() == "probing").unwrap();
    assert!(matches!(probing.outcome, StartOutcome::AlreadyRunning), "{report:?}");
    assert!(report.left_out.is_empty());
}

#[test]
fn by_policy_it_is_started_with_a_warning() {
    let world = World::new();
    allow(&world);
    world.install(&bundle(1, &["probing"]));
    put(&world, &[0xcc, 0xdd]);
    let report = world.start();
    assert_eq!(world.loaded(), ["probing"]);
    let warning = "probing: its module is made for /usr/bin/probed with build id aabb, this host's has ccdd: data of that program are missing or wrong, and it may crash";
    assert_eq!(report.warnings, [warning]);
    // Half a policy is none.
    world.stop();
    let policy = world.dir.path().join("etc/stap-bundle/policy.toml");
    fs::write(&policy, "[programs]\nother-build = \"perhaps\"\n").unwrap();
    assert_eq!(world.start().left_out[0].reason.id, "another-program");
}
