//! Row G2: there is no `--force`. Each risk has a switch of its own, and what was done by it is written down.

use std::collections::BTreeSet;
use std::fs;

use crate::bundles::fleet;
use crate::world::TestWorld;

/// The help of a command and of all below it.
fn helps(world: &TestWorld, command: &str, found: &mut Vec<(String, String)>) {
    let said = world.run(&format!("{command} --help"));
    assert_eq!(said.exit, Some(0), "{said}");
    let mut below = Vec::new();
    let commands = said.stdout.split("\nCommands:\n").nth(1).unwrap_or_default();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            below.push(name.split_whitespace().next().unwrap().to_owned());
        }
    }
    found.push((command.to_owned(), said.stdout));
    for name in below.into_iter().filter(|name| name != "help") {
        helps(world, &format!("{command} {name}"), found);
    }
}

/// Each option of all commands, by its name.
fn options() -> BTreeSet<String> {
    let world = TestWorld::new();
    let mut found = Vec::new();
    // The list of all commands is in groups.
    found.push((String::new(), world.run("--help").stdout));
    for command in stap_bundle::command().get_subcommands() {
        helps(&world, command.get_name(), &mut found);
    }
    assert!(found.len() > 40, "{} commands", found.len());
    let words =
        found.iter().flat_map(|(_, text)| text.split(|c: char| c.is_whitespace() || ",=[]`.;".contains(c)));
    words.filter(|word| word.starts_with('-')).map(str::to_owned).collect()
}

#[test]
fn g2_no_command_has_a_force() {
    let options = options();
    for known in ["--allow-downgrade", "--allow-removal", "--move-foreign", "--partial", "--repair"] {
        assert!(options.contains(known), "the help is read: {options:?}");
    }
    for option in &options {
        let bad = ["force", "ignore", "no-verify", "insecure", "no-check", "skip-"];
        assert!(!bad.iter().any(|word| option.contains(word)), "{option}");
    }
    assert!(!options.contains("-f"));
}

/// Runs what must go well; returns what the history has on it, a line for each event.
fn history_after(world: &TestWorld, line: &str) -> Vec<String> {
    let events = |world: &TestWorld| -> Vec<String> {
        let document = world.json("--root host history");
        document["events"]
            .as_array()
            .unwrap_or_else(|| panic!("{document}"))
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let before = events(world);
    let said = world.run(line);
    assert_eq!(said.exit, Some(0), "{said}");
    events(world).into_iter().filter(|event| !before.contains(event)).collect()
}

#[test]
fn g2_each_risk_that_is_taken_on_a_host_is_in_its_history() {
    let world = TestWorld::new();
    for serial in [1, 2, 3, 5] {
        world.bundle(&format!("fleet-{serial}.stapb"), &fleet(serial));
    }
    world.bundle("stranger.stapb", &fleet(9));
    let said = history_after(&world, "--root host trust add farm.pub");
    assert!(said.iter().any(|event| event.contains("trust")), "{said:?}");
    assert_eq!(world.run("--root host install fleet-2.stapb").exit, Some(0));

    let said = history_after(&world, "--root host install --allow-downgrade fleet-1.stapb");
    assert!(said.iter().any(|event| event.contains("\"downgrade\":true")), "{said:?}");

    let cache = "host/var/cache/systemtap/6.12.1-test";
    fs::remove_file(world.path(&format!("{cache}/counter.ko"))).unwrap();
    world.write(&format!("{cache}/counter.ko"), "made by hand");
    let said = history_after(&world, "--root host install --move-foreign fleet-3.stapb");
    assert!(said.iter().any(|event| event.contains("counter.ko.before-stap-bundle")), "{said:?}");

    // A kernel that is damaged in the file, and left out.
    let mut bytes = fleet(4).signed(&world.farm);
    let frame = bytes.windows(4).rposition(|window| window == b"\x28\xb5\x2f\xfd").unwrap();
    bytes[frame + 40] ^= 1;
    world.write("damaged.stapb", bytes);
    assert_eq!(world.run("--root host install --all-kernels damaged.stapb").exit, Some(11));
    let said = history_after(&world, "--root host install --all-kernels --partial damaged.stapb");
    assert!(said.iter().any(|event| event.contains("\"left_out\":[\"6.13.0-test\"]")), "{said:?}");

    let said =
        history_after(&world, "--root host install --kernel 6.13.0-test --allow-removal fleet-5.stapb");
    assert!(said.iter().any(|event| event.contains("\"removed_kernels\":[\"6.12.1-test\"]")), "{said:?}");

    let key = world.farm.public().id();
    let said = history_after(&world, &format!("--root host trust remove {key} --yes"));
    assert!(said.iter().any(|event| event.contains("distrust")), "{said:?}");
}
