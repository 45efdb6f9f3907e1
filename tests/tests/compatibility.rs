//! Every numbered fact about the original systems that this version deals with has a line in `docs/compatibility.md` that
//! says what we do; and where that line says "test", a test named after the fact is there.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;

/// The facts, by kind, with the first and the last number of each run of numbers.
const FACTS: [(&str, &[(u32, u32)]); 44] = [
    ("INIT-CFG", &[(1, 6)]),
    ("INIT-OPT", &[(1, 9)]),
    ("INIT-DEP", &[(1, 6)]),
    ("INIT-LIST", &[(1, 2)]),
    ("INIT-COMP", &[(1, 3)]),
    ("INIT-CACHE", &[(1, 9)]),
    ("INIT-START", &[(1, 6), (10, 19)]),
    ("INIT-STOP", &[(1, 7)]),
    ("INIT-STAT", &[(1, 4)]),
    ("INIT-RUN", &[(1, 1)]),
    ("INIT-CLEAN", &[(1, 3)]),
    ("INIT-RESTART", &[(1, 2)]),
    ("INIT-FILE", &[(1, 10)]),
    ("INIT-CLI", &[(1, 9)]),
    ("INIT-EXIT", &[(1, 2)]),
    ("INIT-PRE", &[(1, 2)]),
    ("INIT-LOG", &[(1, 3)]),
    ("INIT-LOCK", &[(1, 1)]),
    ("INIT-PERM", &[(1, 1)]),
    ("INIT-BOOT", &[(1, 2)]),
    ("INIT-ONBOOT", &[(1, 10)]),
    ("RUN", &[(1, 13)]),
    ("PRIV", &[(1, 3)]),
    ("SRV-CLI", &[(1, 7)]),
    ("SRV-SPEC", &[(1, 5)]),
    ("SRV-NICK", &[(1, 5)]),
    ("SRV-CFG", &[(1, 5)]),
    ("SRV-STAT", &[(1, 3)]),
    ("SRV-START", &[(1, 2)]),
    ("SRV-STOP", &[(1, 1)]),
    ("SRV-RESTART", &[(1, 1)]),
    ("SRV-STATUS", &[(1, 1)]),
    ("SRV-SD", &[(1, 1)]),
    ("SRVD-OPT", &[(1, 2)]),
    ("SRVD-SEC", &[(1, 2)]),
    ("SRVD-NET", &[(1, 2)]),
    ("SRVD-CERT", &[(1, 3)]),
    ("SRVD-AVAHI", &[(1, 1)]),
    ("SRVD-LOG", &[(1, 1)]),
    ("SRVD-LIMIT", &[(1, 1)]),
    ("CLIENT", &[(1, 9)]),
    ("TRUST", &[(1, 3)]),
    ("PROTO", &[(4, 4), (6, 6)]),
    ("SIGN", &[(1, 5)]),
];

/// Kinds of which each fact has a test, whatever the table says: what configuration and options mean.
const ALL_TESTED: [&str; 4] = ["INIT-CFG", "INIT-OPT", "INIT-DEP", "INIT-LIST"];

/// Where tests of these are.
const CRATES: [&str; 8] =
    ["script-config", "builder", "installer", "service", "compile-server", "cli", "child", "tests"];

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

/// The facts that names of tests begin with: `INIT-STOP-05` of `fn init_stop_05_a_dead_stapio()`, `RUN-06` of `fn run_06_…`.
fn tested(texts: &str) -> BTreeSet<String> {
    let functions = texts.split("#[test]").skip(1).filter_map(|text| text.split_once("fn "));
    // The function right behind the attribute, not one further down.
    let names = functions.filter(|(before, _)| !before.contains('{')).map(|(_, name)| name);
    let fact = |name: &str| {
        let words: Vec<&str> = name.split('_').collect();
        let len = if matches!(words.first(), Some(&("init" | "srv" | "srvd"))) { 3 } else { 2 };
        (words.len() > len).then(|| words[..len].join("-").to_uppercase())
    };
    names.filter_map(fact).collect()
}

#[test]
fn every_fact_has_a_line_in_the_table_and_the_tests_that_it_promises() {
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
    for (kind, runs) in FACTS {
        for number in runs.iter().flat_map(|(first, last)| *first..=*last) {
            let fact = format!("{kind}-{number:02}");
            let mut lines = table.lines().filter(|line| line.starts_with(&format!("| {fact} |"))).peekable();
            assert!(lines.peek().is_some(), "docs/compatibility.md says nothing of {fact}");
            let promised = lines.any(|line| line.trim_end().ends_with("| test |"));
            let promised = promised || ALL_TESTED.contains(&kind);
            assert!(
                !promised || tested.contains(&fact),
                "no test is named after {fact}, and the table promises one"
            );
        }
    }
}

#[test]
fn a_fact_counts_only_as_the_name_of_a_test() {
    let text = "TEST\nfn init_stop_05_a() {}\nfn init_stop_06_b() {}\n// run_01_\nTEST\n#[ignore]\nfn run_06_x() {}\nfn run_07_y() {}\nTEST\nfn other() {}"
        .replace("TEST", "#[test]");
    assert_eq!(tested(&text), BTreeSet::from(["INIT-STOP-05".to_owned(), "RUN-06".to_owned()]));
}
