//! Every command of `docs/farm/fleet.md`, in its order: a farm with a stand-in for `stap`, and three hosts.

use std::fs;
use std::path::Path;

use crate::stand_in_farm;
use crate::world::TestWorld;

/// What the farm needs beside what the page shows.
const SURROUNDINGS: &str = "--sysroot root -c config --cache c --key farm.key --name fleet counter latency";

fn commands() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/farm/fleet.md");
    let text = fs::read_to_string(page).unwrap();
    let is_command =
        |line: &&str| line.split_once(' ').is_some_and(|(who, _)| who.ends_with(['$', '#']) && who.len() > 1);
    let commands = text.split("```\n").skip(1).step_by(2).flat_map(str::lines).filter(is_command);
    commands.map(str::to_owned).collect()
}

fn host(world: &TestWorld, name: &str, kernel: &str) {
    fs::create_dir_all(world.path(name).join("lib/modules").join(kernel).join("kernel")).unwrap();
    world.chmod(name, 0o755);
    world.write(&format!("{name}/etc/hostname"), format!("{name}\n"));
    let said = world.run(&format!("trust add --root {name} farm.pub"));
    assert_eq!(said.exit, Some(0), "{said}");
}

#[test]
fn the_round_of_the_page_ends_with_a_fleet_that_is_covered() {
    let world = stand_in_farm::world();
    fs::rename(world.path("farm2.key"), world.path("farm.key")).unwrap();
    fs::rename(world.path("farm2.pub"), world.path("farm.pub")).unwrap();
    world.write("fleet.txt", "web1 6.12.1-test\nweb2 6.12.1-test\ndb 6.12.2-test\n");
    world.write("web.txt", "web1 6.12.1-test\nweb2 6.12.1-test\n");
    fs::create_dir(world.path("reports")).unwrap();
    let today = world.run(&format!("build -r 6.12.1-test -o today.stapb {SURROUNDINGS}"));
    assert_eq!(today.exit, Some(0), "{today}");
    for (name, kernel) in [("web1", "6.12.1-test"), ("web2", "6.12.1-test"), ("db", "6.12.2-test")] {
        host(&world, name, kernel);
    }
    let commands = commands();
    assert_eq!(commands.len(), 12, "{commands:#?}");
    for line in commands {
        step(&world, &line);
    }
}

fn step(world: &TestWorld, line: &str) {
    let (line, shown) = line.split_once(" # shows ").unwrap_or((line, ""));
    let (line, code) = match line.split_once(" # ends with ") {
        Some((line, code)) => (line, code.parse().unwrap()),
        None => (line, 0),
    };
    let (line, output) = match line.split_once(" >") {
        Some((line, output)) => (line, Some(output)),
        None => (line, None),
    };
    let (who, words) = line.split_once(" stap-bundle ").unwrap();
    let who = who.trim_end_matches(['$', '#']);
    let said = match who {
        "farm" if words.starts_with("build ") => world.run(&format!("{words} {SURROUNDINGS}")),
        "farm" => world.run(words),
        host => world.run(&format!("--root {host} {words}")),
    };
    assert_eq!(said.exit, Some(code), "{said}");
    assert!(said.stdout.contains(shown), "{shown}: {said}");
    if let Some(output) = output {
        world.write(output, &said.stdout);
    }
}
