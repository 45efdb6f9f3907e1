//! A delta of real modules: one of the fixture scripts is changed, and hosts that have the bundle before get it by a file
//! that is a fraction of the whole new one. The whole one carries its scripts.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, Release};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// A farm whose scripts can be changed.
struct Story {
    lab: Lab,
    farm: Farm,
}

impl Story {
    fn new() -> Self {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("one-changed-script")).unwrap();
        let story = Self { lab, farm };
        let fixtures = end_to_end::lab::repository().join("fixtures").canonicalize().unwrap();
        fs::create_dir(story.farm.path("scripts")).unwrap();
        for script in fs::read_dir(fixtures.join("scripts")).unwrap() {
            let script = script.unwrap();
            fs::copy(script.path(), story.farm.path("scripts").join(script.file_name())).unwrap();
        }
        let config = fs::read_to_string(story.farm.path("config")).unwrap();
        let (theirs, ours) = (fixtures.join("scripts"), story.farm.path("scripts"));
        let config = config.replace(&theirs.display().to_string(), &ours.display().to_string());
        fs::write(story.farm.path("config"), config).unwrap();
        story.run(&["key", "generate", "--out", "farm"], &[0]);
        story
    }

    fn run(&self, words: &[&str], allowed: &[i32]) -> String {
        let program = programs::farm().unwrap();
        programs::run_expecting(&program, self.farm.directory(), words, allowed).unwrap().stdout.text()
    }

    fn build(&self, releases: &[&Release], output: &str, more: &[&str]) {
        let words = self.farm.build_arguments(&self.lab, releases, "farm.key", output, &[]).unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        // One of the scripts compiles for one family of kernels only.
        self.run(&words, &[0, 20]);
    }

    fn len(&self, file: &str) -> u64 {
        fs::metadata(self.farm.path(file)).unwrap().len()
    }

    /// Bytes of `file` that a command reads, by its system calls.
    fn bytes_read(&self, file: &str, words: &[&str]) -> u64 {
        // One log a thread: in a common one a call may be broken in two by another thread's.
        let logs = tempfile::tempdir().unwrap();
        let traced = ChildCommand::new("strace")
            .args([
                "-ff",
                "-qq",
                "-y",
                "-e",
                "trace=read,pread64,readv,preadv,preadv2,mmap,copy_file_range,sendfile,splice",
            ])
            .arg("-o")
            .arg(logs.path().join("thread"))
            .arg(programs::farm().unwrap())
            .args(words)
            .current_dir(self.farm.directory())
            .env_from_here("PATH");
        let finished = traced.run(&Limits::default(), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}{}", finished.stdout.text(), finished.stderr.text());
        let text: String = fs::read_dir(logs.path())
            .unwrap()
            .map(|log| fs::read_to_string(log.unwrap().path()).unwrap())
            .collect();
        let of_file: Vec<&str> = text.lines().filter(|line| line.contains(&format!("/{file}>"))).collect();
        assert!(
            of_file.iter().all(|line| line.starts_with("read(") || line.starts_with("pread64(")),
            "{of_file:?}"
        );
        of_file.iter().map(|line| line.rsplit("= ").next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

#[test]
fn an_upgrade_by_a_delta_of_one_changed_script_reads_less_than_a_twentieth_of_the_full_bundle() {
    let story = Story::new();
    let releases = [story.lab.bootable("stable").unwrap(), story.lab.bootable("testing").unwrap()];
    story.build(&releases, "old.stapb", &[]);
    let script = story.farm.path("scripts/heartbeat.stp");
    let text = fs::read_to_string(&script).unwrap();
    let changed = text.replace("heartbeat begins", "heartbeat has begun");
    assert_ne!(text, changed);
    fs::write(&script, &changed).unwrap();
    story.build(&releases, "new.stapb", &["--with-source"]);
    story.build(&releases, "delta.stapb", &["--delta-from", "old.stapb"]);

    let root = story.farm.path("host").display().to_string();
    let on_host = |words: &[&str]| story.run(&[&["--root", root.as_str()], words].concat(), &[0]);
    for release in releases {
        fs::create_dir_all(story.farm.path("host/lib/modules").join(&release.release).join("kernel"))
            .unwrap();
    }
    on_host(&["trust", "add", "farm.pub"]);
    on_host(&["install", "old.stapb"]);
    let read = story.bytes_read("delta.stapb", &["--root", root.as_str(), "install", "delta.stapb"]);
    let (delta, full) = (story.len("delta.stapb"), story.len("new.stapb"));
    eprintln!("the delta has {delta} bytes, {read} were read; the full bundle has {full}");
    assert!(
        read >= delta && read * 20 < full,
        "{read} of {delta} bytes were read, the full bundle has {full}"
    );

    // Every module is what the full bundle has, to the byte.
    on_host(&["fsck"]);
    story.run(&["extract", "new.stapb", "modules", "--key", "farm.pub"], &[0]);
    let cache = story.farm.path("host/var/cache/systemtap");
    for release in releases {
        let mut modules = 0;
        for module in fs::read_dir(cache.join(&release.release)).unwrap() {
            let path = module.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "ko") {
                let whole = story.farm.path("modules").join(&release.release).join(path.file_name().unwrap());
                assert!(fs::read(&path).unwrap() == fs::read(whole).unwrap(), "{}", path.display());
                modules += 1;
            }
        }
        assert!(modules > 10, "{modules} modules for {}", release.release);
    }

    // The full one holds the same, and its scripts, of which this host has one already, an older one.
    let scripts = story.farm.path("host/etc/systemtap/script.d");
    fs::create_dir_all(&scripts).unwrap();
    fs::write(scripts.join("heartbeat.stp"), &text).unwrap();
    on_host(&["install", "--with-source", "new.stapb"]);
    for script in fs::read_dir(story.farm.path("scripts")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "stp") {
            let name = path.file_name().unwrap().to_os_string();
            let is_same = fs::read(scripts.join(&name)).unwrap() == fs::read(&path).unwrap();
            assert_eq!(is_same, name != "heartbeat.stp", "{}", name.display());
        }
    }
    a_kernel_without_headers_is_named(&story, &root);
}

/// Every cell may be red, so a kernel without a build tree is in the bundle by its reasons alone, and hosts install it.
fn a_kernel_without_headers_is_named(story: &Story, root: &str) {
    const ABSENT: &str = "0.0.1-without-headers";
    let releases = [story.lab.bootable("stable").unwrap()];
    let more = ["-r", ABSENT, "--report", "report.json", "--name", "with-absent", "block_io_count"];
    story.build(&releases, "absent.stapb", &more);
    let report = fs::read_to_string(story.farm.path("report.json")).unwrap();
    assert!(report.contains(&format!("the farm has no build tree of kernel {ABSENT}")), "{report}");
    assert!(report.contains(&format!("\"bytes\": {}", story.len("absent.stapb"))), "{report}");
    fs::create_dir_all(Path::new(root).join("lib/modules").join(ABSENT).join("kernel")).unwrap();
    story.run(&["--root", root, "uninstall", "stap-scripts"], &[0]);
    let said = story.run(&["--root", root, "install", "absent.stapb"], &[0]);
    assert!(said.contains(&format!("{ABSENT}: 0 modules, 1 red cell")), "{said}");
    // Of nothing of which something is required, there is no bundle.
    let words = ["-r", ABSENT, "--required", "*", "block_io_count"];
    let mut all = story.farm.build_arguments(&story.lab, &releases, "farm.key", "none.stapb", &[]).unwrap();
    all.extend(words.map(str::to_owned));
    story.run(&all.iter().map(String::as_str).collect::<Vec<_>>(), &[21]);
    assert!(!story.farm.path("none.stapb").exists());
}
