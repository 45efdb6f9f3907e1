//! A bare machine where everything comes by its package manager: the program, then a bundle; a newer program, an older one, and none.

use std::fs;
use std::path::{Path, PathBuf};

use child::{Cancel, ChildCommand, Limits};
use end_to_end::hosts::{HostTree, Init};
use end_to_end::lab::repository;
use end_to_end::machine::Machine;
use end_to_end::programs;

use super::world::{assert_came_up, assert_running, build, configure, farm_beside, modules, world};

const SCRIPTS: [(&str, &str); 3] = [
    ("in_file", "probe timer.s(1) { printf(\"to a file\\n\") }\n"),
    ("in_memory", "probe timer.s(1) { printf(\"to memory\\n\") }\n"),
    (
        "on_demand",
        "global n\nprobe timer.s(1) { n++ }\nprobe procfs(\"seen\").read { $value = sprintf(\"seen %d\\n\", n) }\n",
    ),
];
const OPTIONS: &str = "in_file_OPT='-o /var/log/in_file.log'\nin_memory_REQ='in_file'\n";
/// Reads something of each.
const DATA: &str = "for i in $(seq 120); do grep -q 'to a file' /var/log/in_file.log && break; sleep 1; done; tail -n 1 /var/log/in_file.log; \
    for i in $(seq 120); do cat /proc/systemtap/in_memory/trace0 2>/dev/null | grep -a -m 1 -o 'to memory' && break; sleep 1; done; \
    cat /proc/systemtap/on_demand/seen";

/// Packages of the host program of that version, made of what `make deb` has staged.
fn packages(version: &str, out: &Path) {
    let staged = programs::host().unwrap().parent().unwrap().to_owned();
    let command = ChildCommand::new(repository().join("packaging/deb/build.sh").canonicalize().unwrap())
        .args(["stap-bundle", "amd64"])
        .arg(staged.join("stage"))
        .arg(staged.join("notices"))
        .arg(out)
        .env("VERSION", version)
        .env("PACKAGER", "A test <test@localhost>")
        .env("SOURCE_DATE_EPOCH", "1795331695")
        .env_from_here("PATH");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
}

/// A bare tree with the packages, those of the bundle too, and nothing of the product.
fn bare() -> HostTree {
    let world = world();
    let farm = farm_beside(&world.farm, "booted-host-packages");
    fs::create_dir_all(farm.path("scripts")).unwrap();
    for (name, text) in SCRIPTS {
        fs::write(farm.path(&format!("scripts/{name}.stp")), text).unwrap();
    }
    configure(&farm, OPTIONS);
    build(&world.lab, &farm, &[&world.stable], "three.stapb", &["--name", "three", "--serial", "1"], 0);
    let export = ["export", "--deb", "three.stapb", "--key", "farm.pub", "-o", "packages"];
    programs::run_expecting(&programs::farm().unwrap(), farm.directory(), &export, &[0]).unwrap();
    let tree = HostTree::copy_of(&world.hosts.tree(Init::Systemd)).unwrap();
    tree.add_kernel(&world.stable).unwrap();
    let out: PathBuf = farm.path("packages");
    packages("1.0", &out);
    packages("1.1", &out);
    for entry in fs::read_dir(&out).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        tree.write(&format!("media/{name}"), &fs::read(entry.path()).unwrap(), 0o644).unwrap();
    }
    tree.write("media/farm.pub", &fs::read(world.farm.path("farm.pub")).unwrap(), 0o644).unwrap();
    tree
}

fn apt(machine: &mut Machine, words: &str) -> String {
    machine.ok(&format!("DEBIAN_FRONTEND=noninteractive apt-get --yes {words} 2>&1")).unwrap()
}

/// Every path of the file system, but what runs and logs.
const FILES: &str = "find / -xdev -path /var/log -prune -o -path /var/lib/dpkg -prune -o -path /var/cache -prune -o -path /var/lib/apt -prune -o \
    -path /tmp -prune -o -path /var/lib/systemd -prune -o -path /root -prune -o -path /etc -name '*-' -prune -o -print | LC_ALL=C sort";

#[test]
fn a_bare_machine_gets_all_by_packages_and_gives_all_back() {
    let world = world();
    let scripts = SCRIPTS.map(|(name, _)| name.to_owned());
    let mut machine = world.boot(&bare(), "packages", &world.stable);
    let before = machine.ok(FILES).unwrap();
    apt(
        &mut machine,
        "install /media/stap-bundle_1.0-1_amd64.deb /media/stap-bundle-initscript_1.0-1_all.deb",
    );
    for unit in ["stap-bundle.service", "stap-bundle-inbox.path"] {
        assert_eq!(
            machine.run(&format!("systemctl is-enabled {unit}")).unwrap().output.trim(),
            "disabled",
            "{unit}"
        );
    }
    machine.ok("stap-bundle trust add /media/farm.pub").unwrap();
    machine
        .ok("systemctl enable stap-bundle.service && systemctl enable --now stap-bundle-inbox.path")
        .unwrap();
    apt(&mut machine, "install /media/stap-scripts-three_1+*_all.deb");
    machine.ok("for i in $(seq 300); do [ -z \"$(ls /var/lib/stap-bundle/inbox/*.stapb 2>/dev/null)\" ] && exit 0; sleep 1; done; exit 1").unwrap();
    let inbox = machine.ok("journalctl --no-pager -b -u stap-bundle-inbox.service").unwrap();
    assert!(machine.ok("stap-bundle list").unwrap().contains("three"), "{inbox}");

    machine.reboot("systemctl reboot").unwrap();
    assert_came_up(&mut machine);
    assert_running(&mut machine, &scripts);
    let data = machine.ok(DATA).unwrap();
    let lines: Vec<&str> = data.lines().collect();
    assert!(
        lines.len() == 3 && lines[..2] == ["to a file", "to memory"] && lines[2].starts_with("seen "),
        "{data}"
    );
    assert!(machine.ok("systemtap status").unwrap().contains("in_memory"));

    // A newer program, with all running: it stops nothing.
    let loaded = modules(&mut machine);
    let since = machine.ok("stat -c %y /var/log/in_file.log; pgrep -x stapio").unwrap();
    apt(&mut machine, "install /media/stap-bundle_1.1-1_amd64.deb");
    assert_eq!(modules(&mut machine), loaded);
    assert_eq!(machine.ok("pgrep -x stapio").unwrap().lines().next(), since.lines().nth(1));
    assert_running(&mut machine, &scripts);

    // Back to an older program, after a newer one has written state.
    machine
        .ok("sed -i 's/\"format\": 1/\"format\": 2/' /var/lib/stap-bundle/generations/*/generation.json")
        .unwrap();
    apt(&mut machine, "install --allow-downgrades /media/stap-bundle_1.0-1_amd64.deb");
    let refused = machine.run("stap-bundle status").unwrap();
    assert!(refused.output.contains("install the newer stap-bundle again"), "{}", refused.output);
    machine
        .ok("sed -i 's/\"format\": 2/\"format\": 1/' /var/lib/stap-bundle/generations/*/generation.json")
        .unwrap();
    assert_running(&mut machine, &scripts);

    // The bundle's package goes, and nothing else.
    apt(&mut machine, "remove stap-scripts-three");
    assert_running(&mut machine, &scripts);
    apt(&mut machine, "remove stap-bundle-initscript stap-bundle");
    let left = modules(&mut machine);
    assert!(!scripts.iter().any(|script| left.contains(script)), "{left:?}");
    machine.ok("test -e /var/lib/stap-bundle/current && test -e /etc/logrotate.d/stap-bundle").unwrap();
    apt(&mut machine, "purge stap-bundle stap-bundle-initscript");
    let after = machine.ok(FILES).unwrap();
    let left: Vec<&str> = after.lines().filter(|path| !before.lines().any(|there| there == *path)).collect();
    assert!(left.is_empty() && after.len() == before.len(), "left: {left:?}");
    assert_eq!(machine.ok("ls -A /var/cache/systemtap 2>/dev/null; true").unwrap(), "");
    let state = status_of_units(&mut machine);
    assert!(!state.contains("stap-bundle"), "{state}");
}

fn status_of_units(machine: &mut Machine) -> String {
    machine.ok("systemctl --no-pager --all list-units 'stap-bundle*' --no-legend; true").unwrap()
}
