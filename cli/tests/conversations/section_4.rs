//! Section 4 of the initscript's README, parameter by parameter: `docs/compatibility.md` has its defaults in a table, and its
//! examples are read as they are printed.

use serde_json::json;

use crate::world::TestWorld;

const TABLE: &str = "### Section 4, parameter by parameter";

/// Parameter and default of each row.
fn rows() -> Vec<[String; 2]> {
    let (_, table) = include_str!("../../../docs/compatibility.md").split_once(TABLE).unwrap();
    let lines = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        [cells[2].to_owned(), cells[3].to_owned()]
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

#[test]
fn each_parameter_has_the_default_of_the_readme() {
    let world = TestWorld::new();
    world.write("empty", "");
    let checked = world.json("config check -c empty");
    let found = |name: &str| {
        let parameters = checked["parameters"].as_array().unwrap();
        parameters.iter().find(|parameter| parameter["name"] == name).map(|parameter| &parameter["value"])
    };
    let rows = rows();
    assert_eq!(rows.len(), 11);
    for [name, default] in rows {
        let default = if default == "\"\"" { "" } else { &default };
        assert_eq!(found(&name), Some(&json!(default)), "{name}");
    }
}

#[test]
fn both_examples_of_the_readme_are_read_as_printed() {
    let world = TestWorld::new();
    for script in ["script1", "script2"] {
        world.write(&format!("scripts/{script}.stp"), "probe begin { exit() }\n");
    }
    let conf_d = world.work().join("conf.d");
    world.write(
        "config",
        format!(
            "SCRIPT_PATH={}/\nPASSALL=yes\nRECURSIVE=no\nCONFIG_PATH={}\n",
            world.work().join("scripts").display(),
            conf_d.display()
        ),
    );
    world.write(
        "conf.d/group1.conf",
        "script1_OPT=\"-o /var/log/script1.out -DRELAYHOST=group1\"\nscript2_OPT=\"-DRELAYGUEST=group1\"\nscript2_REQ=script1\n",
    );
    let said = world.run("config check -c config");
    assert_eq!(said.exit, Some(0), "{said}");
    let checked = world.json("config check -c config");
    assert_eq!(checked["order"], json!(["script1", "script2"]));
    let script = |name: &str| {
        checked["scripts"].as_array().unwrap().iter().find(|script| script["script"] == name).unwrap().clone()
    };
    // 4.2.1: -D counts when compiling, -o when starting, and staprun's -D is what -F means.
    assert_eq!(script("script1")["compile"], json!(["-D", "RELAYHOST=group1"]));
    assert_eq!(script("script1")["run"], json!(["-D", "-o", "/var/log/script1.out"]));
    assert_eq!(script("script2")["requires"], json!(["script1"]));
}
