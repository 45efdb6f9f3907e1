//! A build in parts, with real `stap` and two kernels: the same bundle as a build of one machine, and a part that is missing is named.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;

use child::{Cancel, ChildCommand, Finished, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;

#[test]
fn shards_and_a_merge_give_the_bundle_of_one_build() {
    let lab = Lab::open().unwrap();
    let base = Farm::cache(&lab).unwrap().parent().unwrap().join("shards");
    let farm = Farm::new(&base).unwrap();
    let program = programs::farm().unwrap();
    let directory = farm.directory();
    programs::run_expecting(&program, directory, &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let releases = [lab.bootable("stable").unwrap(), lab.bootable("testing").unwrap()];
    let scripts = ["heartbeat"];
    let mut whole = farm.build_arguments(&lab, &releases, "farm.key", "one.stapb", &scripts).unwrap();
    // A cache of its own: the one that the tests share may be locked for an hour by another one's cold kernels.
    let cache = whole.iter().position(|word| word == "--cache").unwrap();
    whole[cache + 1] = base.join("cache").display().to_string();
    let run = |words: &[String], allowed: &[i32]| -> Finished {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        programs::run_expecting(&program, directory, &words, allowed).unwrap()
    };
    // Without `build`, key and output, which come first in that order below.
    let output = whole.iter().position(|word| word == "-o").unwrap();
    let mut options: Vec<String> = whole[1..output].to_vec();
    options.extend(whole[output + 2..].iter().cloned());
    options.extend(["--artifacts".to_owned(), base.join("results").display().to_string()]);
    let shard = |number: u32| {
        let mut words = vec!["build".to_owned(), "--shard".to_owned(), format!("{number}/4")];
        words.extend(options.iter().cloned());
        words
    };
    let merge = |output: &str| {
        let mut words: Vec<String> = ["merge", "--shards", "4", "-o", output].map(str::to_owned).into();
        words.extend(options.iter().cloned());
        words
    };
    run(&whole, &[0]);
    let said = run(&shard(1), &[0]).stdout.text();
    assert!(said.contains("shard 1/4: 1 cell, 1 green, 0 red"), "{said}");
    let said = run(&shard(3), &[0]).stdout.text();
    assert!(said.contains("shard 3/4: no kernel belongs to it"), "{said}");

    // The second machine has died.
    let refused = run(&merge("early.stapb"), &[21]).stderr.text();
    assert!(refused.contains("1 cell without a result"), "{refused}");
    assert!(refused.contains("build --shard 2/4") && !refused.contains("--shard 1/4"), "{refused}");
    assert!(refused.contains(&releases[1].release) && !directory.join("early.stapb").exists(), "{refused}");

    run(&shard(2), &[0]);
    run(&merge("merged.stapb"), &[0]);
    let bytes = |name: &str| fs::read(directory.join(name)).unwrap();
    let (merged, one) = (bytes("merged.stapb"), bytes("one.stapb"));
    assert!(merged == one, "{} and {} bytes", merged.len(), one.len());

    // A result that is damaged doesn't count: its shard must be run again, and it alone.
    damage(&base.join("results"));
    let refused = run(&merge("late.stapb"), &[21]).stderr.text();
    assert!(refused.contains("1 cell without a result"), "{refused}");
    fs::remove_dir_all(&base).unwrap();
}

/// Cuts one module short.
fn damage(results: &Path) {
    let find = ChildCommand::new("find").arg(results).args(["-name", "module.ko"]).env_from_here("PATH");
    let finished = find.run(&Limits::default(), &Cancel::new()).unwrap();
    let text = finished.stdout.text();
    let module = text.lines().next().unwrap();
    let bytes = fs::read(module).unwrap();
    fs::write(module, &bytes[..bytes.len() / 2]).unwrap();
}
