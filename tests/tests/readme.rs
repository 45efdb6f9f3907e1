//! The commands of README.md run as they are printed there.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use child::{Cancel, ChildCommand, Limits};
use end_to_end::document;
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles};

fn block(name: &str) -> Vec<String> {
    document::block("README.md", name).unwrap().lines().map(str::to_owned).collect()
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

/// A reader who knows only README.md: how many commands, and how long, from nothing to a verified install, and to data of an own
/// script.
#[test]
fn data_of_an_own_script_come_after_eight_commands_of_the_readme() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("testing").unwrap();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-own");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let program = programs::farm().unwrap();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let begun = Instant::now();
    let farm = block("own script: farm");
    for command in &farm {
        // Nothing is there yet: no key, no cache, no store.
        let finished = ChildCommand::new("sh")
            .args(["-c", command])
            .current_dir(&directory)
            .env("PATH", &path)
            .env("HOME", directory.join("home"))
            .env("REL", &release.release)
            .env("LAB", lab.root())
            .combined_output()
            .run(&Limits::within(Duration::from_secs(1500)), &Cancel::new())
            .unwrap();
        assert_eq!(finished.status, child::Ended::Code(0), "{command}\n{}", finished.stdout.text());
    }
    let built = begun.elapsed();
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["mine.stapb", "mine.pub"] {
        files.copy(&directory.join(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let host = block("own script: host");
    let commands: Vec<String> = host
        .iter()
        .map(|command| match command.strip_prefix("timeout ") {
            // It ends `attach`, which waits for more, with a code of its own.
            Some(_) => format!("cd /media && {command}; true"),
            None => format!("cd /media && {command}"),
        })
        .collect();
    let scenario: Vec<&str> = commands.iter().map(String::as_str).collect();
    let mut installed = None;
    let transcript = vm::run(&lab, release, &files, &scenario, &mut |step| {
        if step.command.contains("install") {
            installed = Some(begun.elapsed());
        }
    })
    .unwrap();
    for step in &transcript.steps {
        assert_eq!(step.code, 0, "{}\n{}", step.command, step.output);
    }
    let data = &transcript.steps.last().unwrap().output;
    assert!(data.contains("processes were forked"), "{data}");
    let seconds = |time: Duration| format!("{:.1} min", time.as_secs_f64() / 60.0);
    println!("built: {} commands, {}", farm.len(), seconds(built));
    println!("a verified install: {} commands, {}", farm.len() + 2, seconds(installed.unwrap()));
    println!("data of an own script: {} commands, {}", farm.len() + host.len(), seconds(begun.elapsed()));
    assert_eq!(farm.len() + host.len(), 8);
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
