//! Scripts that end themselves, by the real staprun and kernel: done, or failed with the script's own words; and a stapio that somebody
//! keeps in the foreground.

use std::fs;
use std::sync::OnceLock;

use end_to_end::machine::{KeptMachine, Machine};
use serde_json::Value;

use super::world::{build, configure, farm_beside, modules, world};

const ONCE: &str = "probe begin { printf(\"once\\n\") exit() }\nprobe end { printf(\"ended\\n\") }\n";

const BROKEN: &str = "global zero\nprobe begin { printf(\"%d\\n\", 1 / zero) }\n";

/// A name that this kernel's procfs doesn't take: the module's init fails.
const UNREGISTERED: &str = "probe procfs(\"sub/file\").read { $value = \"1\\n\" }\n";

const TICKS: &str =
    "global ticks\nprobe timer.ms(100) { ticks++ }\nprobe end { printf(\"%d ticks\\n\", ticks) }\n";

const SCRIPTS: [(&str, &str); 6] = [
    ("broken", BROKEN),
    ("broken_file", BROKEN),
    ("once", ONCE),
    ("once_file", ONCE),
    ("ticks", TICKS),
    ("unregistered", UNREGISTERED),
];

const OPTIONS: &str = "broken_file_OPT='-o /srv/broken.log'\nonce_file_OPT='-o /srv/once.log'\n";

/// A machine that has booted by the unit, with those scripts, to go on with.
fn booted() -> Machine {
    static KEPT: OnceLock<KeptMachine> = OnceLock::new();
    let kept = KEPT.get_or_init(|| boot().keep(&world().kernel(&world().stable)).unwrap());
    kept.resume().unwrap()
}

fn boot() -> Machine {
    let world = world();
    let farm = farm_beside(&world.farm, "booted-host-ending");
    fs::create_dir_all(farm.path("scripts")).unwrap();
    for (name, text) in SCRIPTS {
        fs::write(farm.path("scripts").join(format!("{name}.stp")), text).unwrap();
    }
    configure(&farm, OPTIONS);
    build(&world.lab, &farm, &[&world.stable], "ending.stapb", &[], 0);
    let tree = world.tree_with_unit("../booted-host-ending/ending.stapb");
    tree.write("etc/systemtap/config", b"PASSALL=no\nAUTOCOMPILE=no\n", 0o644).unwrap();
    world.boot(&tree, "ending", &world.stable)
}

/// State and reason of a script.
fn told(machine: &mut Machine, script: &str) -> (String, String) {
    let said = machine.run(&format!("stap-bundle --json status {script} 2>/dev/null")).unwrap().output;
    let report: Value = serde_json::from_str(&said).unwrap();
    let script = &report["scripts"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&script["state"]), text(&script["reason"]["text"]))
}

#[test]
fn a_real_script_that_ends_itself_is_done_and_one_with_an_error_has_its_words() {
    let mut machine = booted();
    for script in ["once", "once_file"] {
        assert_eq!(told(&mut machine, script), ("done".to_owned(), String::new()), "{script}");
    }
    assert_eq!(told(&mut machine, "ticks").0, "running");
    assert!(machine.ok("cat /srv/once.log").unwrap().contains("once"));
    assert!(modules(&mut machine).contains(&"once".to_owned()));
    let broken = told(&mut machine, "broken");
    assert!(broken.1.contains("it reported an error: division by 0"), "{broken:?}");
    let broken = told(&mut machine, "broken_file");
    assert!(broken.1.contains("ended at once: division by 0"), "{broken:?}");
    let unregistered = told(&mut machine, "unregistered");
    assert!(unregistered.1.contains("contains subdirectories"), "{unregistered:?}");
    for script in ["broken", "broken_file", "unregistered", "once_file"] {
        assert!(!modules(&mut machine).contains(&script.to_owned()), "{script}");
    }
    // What the script has printed waits for who asks.
    let read = machine.run("timeout 60 stap-bundle attach once </dev/null").unwrap();
    assert!(read.output.contains("once"), "{}", read.output);
}

#[test]
fn a_staprun_in_the_foreground_is_ended_by_stop_as_the_original_does() {
    let mut machine = booted();
    machine.ok("stap-bundle stop ticks && cp /var/lib/stap-bundle/current/kernels/*/ticks.ko /tmp").unwrap();
    for line in ["staprun /tmp/ticks.ko", "sh -c \"staprun -v /tmp/ticks.ko\""] {
        machine.ok(&format!("setsid {line} </dev/null >/tmp/ticks.out 2>&1 & sleep 1")).unwrap();
        machine
            .ok("for i in $(seq 60); do grep -q running /proc/systemtap/ticks/srvstat && exit 0; sleep 0.5; done; cat /tmp/ticks.out; exit 1")
            .unwrap();
        let pid = machine.ok("pgrep -x stapio").unwrap();
        let status = machine.ok("systemtap status ticks").unwrap();
        assert_eq!(status.trim(), format!("ticks({}) is running...", pid.trim()));
        let bytes = machine.ok("stap-bundle --json status ticks").unwrap();
        assert!(
            bytes.contains("\"loaded_bytes\":\"known\"") || bytes.contains("\"loaded_bytes\": \"known\""),
            "{bytes}"
        );
        machine.ok("timeout 60 stap-bundle stop ticks").unwrap();
        assert!(!modules(&mut machine).contains(&"ticks".to_owned()));
        assert_ne!(machine.run("pgrep -x stapio").unwrap().code, 0);
        // Its end probe has run, and its output was written.
        let written = machine.ok("cat /tmp/ticks.out").unwrap();
        assert!(written.contains(" ticks"), "{written}");
    }
}
