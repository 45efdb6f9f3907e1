//! Programs of our own: which cells compile when one of them changes, and what a host with another build says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles, Transcript};
use serde_json::Value;

/// What the farm has made.
struct Farmed {
    directory: tempfile::TempDir,
}

impl Farmed {
    fn new(lab: &Lab, release: &Release) -> Self {
        // The user of jobs must reach it.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let command = ChildCommand::new("bash")
            .arg(repository().join("tests/lab/on-layer.sh"))
            .arg(lab.root())
            .arg(directory.path())
            .args(["bash", "-eu"])
            .arg(repository().join("tests/tests/user_space_probes/build.sh").canonicalize().unwrap())
            .env("ROOT", lab.root())
            .env("WORK", directory.path())
            .env("RELEASE", &release.release)
            .env("PROGRAM", programs::farm().unwrap())
            .env("CACHE", Farm::cache(lab).unwrap())
            .env_from_here("PATH")
            .combined_output();
        let finished = command.run(&Limits::within(Duration::from_secs(1200)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stdout.text());
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn json(&self, words: &[&str], code: i32) -> Value {
        let words = [&["--json"], words].concat();
        let finished =
            programs::run_expecting(&programs::farm().unwrap(), self.directory.path(), &words, &[code])
                .unwrap();
        serde_json::from_str(&finished.stdout.text()).unwrap()
    }

    /// The scripts whose cells a build has compiled.
    fn compiled(&self, build: &str) -> BTreeSet<String> {
        let report = fs::read(self.path("reports").join(format!("{build}.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        let cells = report["cells"].as_array().unwrap();
        let compiled = cells.iter().filter(|cell| cell["outcome"] == "compiled");
        compiled.map(|cell| cell["script"].as_str().unwrap().to_owned()).collect()
    }

    /// The programs of a script in a bundle, with their build ids.
    fn programs(&self, bundle: &str, script: &str) -> Vec<(String, String)> {
        let inspected = self.json(&["inspect", &format!("{bundle}.stapb"), "--key", "farm.pub"], 0);
        let scripts = inspected["manifest"]["scripts"].as_array().unwrap();
        let script = scripts.iter().find(|found| found["name"] == script).unwrap();
        let programs = script["programs"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        programs.map(|program| (text(&program["path"]), text(&program["build_id"]))).collect()
    }
}

/// What a replaced program, a replaced library and a new program have compiled, and nothing else; what was there before isn't compiled again.
fn exactly_the_cells_of_what_has_changed_compile(farmed: &Farmed) {
    let compiled = |build: &str| farmed.compiled(build).into_iter().collect::<Vec<_>>().join(" ");
    // The timer's may be of an earlier run.
    let first = compiled("first").replace("plain ", "");
    assert_eq!(first, "by_library by_path by_pattern with_libraries");
    assert_eq!(compiled("again"), "");
    assert_eq!(compiled("library"), "by_library with_libraries");
    assert_eq!(compiled("program"), "by_path by_pattern with_libraries");
    assert_eq!(compiled("came"), "by_absent by_pattern");
    assert_eq!(compiled("back"), "with_libraries");
}

fn bundle_names_each_program_with_its_build_id(farmed: &Farmed) {
    let ids = fs::read_to_string(farmed.path("ids")).unwrap();
    let [app, library] = ids.lines().collect::<Vec<_>>()[..] else { panic!("{ids}") };
    let of = |path: &str, id: &str| (path.to_owned(), id.to_owned());
    let app = of("/opt/probed/app", app);
    for script in ["by_path", "by_pattern"] {
        assert_eq!(farmed.programs("first", script), std::slice::from_ref(&app));
    }
    let with_libraries = farmed.programs("first", "with_libraries");
    assert!(with_libraries.contains(&app), "{with_libraries:?}");
    assert!(with_libraries.contains(&of("/opt/probed/libanswer.so", library)), "{with_libraries:?}");
    assert_eq!(farmed.programs("came", "by_pattern").len(), 2);
}

const INSTALL: &str = "stap-bundle install /media/first.stapb";
const DRY_RUN: &str = "stap-bundle start --dry-run";
const START: &str = "stap-bundle start";
const STATUS: &str = "stap-bundle --json status by_path";
const RUN: &str = "/opt/probed/app & sleep 3";
const REPORT: &str = "stap-bundle status --report";
const LIBRARY_COUNT: &str = "cat /proc/systemtap/by_library/count";

/// What the farm makes of that host's report: its row says which scripts are made for another program.
fn report_has_a_row_of_its_own(farmed: &Farmed, line: &str) {
    fs::write(farmed.path("reported"), line).unwrap();
    let shown = farmed.json(&["coverage", "--fleet", "reported", "--key", "farm.pub", "first.stapb"], 1);
    let [row] = &shown["kernels"].as_array().unwrap()[..] else { panic!("{shown:#}") };
    assert_eq!(row["programs"].as_object().unwrap().keys().collect::<Vec<_>>(), ["/opt/probed/app"]);
    assert_eq!(row["grade"], "some", "{shown:#}");
    let lacking = row["lacking"].as_object().unwrap();
    for script in ["by_path", "by_pattern", "with_libraries"] {
        assert_eq!(lacking[script], "it is made for another build of /opt/probed/app");
    }
    assert_eq!(lacking.keys().collect::<Vec<_>>(), ["by_absent", "by_path", "by_pattern", "with_libraries"]);
}

/// A host whose program is the other build, and the library the farm's.
fn hosted(lab: &Lab, release: &Release, farmed: &Farmed) -> Transcript {
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["first.stapb", "farm.pub"] {
        files.copy(&farmed.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    files.copy(&farmed.path("new/app"), "opt/probed/app", 0o755).unwrap();
    files.copy(&farmed.path("old/app"), "media/app", 0o755).unwrap();
    files.copy(&farmed.path("old/libanswer.so"), "opt/probed/libanswer.so", 0o644).unwrap();
    let scenario = [
        "stap-bundle trust add /media/farm.pub",
        INSTALL,
        DRY_RUN,
        START,
        RUN,
        LIBRARY_COUNT,
        STATUS,
        REPORT,
        "stap-bundle stop",
        "mkdir -p /etc/stap-bundle && echo '[programs]' >/etc/stap-bundle/policy.toml && echo 'other-build = \"warn\"' >>/etc/stap-bundle/policy.toml",
        "stap-bundle start by_path",
        "stap-bundle stop by_path; rm /etc/stap-bundle/policy.toml",
        "cp /media/app /opt/probed/next && mv /opt/probed/next /opt/probed/app",
        "stap-bundle start by_path; /opt/probed/app & sleep 3; cat /proc/systemtap/by_path/count",
        "stap-bundle stop",
    ];
    vm::run(lab, release, &files, &scenario, &mut |_| {}).unwrap()
}

#[test]
fn a_program_is_an_input_of_its_cells_and_a_host_with_another_build_says_so() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("testing").unwrap();
    let farmed = Farmed::new(&lab, release);
    exactly_the_cells_of_what_has_changed_compile(&farmed);
    bundle_names_each_program_with_its_build_id(&farmed);

    let ids = fs::read_to_string(farmed.path("ids")).unwrap();
    let id = ids.lines().next().unwrap();
    let transcript = hosted(&lab, release, &farmed);
    let step = |command: &str| transcript.step(command).unwrap();
    let differs = format!("its module is made for /opt/probed/app with build id {id}, this host's has ");
    for command in [INSTALL, DRY_RUN, START, STATUS] {
        let step = step(command);
        assert!(step.output.contains(&differs), "{command} ended with {}:\n{}", step.code, step.output);
    }
    assert_eq!((step(INSTALL).code, step(START).code), (0, 0), "{}", transcript.console);
    assert!(step(STATUS).output.contains("another-program"), "{}", step(STATUS).output);
    report_has_a_row_of_its_own(&farmed, &step(REPORT).output);
    let count = |output: &str| {
        let last = output.trim().lines().last().unwrap_or_default().parse::<u32>();
        last.unwrap_or_else(|_| panic!("no count in `{output}`: {:#?}", transcript.steps))
    };
    assert!(count(&step(LIBRARY_COUNT).output) > 0, "data of the library were to come");
    let warned = step("stap-bundle start by_path");
    assert_eq!(warned.code, 0, "{}", warned.output);
    assert!(
        warned.output.contains(&differs)
            && warned.output.contains("data of that program are missing or wrong"),
        "{}",
        warned.output
    );
    let last = &transcript.steps[transcript.steps.len() - 2];
    assert!(count(&last.output) > 0, "{}", last.output);
}
