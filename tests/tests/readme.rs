//! The commands of README.md run as they are printed there.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles};

/// The lines of the code block after the marker `<!-- NAME -->`.
fn block(name: &str) -> Vec<String> {
    let text = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, after) = text.split_once(&format!("<!-- {name} -->\n```")).unwrap();
    let (_, after) = after.split_once('\n').unwrap();
    let (commands, _) = after.split_once("\n```").unwrap();
    commands.lines().map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_the_tiers_of_make_test() {
    assert!(block("demo output").len() > 3, "the block `demo output` of README.md is empty");
    let tiers = fs::read_to_string(repository().join("tests/tiers.sh")).unwrap();
    let names: Vec<&str> = tiers
        .lines()
        .filter_map(|line| line.strip_prefix("tier '").or(line.strip_prefix("beside '"))?.split('\'').next())
        .collect();
    assert!(names.len() > 5);
    assert_eq!(block("tiers"), names, "README.md shows other tiers than tests/tiers.sh has");
}

#[test]
fn the_readme_runs_as_printed() {
    let lab = Lab::open().unwrap();
    let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme")).unwrap();
    let release = lab.bootable("testing").unwrap();
    let program = programs::farm().unwrap();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    // `build` keeps its results below the cache directory; the one that all tests share is already warm.
    let cache = Farm::cache(&lab).unwrap();
    let run = |command: &str, allowed: &[i32], alice: &str| {
        let finished = ChildCommand::new("sh")
            .args(["-c", command])
            .current_dir(farm.directory())
            .env("PATH", &path)
            .env("HOME", farm.directory())
            .env("XDG_CACHE_HOME", cache.parent().unwrap())
            .env("REL", &release.release)
            .env("LAB", lab.root())
            .env("ALICE", alice)
            .run(&Limits::within(Duration::from_secs(1500)), &Cancel::new())
            .unwrap();
        let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
        let ended = matches!(finished.status, child::Ended::Code(code) if allowed.contains(&code));
        assert!(ended, "{command}: {:?}\n{said}", finished.status);
        finished.stdout.text()
    };
    let allowed = |command: &str| if command.contains(" build ") { 20 } else { 0 };
    for command in block("farm") {
        run(&command, &[allowed(&command)], "");
    }
    for name in ["bob", "carol"] {
        run(&format!("stap-bundle key generate --out {name}"), &[0], "");
    }
    let alice = run("stap-bundle key generate --out alice --json", &[0], "");
    let alice: serde_json::Value = serde_json::from_str(&alice).unwrap();
    for command in block("roots") {
        run(&command, &[allowed(&command)], alice["key_id"].as_str().unwrap());
    }

    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["scripts.stapb", "farm.pub"] {
        files.copy(&farm.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let commands: Vec<String> =
        block("host").iter().map(|command| format!("cd /media && {command}")).collect();
    let scenario: Vec<&str> = commands.iter().map(String::as_str).collect();
    let transcript = vm::run(&lab, release, &files, &scenario, &mut |_| {}).unwrap();
    for step in &transcript.steps {
        assert_eq!(step.code, 0, "{}\n{}", step.command, step.output);
    }
    let status = &transcript.step("cd /media && stap-bundle status").unwrap().output;
    assert!(status.contains("running"), "{status}");
}
