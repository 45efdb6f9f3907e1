//! Two kernels of different compilers, whose build trees name none, as those of RPM distributions do: each gets the compiler that its
//! configuration speaks of. The trees are Debian's, without the line that names it.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::Path;

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::{Lab, Release, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;

const SCRIPT: &str = "heartbeat";

struct Story {
    lab: Lab,
    farm: Farm,
    /// What each build is given.
    fixed: Vec<String>,
}

impl Story {
    fn new() -> Self {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("compilers")).unwrap();
        let releases = ["stable", "testing"].map(|family| lab.bootable(family).unwrap());
        let mut fixed = farm.build_arguments(&lab, &releases, "farm.key", "", &[SCRIPT]).unwrap();
        let output = fixed.iter().position(|word| word == "-o").unwrap();
        fixed.drain(output..output + 2);
        let story = Self { lab, farm, fixed };
        story.run(&["key", "generate", "--out", "farm"]);
        story
    }

    fn run(&self, words: &[&str]) {
        let program = programs::farm().unwrap();
        programs::run_expecting(&program, self.farm.directory(), words, &[0]).unwrap();
    }

    /// Builds where the build trees name no compiler.
    fn build(&self, output: &str, more: &[&str], code: i32) -> String {
        self.build_on_layer(output, "sed -i '/^CC = /d' $TREES", more, code)
    }

    /// Builds where the root has been `changed`; `$TREES` are the build trees' variables.
    fn build_on_layer(&self, output: &str, changed: &str, more: &[&str], code: i32) -> String {
        let root = self.lab.root();
        let variables = root.join("usr/src/linux-headers-*/.kernelvariables").display().to_string();
        let work = self.farm.path(&format!("layer-{output}"));
        fs::create_dir(&work).unwrap();
        let edited = format!("{}; cd \"$0\"; exec \"$@\"", changed.replace("$TREES", &variables));
        let program = programs::farm().unwrap();
        let command = ChildCommand::new("bash").arg(repository().join("tests/lab/on-layer.sh"));
        let command =
            command.arg(&root).arg(&work).args(["bash", "-euc", &edited]).arg(self.farm.directory());
        let words = self.fixed.iter().map(String::as_str).chain(["-o", output]).chain(more.iter().copied());
        let command = command.arg(&program).args(words).inherit_environment().combined_output();
        let finished = command.run(&Limits::default(), &Cancel::new()).unwrap();
        let said = finished.stdout.text();
        assert_eq!(finished.status, child::Ended::Code(code), "{said}");
        said
    }

    /// The major version of the gcc that a bundle's module for a release names.
    fn compiler(&self, bundle: &str, release: &Release) -> String {
        let unpacked = format!("{bundle}-{}", release.family);
        self.run(&["extract", bundle, &unpacked, "--key", "farm.pub", "--kernel", &release.release]);
        let files = walkdir::WalkDir::new(self.farm.path(&unpacked)).into_iter().map(Result::unwrap);
        let is_module = |file: &walkdir::DirEntry| file.path().extension().is_some_and(|end| end == "ko");
        let modules: Vec<_> = files.filter(is_module).collect();
        assert_eq!(modules.len(), 1);
        let found = kernel_module::compilers(&fs::read(modules[0].path()).unwrap()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        bundle_format::gcc_series(&found[0]).unwrap()
    }

    /// That of the gcc that its configuration speaks of.
    fn configured(&self, release: &Release) -> String {
        let tree = format!("usr/src/linux-headers-{}/include/config/auto.conf", release.release);
        let config = fs::read_to_string(self.lab.root().join(tree)).unwrap();
        let line = config.lines().find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT=")).unwrap();
        bundle_format::gcc_series(line).unwrap()
    }
}

#[test]
fn each_kernel_gets_the_compiler_of_its_configuration() {
    let story = Story::new();
    let [stable, testing] = ["stable", "testing"].map(|family| story.lab.bootable(family).unwrap().clone());
    let majors = [story.configured(&stable), story.configured(&testing)];
    assert_ne!(majors[0], majors[1]);
    story.build("chosen.stapb", &[], 0);
    assert_eq!([story.compiler("chosen.stapb", &stable), story.compiler("chosen.stapb", &testing)], majors);

    // What is named wins, and is said to differ; what isn't there ends the build before anything is compiled.
    let named = format!("{}=gcc-{}", stable.release, majors[1]);
    let said = story.build("named.stapb", &["--compiler", &named], 0);
    assert!(said.contains(&format!("kernel {} was built with gcc {}", stable.release, majors[0])), "{said}");
    assert_eq!(story.compiler("named.stapb", &stable), majors[1]);
    let absent = format!("{}=gcc-3", testing.release);
    let said = story.build("absent.stapb", &["--compiler", &absent], 21);
    assert!(said.contains("has no /usr/bin/gcc-3"), "{said}");
    let said = story.build("other.stapb", &["--compiler", "1.0=gcc"], 21);
    assert!(said.contains("--compiler 1.0=gcc: kernel 1.0 isn't one of the build's"), "{said}");

    // What a tree names and the root lacks is said first, before anything is compiled.
    let gone = format!("rm {}/usr/bin/*gcc-{}", story.lab.root().display(), majors[0]);
    let said = story.build_on_layer("gone.stapb", &gone, &["--dry-run"], 0);
    let lack = format!("warning: kernel {}: its modules are compiled by ", stable.release);
    let first = said.lines().find(|line| line.starts_with("warning: ")).unwrap();
    assert!(
        first.starts_with(&lack) && first.contains("hasn't got: install the Debian package gcc-"),
        "{said}"
    );
}
