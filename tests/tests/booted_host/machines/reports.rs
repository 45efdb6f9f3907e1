//! What hosts report of themselves, and what the farm makes of it: an older bundle, a masked script, and a kernel of which the farm has
//! another build each have a row of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::repository;
use end_to_end::machine::Machine;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::{Value, json};

use super::world::{running_machine, world};

/// A build of one script on a layer of the lab's root, where the kernel's headers are of another build.
const REBUILT: &str = r#"
header=$ROOT/usr/src/linux-headers-$RELEASE/include/generated/utsversion.h
grep -q 'Debian [^ ]*-1 ' "$header"
sed -i 's/\(Debian [^ ]*\)-1 /\1-2 /' "$header"
exec "$@"
"#;

/// `heartbeat` for a newer build of the older kernel.
fn build_for_another_build_of_the_kernel() {
    let world = world();
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = |name: &str| world.farm.path(name).display().to_string();
    let build = world
        .farm
        .build_arguments(
            &world.lab,
            &[&world.stable],
            &own("farm.key"),
            &own("rebuilt.stapb"),
            &["heartbeat"],
        )
        .unwrap();
    let finished = ChildCommand::new("bash")
        .arg(repository().join("tests/lab/on-layer.sh"))
        .arg(world.lab.root())
        .arg(directory.path())
        .args(["bash", "-euc", REBUILT, "rebuilt"])
        .arg(programs::farm().unwrap())
        .args(build.iter().map(|word| if word == "config" { own("config") } else { word.clone() }))
        .env("ROOT", world.lab.root())
        .env("RELEASE", &world.stable.release)
        .env("HOME", directory.path())
        .env_from_here("PATH")
        .combined_output()
        .run(&Limits::within(Duration::from_secs(600)), &Cancel::new())
        .unwrap();
    assert!(finished.status.success(), "{}", finished.stdout.text());
}

/// Writes what a host reports, under its name.
fn report(machine: &mut Machine, name: &str) {
    machine.ok(&format!("hostname {name}")).unwrap();
    let line = machine.ok("stap-bundle status --report").unwrap();
    fs::write(world().farm.path("reports").join(name), line).unwrap();
}

fn farm(words: &[&str], code: i32) -> Value {
    let words = [&["--json"], words].concat();
    let farm: &Farm = &world().farm;
    let finished =
        programs::run_expecting(&programs::farm().unwrap(), farm.directory(), &words, &[code]).unwrap();
    serde_json::from_slice(&finished.stdout.bytes()).unwrap()
}

/// The rows of `coverage`: kernel, grade and hosts.
fn rows(bundle: &str) -> Value {
    let shown = farm(&["coverage", "--fleet", "reports", "--key", "farm.pub", bundle], 1);
    let rows = shown["kernels"].as_array().unwrap().iter();
    rows.map(|row| json!([row["kernel"], row["grade"], row["names"]])).collect()
}

#[test]
fn each_odd_host_has_a_row_of_its_own() {
    let world = world();
    world.bundles();
    fs::create_dir_all(world.farm.path("reports")).unwrap();
    build_for_another_build_of_the_kernel();
    let mut machine = running_machine();
    report(&mut machine, "usual");
    machine.ok("stap-bundle mask tcp_states && stap-bundle stop tcp_states").unwrap();
    report(&mut machine, "masked");
    let mut machine = running_machine();
    machine.ok("stap-bundle install /media/newer.stapb && systemctl reload stap-bundle.service").unwrap();
    report(&mut machine, "newer");

    let collected = farm(&["collect", "reports"], 0);
    let hosts = collected["hosts"].as_array().unwrap();
    let shown = |host: &Value| json!([host["host"], host["generation"], host["masked"]]);
    let hosts: Vec<Value> = hosts.iter().map(shown).collect();
    assert_eq!(
        hosts,
        [json!(["masked", 1, ["tcp_states"]]), json!(["newer", 2, null]), json!(["usual", 1, null])]
    );
    assert_eq!(collected["refused"]["masked"], json!({ "tcp_states": ["masked"] }));
    let behind = collected["behind"].as_array().unwrap().iter();
    let behind: Vec<&Value> = behind.map(|behind| &behind["host"]).collect();
    assert_eq!(behind, ["masked", "usual"]);

    let row = |grade: &str| json!([[world.stable.release, grade, ["masked", "newer", "usual"]]]);
    // Some scripts of the fixtures compile for other kernels only.
    assert_eq!(rows("both.stapb"), row("some"));
    assert_eq!(rows("rebuilt.stapb"), row("another-build"));
}
