//! The recipes of `docs/farm` are well-formed, and say what the schedulers need to be told.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::path::PathBuf;

use child::{Cancel, ChildCommand, Limits};
use serde_json::Value;

/// That of the system: the packages of `tests/packages.sh` are for this one.
const PYTHON: &str = "/usr/bin/python3";

fn recipe(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/farm").join(name)
}

/// A YAML file, read by a YAML parser of its own.
fn yaml(name: &str) -> Value {
    let text = std::fs::read(recipe(name)).unwrap();
    let program = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let command = ChildCommand::new(PYTHON).args(["-c", program]).input(text).env_from_here("PATH");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{name}: {}", finished.stderr.text());
    serde_json::from_str(&finished.stdout.text()).unwrap()
}

/// What a validator of schemas finds wrong with a recipe whose text is changed first; nothing if it fits.
fn misfit(name: &str, schema: &str, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(recipe(name)).unwrap();
    assert!(text.contains(from), "{name}: {from}");
    let schema = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas").join(schema);
    let program = "import json, sys, yaml, jsonschema\n\
                   schema = json.load(open(sys.argv[1]))\n\
                   jsonschema.Draft7Validator.check_schema(schema)\n\
                   found = jsonschema.Draft7Validator(schema).iter_errors(yaml.safe_load(sys.stdin))\n\
                   print('\\n'.join(error.message for error in found), end='')";
    let command = ChildCommand::new(PYTHON).args(["-c", program]).arg(&schema);
    let command = command.input(text.replacen(from, to, 1)).env_from_here("PATH");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{name}: {}", finished.stderr.text());
    finished.stdout.text()
}

#[test]
fn the_recipes_fit_the_schemas_of_their_schedulers() {
    let ci = |from: &str, to: &str| misfit("gitlab-ci.yml", "gitlab-ci.json", from, to);
    let job = |from: &str, to: &str| misfit("kubernetes-job.yaml", "kubernetes-job.json", from, to);
    assert_eq!((ci("", ""), job("", "")), (String::new(), String::new()));
    // And the schemas see mistakes.
    assert!(ci("parallel: 4", "parallel: four").contains("is not of type 'integer'"));
    assert!(ci("exit_codes", "exit_code").contains("'exit_code' was unexpected"));
    assert!(job("completions: 4", "completion: 4").contains("'completion' was unexpected"));
    assert!(job("  backoffLimitPerIndex: 2\n", "").contains("is a dependency of"));
    assert!(job("mountPath: /farm", "mountPath: farm").contains("does not match"));
}

/// The commands of this program in a text, each from its name to the end of the line.
fn commands(text: &str) -> Vec<String> {
    let of_line = |line: &str| line.find("stap-bundle ").map(|at| line[at..].to_owned());
    text.lines().filter_map(of_line).collect()
}

#[test]
fn gitlab_runs_as_many_shards_as_it_merges() {
    let ci = yaml("gitlab-ci.yml");
    let parallel = ci["shard"]["parallel"].as_u64().unwrap();
    let shard = ci["shard"]["script"][0].as_str().unwrap();
    let merge = ci["merge"]["script"][0].as_str().unwrap();
    assert!(shard.contains("build --shard \"$CI_NODE_INDEX/$CI_NODE_TOTAL\" "), "{shard}");
    assert!(merge.contains(&format!("merge --shards {parallel} ")), "{merge}");
    let stages = ci["stages"].as_array().unwrap();
    assert_eq!((&ci["shard"]["stage"], &ci["merge"]["stage"]), (&stages[0], &stages[1]));
    assert_eq!(ci["shard"]["allow_failure"]["exit_codes"], 20);
    for variable in ["KERNELS", "ARTIFACTS", "SYSROOT"] {
        assert!(ci["variables"][variable].is_string(), "{variable}");
        assert!(shard.contains(&format!("\"${variable}\"")) && merge.contains(&format!("\"${variable}\"")));
    }
}

#[test]
fn kubernetes_runs_an_indexed_job() {
    let job = yaml("kubernetes-job.yaml");
    assert_eq!((job["apiVersion"].as_str(), job["kind"].as_str()), (Some("batch/v1"), Some("Job")));
    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    let completions = spec["completions"].as_u64().unwrap();
    assert!(spec["parallelism"].as_u64().unwrap() <= completions);
    let pod = &spec["template"]["spec"];
    // What a Job demands.
    assert!(["Never", "OnFailure"].contains(&pod["restartPolicy"].as_str().unwrap()));
    let container = &pod["containers"][0];
    let command = container["command"][2].as_str().unwrap();
    assert!(
        command.contains(&format!("--shard \"$((JOB_COMPLETION_INDEX + 1))/{completions}\" ")),
        "{command}"
    );
    assert_eq!(container["volumeMounts"][0]["name"], pod["volumes"][0]["name"]);
}

#[test]
fn the_slurm_script_hands_out_every_shard_and_then_merges() {
    let folder = tempfile::tempdir().unwrap();
    // Stands in for Slurm's own: writes down what it is given, and answers with a job's number.
    let sbatch = folder.path().join("sbatch");
    std::fs::write(
        &sbatch,
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >>calls\nprintf -- '--\\n' >>calls\necho 4711\n",
    )
    .unwrap();
    let made = ChildCommand::new("chmod").arg("755").arg(&sbatch).env_from_here("PATH");
    assert!(made.run(&Limits::default(), &Cancel::new()).unwrap().status.success());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let script = ChildCommand::new("bash").arg(recipe("slurm-shards.sh").canonicalize().unwrap());
    let script = script.env("PATH", &path).current_dir(folder.path());
    let without = script.clone().run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(!without.status.success() && without.stderr.text().contains("KERNELS"));
    let script = script.env("KERNELS", "fleet.txt").env("ARTIFACTS", "/srv/results").env("SHARDS", "3");
    let finished = script.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
    let (array, merge) = calls.split_once("--\n").unwrap();
    assert!(array.contains("--array=1-3\n"), "{array}");
    assert!(
        array.contains("build --shard $SLURM_ARRAY_TASK_ID/3 --kernels fleet.txt --artifacts /srv/results")
    );
    assert!(merge.contains("--dependency=afterany:4711\n"), "{merge}");
    assert!(merge.contains("merge --shards 3 --kernels fleet.txt --artifacts /srv/results"), "{merge}");
}

#[test]
fn every_recipe_gives_shards_and_merge_the_same_options() {
    let text = std::fs::read_to_string(recipe("gitlab-ci.yml")).unwrap();
    let all = commands(&text);
    let options = |command: &str| -> Vec<String> {
        let behind = command.split_once("--kernels").unwrap().1;
        behind.split(" -o ").next().unwrap().split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(options(&all[0]), options(&all[1]));
}
