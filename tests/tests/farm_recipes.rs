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
    let flow = |from: &str, to: &str| {
        // To YAML 1.1, `on` is true.
        let to = to.replace("on:\n  push", "\"on\":\n  push");
        misfit("github-actions.yml", "github-workflow.json", from, &to)
    };
    assert_eq!((ci("", ""), job("", "")), (String::new(), String::new()));
    assert_eq!(flow("on:\n  push", "on:\n  push"), "");
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

/// Runs a step's shell as the runner does, with a stand-in for the program that writes down how it was called and what it saw, and ends
/// with that code. What it wrote, and the shell's own exit code.
fn step(shell: &str, variables: &[(&str, &str)], code: i32) -> (String, child::Ended) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("stap-bundle");
    let stand_in = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" >>calls\nwhile [ $# -gt 0 ]; do [ \"$1\" != --key ] || {{ stat -c %a \"$2\"; cat \"$2\"; echo \"$2\" >key; }} >>calls; shift; \
         done\nexit {code}\n"
    );
    std::fs::write(&program, stand_in).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = ChildCommand::new("bash").args(["-e", "-o", "pipefail", "-c", shell]).env("PATH", path);
    for (name, value) in variables {
        command = command.env(name, value);
    }
    let finished = command.current_dir(folder.path()).run(&Limits::default(), &Cancel::new()).unwrap();
    if let Ok(key) = std::fs::read_to_string(folder.path().join("key")) {
        assert!(!std::path::Path::new(key.trim()).exists(), "the key is left");
    }
    (std::fs::read_to_string(folder.path().join("calls")).unwrap_or_default(), finished.status)
}

/// `base64 -w0` of a key.
const KEY: (&str, &str) = ("SIGNING_KEY", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg==");
const OPTIONS: [(&str, &str); 4] = [
    ("KERNELS", "fleet.txt"),
    ("SYSROOT", "/srv/farm/root"),
    ("ARTIFACTS", "/srv/results"),
    ("BEST_EFFORT", "*"),
];

fn shell_of(steps: &Value) -> String {
    let lines: Vec<&str> = steps.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

#[test]
fn the_shell_of_a_merge_hands_over_a_private_key_and_takes_it_away() {
    let gitlab = shell_of(&yaml("gitlab-ci.yml")["merge"]["script"]);
    let github = yaml("github-actions.yml")["jobs"]["merge"]["steps"][1]["run"].as_str().unwrap().to_owned();
    for (shell, wanted) in [(gitlab, 20), (github, 0)] {
        let variables: Vec<_> = OPTIONS.into_iter().chain([KEY]).collect();
        // Red cells that are allowed: GitLab allows the code, the step for GitHub makes it none.
        let (calls, ended) = step(&shell, &variables, 20);
        assert_eq!(ended, child::Ended::Code(wanted));
        let options = "--shards 4 --kernels fleet.txt --sysroot /srv/farm/root --artifacts /srv/results --best-effort * --key ";
        assert!(calls.starts_with(&format!("merge {options}")), "{calls}");
        assert!(calls.ends_with("\n600\n-----BEGIN PRIVATE KEY-----\n"), "{calls}");
        // No bundle.
        assert_eq!(step(&shell, &variables, 21).1, child::Ended::Code(if wanted == 20 { 21 } else { 1 }));
    }
}

#[test]
fn github_runs_as_many_shards_as_it_merges() {
    let flow = yaml("github-actions.yml");
    let job = &flow["jobs"]["shard"];
    let shards = job["strategy"]["matrix"]["shard"].as_array().unwrap();
    assert_eq!(job["env"]["SHARD"], "${{ matrix.shard }}");
    let run = job["steps"][1]["run"].as_str().unwrap();
    let variables: Vec<_> = OPTIONS.into_iter().chain([("SHARD", "2")]).collect();
    for (code, wanted) in [(0, 0), (20, 0), (1, 1)] {
        let (calls, ended) = step(run, &variables, code);
        let count = shards.len();
        let options = "--kernels fleet.txt --sysroot /srv/farm/root --artifacts /srv/results";
        assert_eq!(
            (calls, ended),
            (format!("build --shard 2/{count} {options}\n"), child::Ended::Code(wanted))
        );
    }
}

#[test]
fn gitlab_runs_as_many_shards_as_it_merges() {
    let ci = yaml("gitlab-ci.yml");
    let parallel = ci["shard"]["parallel"].as_u64().unwrap();
    let shard = ci["shard"]["script"][0].as_str().unwrap();
    let merge = shell_of(&ci["merge"]["script"]);
    assert!(shard.contains("build --shard \"$CI_NODE_INDEX/$CI_NODE_TOTAL\" "), "{shard}");
    assert!(merge.contains(&format!("merge --shards {parallel} ")), "{merge}");
    let stages = ci["stages"].as_array().unwrap();
    assert_eq!((&ci["shard"]["stage"], &ci["merge"]["stage"]), (&stages[0], &stages[1]));
    assert_eq!(ci["shard"]["allow_failure"]["exit_codes"], 20);
    // GitLab keeps what a failed job made only with `when: always`.
    assert_eq!(ci["merge"]["allow_failure"]["exit_codes"], 20);
    assert_eq!(ci["merge"]["artifacts"]["when"], "always");
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
    for name in ["gitlab-ci.yml", "github-actions.yml"] {
        let text = std::fs::read_to_string(recipe(name)).unwrap();
        let all: Vec<String> =
            commands(&text).into_iter().filter(|command| command.contains("--kernels")).collect();
        let options = |command: &str| -> Vec<String> {
            let behind = command.split_once("--kernels").unwrap().1;
            let behind = behind.split(" --best-effort ").next().unwrap().split(" || ").next().unwrap();
            behind.split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(options(&all[0]), options(&all[1]), "{name}");
    }
}
