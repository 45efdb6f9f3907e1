//! `--root`: nothing outside of it is touched, whatever links it has; and nothing that a host's files say acts on the terminal.

use std::fs;
use std::os::unix::fs::symlink;

use fixtures::fake_host::FakeHost;

use crate::world::TestWorld;

#[test]
fn cleanup_and_boot_guard_reset_follow_no_link_out_of_the_root() {
    for relative in [false, true] {
        let world = TestWorld::new();
        for file in ["6.12.1-test/a.ko", "6.12.1-test/a.opts", "boot-guard.json"] {
            world.write(&format!("victim/{file}"), file);
        }
        for (place, up) in
            [("var/cache/systemtap", "../../../"), ("var/lib/stap-bundle/state", "../../../../")]
        {
            let place = world.path("host").join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            // Absolute links mean "from the root", and `..` ends there: both lead to the victim for who goes by paths.
            let absolute = world.path("victim").display().to_string();
            symlink(if relative { format!("{up}victim") } else { absolute }, &place).unwrap();
            assert!(place.join("boot-guard.json").exists());
        }
        for line in ["cleanup --root host -y -r 6.12.1-test", "boot-guard --root host reset"] {
            let said = world.run(line);
            assert!(said.exit.is_some_and(|exit| exit != 2), "{line}: {said}");
        }
        for file in ["6.12.1-test/a.ko", "6.12.1-test/a.opts", "boot-guard.json"] {
            assert_eq!(fs::read_to_string(world.path("victim").join(file)).unwrap(), file, "{relative}");
        }
    }
}

#[test]
fn the_text_of_a_record_does_not_act_on_the_terminal() {
    let world = TestWorld::new();
    let fake = FakeHost::create(&world.path("host")).unwrap();
    fake.insert_module("counter", true).unwrap();
    fake.set_state("counter", "running\n").unwrap();
    let boot_id = fs::read_to_string(world.path("host/proc/sys/kernel/random/boot_id")).unwrap();
    let hostile = "\\u001b[2J\\u009b31m\\u202e\\n";
    let good = format!(
        r#"{{"schema":1,"script":"counter","bundle":"B","version":"V","bundle_id":"{0}","generation":1,"kernel":"K",
        "sha256":"{0}","requires":[],"boot_id":"{1}","started":1,"recorder":{{"mode":"file","output":"/o{hostile}"}},
        "phase":"running"}}"#,
        "0".repeat(64),
        boot_id.trim()
    );
    // The second one isn't believed, and the reason is shown.
    let bad = ["B", "V", "K"].iter().fold(good.clone(), |text, field| {
        text.replace(&format!("\"{field}\""), &format!("\"{field}{hostile}\""))
    });
    for (record, exit) in [(good, 0), (bad, 11)] {
        world.write("host/run/stap-bundle/run/counter.json", record);
        for line in [
            "status --root host",
            "status --root host --json",
            "status --root host --metrics",
            "--color always status --root host",
        ] {
            let said = world.run(line);
            assert_eq!(said.exit, Some(exit), "{said}");
            let text = format!("{}{}", said.stdout, said.stderr)
                .replace("\u{1b}[1m\u{1b}[31m", "")
                .replace("\u{1b}[32m", "")
                .replace("\u{1b}[33m", "")
                .replace("\u{1b}[0m", "");
            assert!(!text.contains(|c: char| c != '\n' && script_config::acts(c)), "{line}: {text:?}");
            assert!(text.contains("counter"), "{text}");
        }
    }
}
