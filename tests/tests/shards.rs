//! A build in parts, with real `stap`, two kernels and a real Slurm: the same bundle as a build of one machine; a part that is missing
//! is named, and runs again alone.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::PublicKey;
use child::{Cancel, ChildCommand, Finished, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// What a user types on the cluster. The node of the second shard dies once: `$PROGRAM` kills itself there.
const ON_THE_CLUSTER: &str = r#"
"$RECIPE" 2>said
all_ended
test ! -e bundle.stapb
cp merge.log refused.log
# As the script has printed it, for the shard that the merge has named.
again=$(sed -n 's/^one shard again: //p' said)
eval "${again/--array=I/--array=2}" --output=again-%a.log
all_ended
"#;

/// The program, but for the job of the second shard at its first try.
const DIES_ONCE: &str = r#"#!/bin/bash
if [ "${SLURM_ARRAY_TASK_ID:-}" = 2 ] && mkdir died 2>/dev/null; then kill -9 $$; fi
exec "$REAL_PROGRAM" "$@"
"#;

#[test]
fn a_slurm_array_of_four_shards_and_a_merge_give_the_bundle_of_one_build() {
    let lab = Lab::open().unwrap();
    let base = Farm::cache(&lab).unwrap().parent().unwrap().join("shards");
    let farm = Farm::new(&base).unwrap();
    let program = programs::farm().unwrap();
    let directory = farm.directory();
    programs::run_expecting(&program, directory, &["key", "generate", "--out", "farm"], &[0]).unwrap();
    let releases = [lab.bootable("stable").unwrap(), lab.bootable("testing").unwrap()];
    let list: Vec<&str> = releases.iter().map(|release| release.release.as_str()).collect();
    fs::write(farm.path("fleet.txt"), list.join("\n")).unwrap();
    // A cache of its own: the one that the tests share may be locked for an hour by another one's cold kernels.
    let options_with = |cache: &str| {
        let cache = base.join(cache);
        format!("--sysroot {} -c config --cache {} heartbeat", lab.root().display(), cache.display())
    };
    let options = options_with("cache");
    let run = |words: &str, allowed: &[i32]| -> Finished {
        let words: Vec<&str> = words.split_whitespace().collect();
        programs::run_expecting(&program, directory, &words, allowed).unwrap()
    };
    let with_options = |words: &str| format!("{words} --kernels fleet.txt {options}");
    run(&with_options("build --key farm.key -o one.stapb"), &[0]);

    on_slurm(&base, &program, &options);
    let log = |name: &str| fs::read_to_string(farm.path(name)).unwrap();
    let said = log("shard-1.log");
    assert!(said.contains("shard 1/4: 1 cell, 1 green, 0 red"), "{said}");
    for idle in ["3", "4"] {
        let said = log(&format!("shard-{idle}.log"));
        assert!(said.contains(&format!("shard {idle}/4: no kernel belongs to it")), "{said}");
    }
    // The node of the second shard has died, and the merge that Slurm started behind the array says so.
    let refused = log("refused.log");
    assert!(refused.contains("1 cell without a result:"), "{refused}");
    assert!(refused.contains("build --shard 2/4") && !refused.contains("--shard 1/4"), "{refused}");
    assert!(refused.contains(&releases[1].release), "{refused}");
    let said = log("again-2.log");
    assert!(said.contains("shard 2/4: 1 cell, 1 green, 0 red"), "{said}");

    let merge_of = |output: &str, results: &Path| {
        let words = format!("merge --shards 4 --key farm.key -o {output} --artifacts {}", results.display());
        with_options(&words)
    };
    run(&merge_of("merged.stapb", &base.join("results")), &[0]);
    let bytes = |name: &str| fs::read(directory.join(name)).unwrap();
    let (merged, one) = (bytes("merged.stapb"), bytes("one.stapb"));
    assert!(merged == one, "{} and {} bytes", merged.len(), one.len());

    // By rsync to another machine's directory, and back to an empty one.
    let (results, there, back) = (base.join("results"), base.join("there"), base.join("back"));
    rsync(&results, &there);
    rsync(&there, &back);
    run(&merge_of("travelled.stapb", &back), &[0]);
    assert!(bytes("travelled.stapb") == one);

    // A machine that has another builder's key takes them if that builder is listed.
    let builder = fs::read_to_string(base.join("cache/build/builder.pub")).unwrap();
    let id = PublicKey::from_pem(&builder).unwrap().id().to_string();
    let elsewhere = |output: &str, words: &str| {
        let results = results.display();
        let options = options_with("elsewhere");
        format!(
            "merge --shards 4 --key farm.key -o {output} --artifacts {results} {words} --kernels fleet.txt {options}"
        )
    };
    let refused = run(&elsewhere("none.stapb", ""), &[21]).stderr.text();
    assert!(refused.contains(&format!("2 results are by builder {id}, which is not listed")), "{refused}");
    assert!(refused.contains("--builders DIR") && !refused.contains("build --shard"), "{refused}");
    assert!(!farm.path("none.stapb").exists());
    fs::create_dir(farm.path("builders")).unwrap();
    fs::write(farm.path("builders/node.pub"), &builder).unwrap();
    run(&elsewhere("listed.stapb", "--builders builders"), &[0]);
    assert!(bytes("listed.stapb") == one);
    run(&elsewhere("unsigned.stapb", "--accept-unsigned-results"), &[0]);
    run("extract unsigned.stapb unpacked --key farm.pub --extra provenance.intoto.json", &[0]);
    let provenance = fs::read_to_string(farm.path("unpacked/provenance.intoto.json")).unwrap();
    for release in &list {
        assert!(provenance.contains(&format!("\"{release}\":[\"heartbeat\"]")), "{provenance}");
    }
    // Nor does one count that was changed.
    let record = find(&back, "record.json");
    let signed = fs::read_to_string(&record).unwrap();
    fs::write(&record, signed.replacen("\"wall_ms\": ", "\"wall_ms\": 1", 1)).unwrap();
    let refused = run(&merge_of("late.stapb", &back), &[21]).stderr.text();
    assert!(refused.contains(&format!("1 result was changed after builder {id} signed it")), "{refused}");
    fs::write(&record, signed).unwrap();

    // A result that is damaged doesn't count: its shard must be run again, and it alone.
    damage(&back);
    let refused = run(&merge_of("late.stapb", &back), &[21]).stderr.text();
    assert!(refused.contains("1 cell without a result:"), "{refused}");
    // Or it is fetched again.
    rsync(&results, &back);
    run(&merge_of("mended.stapb", &back), &[0]);
    assert!(bytes("mended.stapb") == one);
    fs::remove_dir_all(&base).unwrap();
}

/// Runs [`ON_THE_CLUSTER`] in `base`, with the recipe's variables.
fn on_slurm(base: &Path, program: &Path, options: &str) {
    let wrapper = base.join("dies-once");
    fs::write(base.join("script"), ON_THE_CLUSTER).unwrap();
    fs::write(&wrapper, DIES_ONCE).unwrap();
    let command = |program: &str| ChildCommand::new(program).env_from_here("PATH");
    let made = command("chmod").arg("755").arg(&wrapper).run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(made.status.success());
    let cluster = command("bash")
        .arg(repository().join("tests/lab/slurm.sh"))
        .args(["slurm", "script"])
        .env("RECIPE", repository().join("docs/farm/slurm-shards.sh"))
        .env("KERNELS", base.join("fleet.txt"))
        .env("ARTIFACTS", base.join("results"))
        .env("OUTPUT", "bundle.stapb")
        .env("BUILD", options)
        .env("PROGRAM", &wrapper)
        .env("REAL_PROGRAM", program)
        .env("STAP_BUNDLE_KEY", base.join("farm.key"))
        .env("HOME", base)
        .current_dir(base)
        .combined_output();
    let finished = cluster.run(&Limits::within(Duration::from_secs(1500)), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stdout.text());
}

/// As `docs/farm/README.md` says.
fn rsync(from: &Path, to: &Path) {
    let command = ChildCommand::new("rsync").args(["-a", "--exclude=/tmp"]).arg(from.join("")).arg(to);
    let finished = command.env_from_here("PATH").run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
}

/// The first file of this name.
fn find(results: &Path, name: &str) -> PathBuf {
    let find = ChildCommand::new("find").arg(results).args(["-name", name]).env_from_here("PATH");
    let finished = find.run(&Limits::default(), &Cancel::new()).unwrap();
    PathBuf::from(finished.stdout.text().lines().next().unwrap())
}

/// Cuts one module short.
fn damage(results: &Path) {
    let module = find(results, "module.ko");
    let bytes = fs::read(&module).unwrap();
    fs::write(&module, &bytes[..bytes.len() / 2]).unwrap();
}
