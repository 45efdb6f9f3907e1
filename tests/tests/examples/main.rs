//! The example scripts that systemtap publishes (Debian's `systemtap-doc`), each compiled for a kernel of the lab without
//! debugging data: those that were green once stay green, and each that is red is so for the cause in a table, which a look at the sysroot
//! shows too. Part of `make test-long`: it takes half an hour of a core.

#![cfg(feature = "lab-long")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

mod red;
mod with_debuginfo;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;
use red::{Cause, Sysroot};
use serde_json::Value;

/// One name a line, as the module is called.
const GREEN: &str = include_str!("../../examples-green.txt");

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
fn the_examples_are_green_or_red_for_the_known_cause() {
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
    // A reason in the cache is that of the program which found it.
    arguments.push("--retry-failed".to_owned());
    // A cache of their own: one build at a time uses a cache, and the other tests would wait for half an hour.
    let cache = Farm::cache(&lab).unwrap().with_file_name("examples");
    let place = arguments.iter().position(|argument| argument == "--cache").unwrap();
    arguments[place + 1] = cache.display().to_string();
    let program = programs::farm().unwrap();
    programs::run_expecting(&program, farm.directory(), &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let run = |arguments: &[String]| {
        let command = ChildCommand::new(&program)
            .args(arguments)
            .current_dir(farm.directory())
            .env("HOME", farm.directory())
            .env_from_here("PATH");
        let finished = command.run(&Limits::within(Duration::from_secs(4 * 3600)), &Cancel::new()).unwrap();
        assert_eq!(finished.status, child::Ended::Code(20), "{}", finished.stderr.text());
        finished
    };
    let finished = run(&arguments);
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
    red_for_the_known_cause(cells, &farm, &Sysroot::new(lab.root(), &release.release));
    // With all trace headers in sight, modules and reasons are the same.
    for argument in &mut arguments {
        *argument = argument.replace("examples.stapb", "full.stapb").replace("examples.html", "full.html");
    }
    arguments.push("--full-scan".to_owned());
    run(&arguments);
    let bundle = |name: &str| fs::read(farm.path(name)).unwrap();
    assert!(bundle("examples.stapb") == bundle("full.stapb"), "a full scan makes another bundle");
    assert!(green.len() >= LEAST, "{} examples are green, {LEAST} at least are wanted", green.len());
}

/// Each red cell has a row in the table and the reason of its class, and a look shows the cause.
fn red_for_the_known_cause(cells: &[Value], farm: &Farm, sysroot: &Sysroot) {
    let causes = Cause::all();
    let mut wrong = Vec::new();
    for cell in cells {
        let Some(reason) = cell["reason"].as_str() else { continue };
        let name = cell["script"].as_str().unwrap();
        let text = fs::read_to_string(farm.path("scripts").join(format!("{name}.stp"))).unwrap();
        match causes.iter().find(|cause| cause.script == name) {
            Some(cause) => wrong.extend(cause.differs(reason, &text, sysroot)),
            None => wrong.push(format!("{name} has no row in examples-red.txt: {reason}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
