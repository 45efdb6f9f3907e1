//! The example scripts that systemtap publishes (Debian's `systemtap-doc`), each compiled for a kernel of the lab without
//! debugging data: those that were green once stay green. Part of `make test-long`: it takes half an hour of a core.

#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// One name a line, as the module is called.
const GREEN: &str = include_str!("../examples-green.txt");

/// What must compile at least, whatever the list says.
const LEAST: usize = 30;

/// Downloads and unpacks the examples; their scripts get names that a module can have. Where two have one name, the first
/// directory's is taken.
const FETCH: &str = r#"
rm -rf package scripts && mkdir package scripts && cd package
apt-get download -q systemtap-doc || { apt-get update -q && apt-get download -q systemtap-doc; }
dpkg-deb -x systemtap-doc_*.deb .
find usr/share -path '*examples*' -name '*.stp' | sort | while read -r file; do
    name=$(basename "$file" .stp | tr -c 'A-Za-z0-9_\n' _ | sed 's/^[0-9]/_&/' | cut -c1-55)
    [ -e "../scripts/$name.stp" ] || cp "$file" "../scripts/$name.stp"
done
"#;

fn shell(directory: &Path, text: &str) {
    let command =
        ChildCommand::new("sh").args(["-eu", "-c", text]).current_dir(directory).env_from_here("PATH");
    let finished = command.run(&Limits::within(Duration::from_secs(600)), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
}

#[test]
fn the_examples_that_were_green_are_green() {
    let lab = Lab::open().unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples")).unwrap();
    shell(farm.directory(), FETCH);
    fs::create_dir(farm.path("conf.d")).unwrap();
    let config = format!(
        "SCRIPT_PATH={}\nCONFIG_PATH={}\n",
        farm.path("scripts").display(),
        farm.path("conf.d").display()
    );
    fs::write(farm.path("config"), config).unwrap();
    let release = lab.bootable("testing").unwrap();
    let mut arguments = farm.build_arguments(&lab, &[release], "farm.key", "examples.stapb", &[]).unwrap();
    arguments.extend(["--json".to_owned(), "--report".to_owned(), "examples.html".to_owned()]);
    // A cache of their own: one build at a time uses a cache, and the other tests would wait for half an hour.
    let cache = Farm::cache(&lab).unwrap().with_file_name("examples");
    let place = arguments.iter().position(|argument| argument == "--cache").unwrap();
    arguments[place + 1] = cache.display().to_string();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let command = ChildCommand::new(&program)
        .args(arguments)
        .current_dir(farm.directory())
        .env("HOME", farm.directory())
        .env_from_here("PATH");
    let finished = command.run(&Limits::within(Duration::from_secs(4 * 3600)), &Cancel::new()).unwrap();
    assert_eq!(finished.status, child::Ended::Code(20), "{}", finished.stderr.text());
    let report: Value = serde_json::from_slice(&finished.stdout.bytes()).unwrap();
    let cells = report["cells"].as_array().unwrap();
    let name = |cell: &Value| cell["script"].as_str().unwrap().to_owned();
    let green: BTreeSet<String> = cells.iter().filter(|cell| cell["bytes"].is_u64()).map(name).collect();
    println!("{} of {} examples are green:", green.len(), cells.len());
    for name in &green {
        println!("{name}");
    }
    let reason = |script: &str| {
        let cell = cells.iter().find(|cell| cell["script"] == script);
        cell.map_or("it isn't published any more".to_owned(), |cell| cell["reason"].to_string())
    };
    let listed = GREEN.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lost: Vec<String> = listed
        .filter(|name| !green.contains(*name))
        .map(|name| format!("{name}: {}", reason(name)))
        .collect();
    assert!(lost.is_empty(), "these were green: {lost:#?}");
    assert!(green.len() >= LEAST, "{} examples are green, {LEAST} at least are wanted", green.len());
}
