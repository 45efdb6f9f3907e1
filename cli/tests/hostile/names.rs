//! Row A1 by system calls: a hostile name in a signed manifest is refused before anything of that name is opened, made or
//! looked at.

use std::fs;
use std::process::{Command, Stdio};

use fixtures::forge::Forge;

use crate::world::{PROGRAM, World};

/// Which text of the good manifest a name takes the place of.
#[derive(Debug, Clone, Copy)]
enum Place {
    Release,
    Script,
    Requirement,
    Bundle,
    Version,
    Group,
    Machine,
    Extra,
}
use Place::{Bundle, Extra, Group, Machine, Release, Requirement, Script, Version};

/// 30 names, as JSON has them. `VICTIM` is a directory that is there, so that what climbs would get somewhere.
const NAMES: [(Place, &str); 30] = [
    (Release, "../VICTIM"),
    (Release, "../../../../../../VICTIM"),
    (Release, "6.1/../../VICTIM"),
    (Release, "/VICTIM"),
    (Release, "VICTIM/x"),
    (Release, ".VICTIM"),
    (Release, "-VICTIM"),
    (Release, "VICTIM\\\\x"),
    (Release, "VICTIM x"),
    (Release, "VICTIM\\u0000"),
    (Release, ".."),
    (Release, "."),
    (Release, ""),
    (Script, "../VICTIM"),
    (Script, "/VICTIM"),
    (Script, "VICTIM.ko"),
    (Script, "VICTIM/x"),
    (Script, ".."),
    (Script, ""),
    (Requirement, "../VICTIM"),
    (Bundle, "../VICTIM"),
    (Bundle, "/VICTIM"),
    (Bundle, ".VICTIM"),
    (Version, "../VICTIM"),
    (Group, "../VICTIM"),
    (Machine, "../VICTIM"),
    (Extra, "../VICTIM"),
    (Extra, "/VICTIM"),
    (Extra, ".VICTIM"),
    (Extra, "kernels/VICTIM"),
];

const VICTIM: &str = "victim_of_a01";

fn bundle(place: Place, name: &str) -> Vec<u8> {
    let mut forge = Forge::good();
    let replace = |field: &str, good: &str| {
        forge.with_text(&format!("\"{field}\":\"{good}\""), &format!("\"{field}\":\"{name}\"")).bytes()
    };
    match place {
        Release => replace("release", "6.12.1-test"),
        Script => replace("name", "counter"),
        Bundle => replace("name", "fleet"),
        Version => replace("version", "1.7"),
        Machine => replace("machine", std::env::consts::ARCH),
        Requirement => {
            forge.with_text("\"requires\":[\"counter\"]", &format!("\"requires\":[\"{name}\"]")).bytes()
        }
        Group => forge.with_text("\"users\":[]", &format!("\"users\":[\"{name}\"]")).bytes(),
        Extra => {
            forge.add_extra(name, b"content");
            forge.sealed().bytes()
        }
    }
}

/// Each call that has a path, as strace shows it.
fn calls(world: &World, line: &str, exit: i32) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-s", "4096", "-e", "trace=%file", "-o"])
        .arg(log.path())
        .arg(PROGRAM)
        .args(line.split_whitespace())
        .env_clear()
        .env("HOME", world.path("."))
        .env("PATH", "/usr/bin:/bin")
        .current_dir(world.path("."))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("strace, which tests/packages.sh installs: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{line}: {said}");
    let calls: Vec<String> = fs::read_to_string(log.path()).unwrap().lines().map(str::to_owned).collect();
    assert!(calls.iter().any(|call| call.contains("bad.stapb")), "{calls:?}");
    calls
}

/// Whether a call makes or changes something.
fn writes(call: &str) -> bool {
    const CHANGING: [&str; 8] = ["mkdir", "rename", "link", "mknod", "chmod", "chown", "truncate", "utime"];
    const WRITING: [&str; 3] = ["O_WRONLY", "O_RDWR", "O_CREAT"];
    let name = call.split('(').next().unwrap_or_default();
    let changes = CHANGING.iter().any(|word| name.contains(word)) && !name.contains("readlink");
    !call.contains(" = -1 ") && (changes || WRITING.iter().any(|flag| call.contains(flag)))
}

#[test]
fn a01_of_30_hostile_names_none_is_opened() {
    let world = World::new();
    fs::create_dir(world.path(VICTIM)).unwrap();
    world.write("bad.stapb", &Forge::good().sealed().bytes());
    let good = calls(&world, "extract bad.stapb out --key farm.pub", 0);
    assert!(good.iter().any(|call| call.contains("6.12.1-test") && writes(call)), "strace sees what is made");
    fs::remove_dir_all(world.path("out")).unwrap();
    for (place, name) in NAMES {
        let name = name.replace("VICTIM", VICTIM);
        world.write("bad.stapb", &bundle(place, &name));
        for line in [
            "verify bad.stapb --deep --key farm.pub",
            "extract bad.stapb out --key farm.pub",
            "--root host install bad.stapb --all-kernels",
        ] {
            for call in calls(&world, line, 11) {
                assert!(!call.contains(VICTIM), "{place:?} {name:?}: {line}: {call}");
                // Nothing is made either; whose name is too short to be looked for would be there.
                let harmless = !writes(&call) || call.contains("/dev/null") || call.contains("lock");
                assert!(harmless, "{place:?} {name:?}: {line}: {call}");
            }
        }
        assert_eq!(fs::read_dir(world.path(VICTIM)).unwrap().count(), 0);
    }
}
