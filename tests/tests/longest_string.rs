//! What a red cell says of `-DMAXSTRINGLEN` is true: the length that it calls the most that works compiles with the real stap, and one more
//! doesn't.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;

use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// Of what is on the stack there is one string in the first script, and several in the second.
const SCRIPTS: [(&str, &str); 2] = [
    ("one", "probe timer.s(1) { println(execname()) }\n"),
    (
        "several",
        "global seen\nfunction both(a, b) { return a . \"-\" . b . sprintf(\"%s%s\", a, b) }\n\
         probe timer.s(1) { seen[execname(), both(pexecname(), execname())] <<< 1 }\n\
         probe end { foreach ([a, b] in seen) println(both(a, b)) }\n",
    ),
];

/// Builds all scripts of the directory; what became of each.
fn cells(lab: &Lab, farm: &Farm) -> Vec<Value> {
    let stable = lab.bootable("stable").unwrap();
    let mut words = farm.build_arguments(lab, &[stable], "farm.key", "out.stapb", &[]).unwrap();
    words.extend(["--report", "report.json", "--replace"].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    programs::run_expecting(&programs::farm().unwrap(), farm.directory(), &words, &[20]).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(farm.path("report.json")).unwrap()).unwrap();
    report["cells"].as_array().unwrap().clone()
}

#[test]
fn the_longest_string_that_a_reason_names_compiles_and_a_longer_one_does_not() {
    let lab = Lab::open().unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("longest-string")).unwrap();
    let key = ["key", "generate", "--out", "farm"];
    programs::run_expecting(&programs::farm().unwrap(), farm.directory(), &key, &[0]).unwrap();
    for directory in ["scripts", "conf.d"] {
        fs::create_dir(farm.path(directory)).unwrap();
    }
    let at = |name: &str| farm.path(name).display().to_string();
    let log = at("systemtap.log");
    let config = format!("SCRIPT_PATH={}\nCONFIG_PATH={}\nLOG_FILE={log}\n", at("scripts"), at("conf.d"));
    fs::write(farm.path("config"), config).unwrap();
    let script = |name: &str, text: &str, length: u64| {
        fs::write(farm.path("scripts").join(format!("{name}.stp")), text).unwrap();
        let options = format!("{name}_OPT=\"-DMAXSTRINGLEN={length}\"\n");
        fs::write(farm.path("conf.d").join(format!("{name}.conf")), options).unwrap();
    };
    for (name, text) in SCRIPTS {
        script(name, text, 4096);
    }
    let mut expected = Vec::new();
    for cell in cells(&lab, &farm) {
        let name = cell["script"].as_str().unwrap();
        let reason = cell["reason"].as_str().unwrap();
        let (before, _) = reason.split_once(" is the most that works").unwrap_or_else(|| panic!("{reason}"));
        let most: u64 = before.rsplit_once("-DMAXSTRINGLEN=").unwrap().1.parse().unwrap();
        let text = SCRIPTS.iter().find(|(known, _)| *known == name).unwrap().1;
        for (suffix, length, is_green) in [("most", most, true), ("above", most + 1, false)] {
            script(&format!("{name}_{suffix}"), text, length);
            expected.push((format!("{name}_{suffix}"), is_green, length));
        }
    }
    let cells = cells(&lab, &farm);
    for (name, is_green, length) in expected {
        let cell = cells.iter().find(|cell| cell["script"] == *name).unwrap();
        assert_eq!(cell["bytes"].is_u64(), is_green, "{name}, {length}: {cell}");
    }
}
