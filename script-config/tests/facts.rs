//! Every numbered fact about the original's configuration, options, dependencies and lists of scripts has a test named
//! after it, and a line in `docs/compatibility.md` that says what we do.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

/// The facts, by kind and highest number.
const FACTS: [(&str, u32); 4] = [("CFG", 6), ("OPT", 9), ("DEP", 6), ("LIST", 2)];

/// Where tests of the configuration are: this crate, and what carries its values out.
const CRATES: [&str; 4] = ["script-config", "builder", "service", "cli"];

fn texts(folder: &Path, of_tests: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, of_tests);
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            of_tests.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The facts that names of tests begin with, such as `CFG-01` of `fn init_cfg_01_later_files_override()`.
fn tested(texts: &str) -> BTreeSet<String> {
    let names = texts.split("#[test]").skip(1).filter_map(|text| text.split_once("fn init_"));
    // The function right behind the attribute, not one further down.
    let names = names.filter(|(before, _)| !before.contains('{')).map(|(_, name)| name);
    names
        .filter_map(|name| {
            let mut words = name.split('_');
            Some(format!("{}-{}", words.next()?.to_uppercase(), words.next()?))
        })
        .collect()
}

#[test]
fn every_fact_has_a_test_and_a_line_in_the_table() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    for name in CRATES {
        for folder in ["src", "tests"] {
            let folder = workspace.join(name).join(folder);
            if folder.is_dir() {
                texts(&folder, &mut sources);
            }
        }
    }
    let tested = tested(&sources);
    let table = std::fs::read_to_string(workspace.join("docs/compatibility.md")).unwrap();
    for (kind, highest) in FACTS {
        for number in 1..=highest {
            let fact = format!("{kind}-{number:02}");
            let in_table = table.lines().any(|line| line.starts_with(&format!("| INIT-{fact} |")));
            assert!(tested.contains(&fact), "no test is named after INIT-{fact}");
            assert!(in_table, "docs/compatibility.md says nothing of INIT-{fact}");
        }
    }
}

#[test]
fn a_fact_counts_only_as_the_name_of_a_test() {
    let text = "TEST\nfn init_cfg_01_a() {}\nfn init_cfg_02_b() {}\n// init_cfg_03\nTEST\n#[ignore]\nfn other() {}\nfn init_cfg_04() {}"
        .replace("TEST", "#[test]");
    assert_eq!(tested(&text), BTreeSet::from(["CFG-01".to_owned()]));
}
