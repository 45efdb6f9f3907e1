//! Kernels from packages: the names that are said of them against Debian's live indexes, and a farm whose root has no kernel.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::published;
use end_to_end::scratch::Farm;
use end_to_end::vm::{self, HostFiles};
use serde_json::Value;

fn archive() -> PathBuf {
    repository().join("tests/lab/archive.sh").canonicalize().unwrap()
}

#[test]
fn every_package_that_is_named_for_a_kernel_of_debian_is_in_its_indexes() {
    let command = ChildCommand::new("bash")
        .arg(archive())
        .arg("names")
        .env_from_here("PATH")
        .env_from_here("STAP_BUNDLE_LAB_MIRROR");
    let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    let listed = finished.stdout.text();
    let all: BTreeSet<&str> = listed.lines().collect();
    let releases: Vec<&str> = all
        .iter()
        .filter_map(|name| name.strip_prefix("linux-headers-"))
        .filter(|release| release.starts_with(|c: char| c.is_ascii_digit()) && !release.contains("-common"))
        .collect();
    assert!(releases.len() > 5, "{releases:?}");

    // Nothing is there, so all is missing.
    let empty = tempfile::tempdir().unwrap();
    let mut words = vec!["kernel", "missing", "--debuginfo", "--for", "apt", "--sysroot"];
    words.push(empty.path().to_str().unwrap());
    words.extend(releases.iter().flat_map(|release| ["-r", *release]));
    let program = programs::farm().unwrap();
    let said = programs::run_expecting(&program, Path::new("/"), &words, &[0]).unwrap().stdout.text();
    let named: BTreeSet<&str> = said.lines().collect();
    let unknown: Vec<&&str> = named.difference(&all).collect();
    assert!(unknown.is_empty(), "no such package: {unknown:?}");
    for release in releases {
        for name in [format!("linux-headers-{release}"), format!("linux-image-{release}-dbg")] {
            assert!(named.contains(name.as_str()), "{name} isn't named");
        }
    }
}

/// Published examples, green ones and some that are red for a cause of each kind; `make examples` has all.
const EXAMPLES: [&str; 8] =
    ["autofs4", "bkl", "block", "callgraph", "cve_2008_0600", "cve_2015_0235", "para_callgraph", "sleeptime"];

/// What `build.sh` has made.
struct Farmed {
    directory: tempfile::TempDir,
}

impl Farmed {
    fn new(lab: &Lab) -> Self {
        // The user of jobs must reach it; debuginfo of a kernel takes 2 GB.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let release = lab.bootable("testing").unwrap();
        let other = lab.bootable("stable").unwrap();
        let command = ChildCommand::new("bash")
            .arg(repository().join("tests/lab/on-layer.sh"))
            .arg(lab.root())
            .arg(directory.path())
            .args(["bash", "-eu"])
            .arg(repository().join("tests/tests/kernel_packages/build.sh").canonicalize().unwrap())
            .env("ROOT", lab.root())
            .env("WORK", directory.path())
            .env("RELEASE", &release.release)
            .env("SUITE", &release.family)
            .env("OTHER", &other.release)
            .env("OTHER_SUITE", &other.family)
            .env("EXAMPLES", EXAMPLES.join(" "))
            .env("LAB_SCRIPTS", archive().parent().unwrap())
            .env("PROGRAM", programs::farm().unwrap())
            .env("CACHE", Farm::cache(lab).unwrap().with_file_name("kernel-packages"))
            .env_from_here("PATH")
            .env_from_here("STAP_BUNDLE_LAB_MIRROR")
            .combined_output();
        let finished = command.run(&Limits::within(Duration::from_secs(1800)), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stdout.text());
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn report(&self, build: &str) -> Vec<Value> {
        let report = fs::read(self.path("reports").join(format!("{build}.json"))).unwrap();
        let report: Value = serde_json::from_slice(&report).unwrap();
        report["cells"].as_array().unwrap().clone()
    }

    /// The cells of a build with this outcome, as `SCRIPT@FAMILY`.
    fn cells(&self, build: &str, outcome: &str) -> String {
        let report = self.report(build);
        let cells = report.iter().filter(|cell| cell["outcome"] == outcome);
        let name = |cell: &Value| {
            let kernel = cell["kernel"].as_str().unwrap();
            format!("{}@{}", cell["script"].as_str().unwrap(), kernel.split('.').next().unwrap())
        };
        cells.map(name).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    }
}

/// With debuginfo for one of two kernels: exactly that kernel's cells.
fn exactly_the_cells_of_the_kernel_with_debuginfo_compile(farmed: &Farmed) {
    let red = farmed.cells("headers", "red");
    let without = |kernel: u8| {
        ["by_function", "by_kprobe", "by_module", "by_return"].map(|script| format!("{script}@{kernel}"))
    };
    let mut expected: Vec<String> = without(6).into_iter().chain(without(7)).collect();
    expected.sort();
    assert_eq!(red, expected.join(" "));
    let compiled = farmed.cells("debuginfo", "compiled");
    assert_eq!(compiled, "by_function@7 by_kprobe@7 by_module@7 by_return@7 plain@7");
    assert_eq!(farmed.cells("again", "compiled"), "");
    assert!(farmed.cells("again", "cached").contains("by_module@7"), "{}", farmed.cells("again", "cached"));
}

fn some_examples_are_green_or_red_as_listed(farmed: &Farmed) {
    let cell = |cell: &Value| {
        (cell["script"].as_str().unwrap().to_owned(), cell["reason"].as_str().map(str::to_owned))
    };
    let cells: BTreeMap<String, Option<String>> = farmed.report("examples").iter().map(cell).collect();
    assert_eq!(cells.keys().collect::<Vec<_>>(), EXAMPLES.iter().collect::<Vec<_>>());
    let unlike = published::unlike("testing", &cells);
    assert!(unlike.is_empty(), "{unlike:#?}");
    assert_eq!(cells.values().filter(|reason| reason.is_none()).count(), 3, "{cells:?}");
}

const LOAD: &str = "insmod /media/binfmt_misc.ko; mkdir -p /tmp/b; mount -t binfmt_misc none /tmp/b";
const REGISTER: &str =
    "sh -c \"printf probed >/proc/self/comm; printf ':probed:M::abc::/bin/true:' >/tmp/b/register\"";
const WRITE: &str = "sh -c 'printf probed >/proc/self/comm; printf 1234567 >/tmp/x'; \
                     cat /proc/systemtap/by_function/seen /proc/systemtap/by_return/seen";
const MODULE: &str = "cat /proc/systemtap/by_module/seen";
const KPROBE: &str = "cat /proc/systemtap/by_kprobe/seen";

/// What each probe saw on a host.
fn the_data_come(lab: &Lab, farmed: &Farmed) {
    let release = lab.bootable("testing").unwrap();
    let files = HostFiles::new(release, &programs::host().unwrap()).unwrap();
    for name in ["debuginfo.stapb", "farm.pub", "binfmt_misc.ko"] {
        files.copy(&farmed.path(name), &format!("media/{name}"), 0o644).unwrap();
    }
    let scenario = [
        "stap-bundle trust add /media/farm.pub",
        "stap-bundle install /media/debuginfo.stapb",
        LOAD,
        "stap-bundle start",
        REGISTER,
        MODULE,
        KPROBE,
        WRITE,
        "stap-bundle stop",
    ];
    let transcript = vm::run(lab, release, &files, &scenario, &mut |_| {}).unwrap();
    for step in &transcript.steps {
        assert_eq!(step.code, 0, "{}: {}\n{}", step.command, step.output, transcript.console);
    }
    let seen = |command: &str| transcript.step(command).unwrap().output.clone();
    // The length of what was registered, and of what was written last.
    assert_eq!(seen(MODULE).trim(), "26");
    assert!(seen(KPROBE).trim().parse::<u32>().unwrap() > 0, "{}", seen(KPROBE));
    assert_eq!(seen(WRITE), "7\n7\n");
}

#[test]
fn a_farm_without_kernels_is_supplied_by_names_and_the_data_of_its_modules_come() {
    let lab = Lab::open().unwrap();
    let farmed = Farmed::new(&lab);
    exactly_the_cells_of_the_kernel_with_debuginfo_compile(&farmed);
    some_examples_are_green_or_red_as_listed(&farmed);
    let list = fs::read_to_string(farmed.path("list")).unwrap();
    assert!(list.contains("build tree, modules, debuginfo; 5 packages"), "{list}");
    let list = fs::read_to_string(farmed.path("fetched-list")).unwrap();
    assert!(list.contains("build tree, debuginfo; 4 packages"), "{list}");
    let flipped = fs::read_to_string(farmed.path("flipped")).unwrap();
    let [damaged, unlisted] = flipped.lines().collect::<Vec<_>>()[..] else { panic!("{flipped}") };
    assert!(damaged.starts_with("11 ") && damaged.contains("it is damaged"), "{flipped}");
    assert!(unlisted.starts_with("10 ") && unlisted.contains("is in no index"), "{flipped}");
    the_data_come(&lab, &farmed);
}
