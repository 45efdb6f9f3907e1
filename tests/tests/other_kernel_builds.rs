//! A host whose kernel has the bundle's release and is another build: its own modules (`.ko.xz`) and its Module.symvers say so. The module is
//! one that the real `stap` has compiled, the kernel's module and symbols are Debian's.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use end_to_end::lab::{Lab, Release};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// Every module uses it.
const SYMBOL: &str = "module_layout";

/// A farm with a bundle of one script for Debian stable's kernel, which has `CONFIG_MODVERSIONS`.
struct Story {
    lab: Lab,
    farm: Farm,
    stable: Release,
}

impl Story {
    fn new(name: &str) -> Self {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
        let stable = lab.bootable("stable").unwrap().clone();
        let story = Self { lab, farm, stable };
        story.run(&["key", "generate", "--out", "farm"], 0);
        let words = story
            .farm
            .build_arguments(&story.lab, &[&story.stable], "farm.key", "one.stapb", &["heartbeat"])
            .unwrap();
        story.run(&words.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        story
    }

    fn run(&self, words: &[&str], code: i32) -> String {
        let program = programs::farm().unwrap();
        let finished = programs::run_expecting(&program, self.farm.directory(), words, &[code]).unwrap();
        format!("{}{}", finished.stdout.text(), finished.stderr.text())
    }

    /// An empty host of that release, with Debian's own module for it, changed by `change`.
    fn host(&self, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> PathBuf {
        let host = self.farm.path(name);
        let modules = host.join("lib/modules").join(&self.stable.release);
        fs::create_dir_all(modules.join("kernel/drivers/block")).unwrap();
        let packed = self.lab.vmlinuz(&self.stable).unwrap().with_file_name("virtio_blk.ko.xz");
        let module = change(through("xz", "-dc", fs::read(packed).unwrap()));
        let packed = through("xz", "--check=crc32", module);
        fs::write(modules.join("kernel/drivers/block/virtio_blk.ko.xz"), packed).unwrap();
        fs::write(modules.join("modules.dep"), "kernel/drivers/block/virtio_blk.ko.xz:\n").unwrap();
        self.run(&["--root", name, "trust", "add", "farm.pub"], 0);
        host
    }

    fn symvers(&self) -> String {
        let tree = format!("usr/src/linux-headers-{}/Module.symvers", self.stable.release);
        fs::read_to_string(self.lab.root().join(tree)).unwrap()
    }
}

/// What a program makes of `input`.
fn through(program: &str, option: &str, input: Vec<u8>) -> Vec<u8> {
    let mut child = Command::new(program)
        .args([option, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn replaced(bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    let mut changed = bytes;
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

#[test]
fn the_vermagic_of_a_kernel_whose_modules_are_packed_by_xz_counts() {
    let story = Story::new("other-options");
    story.host("same", |module| module);
    story.run(&["--root", "same", "install", "one.stapb"], 0);
    story.host("other", |module| replaced(module, b" SMP preempt ", b" SMP prexxpt "));
    let said = story.run(&["--root", "other", "install", "one.stapb"], 12);
    assert!(said.contains("SMP prexxpt mod_unload"), "{said}");
    assert!(!story.farm.path("other/var/lib/stap-bundle/current").exists());
}

#[test]
fn a_kernel_with_other_symbol_crcs_gets_nothing() {
    let story = Story::new("other-symbols");
    let release = story.stable.release.as_str();
    let symvers = story.symvers();
    let line = symvers.lines().find(|line| line.split('\t').nth(1) == Some(SYMBOL)).unwrap();
    let crc = line.split('\t').next().unwrap();
    assert_ne!(crc, "0x00000000", "{release} has no CONFIG_MODVERSIONS");
    let other = symvers.replacen(line, &line.replacen(crc, "0x00c0ffee", 1), 1);

    story.host("same", |module| module);
    fs::create_dir_all(story.farm.path("same/boot")).unwrap();
    let same = story.farm.path("same/boot").join(format!("symvers-{release}.xz"));
    fs::write(&same, through("xz", "-c", symvers.clone().into_bytes())).unwrap();
    let said = story.run(&["--root", "same", "install", "one.stapb"], 0);
    assert!(!said.contains("symvers"), "{said}");
    // A symbol more, as another package of the same build has it: the modules are compared, and fit.
    fs::write(
        &same,
        through("xz", "-c", format!("{symvers}0x00000001\tone_more\tx\tEXPORT_SYMBOL\t\n").into_bytes()),
    )
    .unwrap();
    story.run(&["--root", "same", "uninstall", "stap-scripts"], 0);
    let said = story.run(&["--root", "same", "install", "one.stapb"], 0);
    assert!(!said.contains("another build"), "{said}");

    let host = story.host("other", |module| module);
    let tree = host.join("usr/src").join(format!("linux-headers-{release}"));
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("Module.symvers"), other).unwrap();
    // As Debian's headers have it; the root is not `/`, so the link is resolved beneath it.
    std::os::unix::fs::symlink(
        format!("/usr/src/linux-headers-{release}"),
        host.join("lib/modules").join(release).join("build"),
    )
    .unwrap();
    for words in [
        &["--root", "other", "install", "--dry-run", "one.stapb"][..],
        &["--root", "other", "install", "one.stapb"],
        &["--root", "other", "install", "--kernel", release, "one.stapb"],
    ] {
        let said = story.run(words, 12);
        let expected = format!(
            "needs the symbol {SYMBOL} with CRC {crc}, /lib/modules/{release}/build/Module.symvers has 0x00c0ffee"
        );
        assert!(said.contains(&expected), "{said}");
        assert!(!host.join("var/lib/stap-bundle/current").exists());
    }
}
