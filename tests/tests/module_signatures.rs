//! Signatures of kernel modules are those of the kernel's own `scripts/sign-file`: of RSA to the byte, of ECDSA all but the random number.
//! Real modules, and the `sign-file` of each family of kernels, with its own library.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use child::{Cancel, ChildCommand, Limits};
use end_to_end::lab::Lab;
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// Twelve bytes about the message, and the mark.
const BEHIND_MESSAGE: usize = 40;

/// A farm with one module and a bundle of it, and the programs that sign.
struct Story {
    lab: Lab,
    farm: Farm,
    release: String,
    body: Vec<u8>,
}

impl Story {
    fn new(name: &str) -> Self {
        let lab = Lab::open().unwrap();
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)).unwrap();
        run(&farm, &["key", "generate", "--out", "farm"]);
        let release = lab.bootable("stable").unwrap().clone();
        let words =
            farm.build_arguments(&lab, &[&release], "farm.key", "plain.stapb", &["heartbeat"]).unwrap();
        run(&farm, &words.iter().map(String::as_str).collect::<Vec<_>>());
        let release = release.release;
        run(&farm, &["extract", "plain.stapb", "plain", "--key", "farm.pub"]);
        let body = fs::read(farm.path("plain").join(&release).join("heartbeat.ko")).unwrap();
        Self { lab, farm, release, body }
    }

    /// Signs the module with the key `modules`, by a bundle; returns body and trailer, as a host installs them.
    fn ours(&self, output: &str) -> Vec<u8> {
        let bundle = format!("{output}.stapb");
        let words = ["sign-modules", "plain.stapb", "--key", "farm.key", "-o", &bundle];
        let keys = ["--module-key", "modules.key", "--module-cert", "modules.der"];
        run(&self.farm, &[&words[..], &keys].concat());
        let root = self.farm.path(output);
        fs::create_dir_all(root.join("lib/modules").join(&self.release).join("kernel")).unwrap();
        for words in [["trust", "add", "farm.pub"].as_slice(), &["install", &bundle]] {
            run(&self.farm, &[&["--root", output], words].concat());
        }
        fs::read(root.join("var/cache/systemtap").join(&self.release).join("heartbeat.ko")).unwrap()
    }

    /// The programs of all families of kernels, as paths in the lab's root.
    fn sign_files(&self) -> Vec<PathBuf> {
        let root = self.lab.root();
        let entries = fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
        let programs = entries.map(|path| path.join("scripts/sign-file")).filter(|path| path.is_file());
        programs.map(|path| Path::new("/").join(path.strip_prefix(&root).unwrap())).collect()
    }

    /// Signs the module by a kernel's own program.
    fn theirs(&self, program: &Path, digest: &str) -> Vec<u8> {
        let module = Path::new("plain").join(&self.release).join("heartbeat.ko");
        let command = ChildCommand::new("bwrap")
            .args([
                "--unshare-all",
                "--die-with-parent",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--chdir",
                "/mnt",
            ])
            .arg("--ro-bind")
            .args([self.lab.root().as_path(), Path::new("/")])
            .arg("--bind")
            .args([self.farm.directory(), Path::new("/mnt")])
            .arg(program)
            .args([digest, "modules.key", "modules.der"])
            .arg(module)
            .arg("theirs.ko");
        let finished = command.env_from_here("PATH").run(&Limits::default(), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "{}", finished.stderr.text());
        fs::read(self.farm.path("theirs.ko")).unwrap()
    }

    /// The message that a module ends with, as OpenSSL shows it, without the signature; it must be one of the module by the key's owner.
    fn message(&self, signed: &[u8]) -> String {
        let message = &signed[self.body.len()..signed.len() - BEHIND_MESSAGE];
        fs::write(self.farm.path("message"), message).unwrap();
        self.openssl(&format!(
            "cms -verify -binary -inform DER -in message -content plain/{}/heartbeat.ko -certfile modules.der -noverify -out /dev/null",
            self.release
        ));
        let shown = self.openssl("cms -cmsout -print -noout -inform DER -in message");
        let (before, behind) = shown.split_once("signature:").unwrap();
        let (_, behind) = behind.split_once("unsignedAttrs:").unwrap();
        format!("{before}{behind}")
    }

    fn openssl(&self, words: &str) -> String {
        let command = ChildCommand::new("openssl").args(words.split(' ')).env_from_here("PATH");
        let finished =
            command.current_dir(self.farm.directory()).run(&Limits::default(), &Cancel::new()).unwrap();
        assert!(finished.status.success(), "openssl {words}: {}", finished.stderr.text());
        finished.stdout.text()
    }
}

fn run(farm: &Farm, words: &[&str]) {
    programs::run_expecting(&programs::farm().unwrap(), farm.directory(), words, &[0]).unwrap();
}

#[test]
fn an_rsa_signature_is_that_of_sign_file_to_the_byte() {
    let story = Story::new("module-signatures-rsa");
    run(&story.farm, &["key", "generate", "--module", "--kind", "rsa", "--out", "modules"]);
    let ours = story.ours("signed");
    assert_eq!(ours[..story.body.len()], story.body);
    assert!(ours.len() > story.body.len() + BEHIND_MESSAGE);
    let programs = story.sign_files();
    assert!(programs.len() >= 2, "{programs:?}");
    for program in programs {
        assert!(ours == story.theirs(&program, "sha256"), "{} differs", program.display());
    }
}

#[test]
fn a_p384_signature_is_always_the_same_and_differs_from_that_of_sign_file_in_the_signature_alone() {
    let story = Story::new("module-signatures-p384");
    run(&story.farm, &["key", "generate", "--module", "--kind", "p384", "--out", "modules"]);
    let ours = story.ours("signed");
    assert!(ours == story.ours("again"));
    let programs = story.sign_files();
    assert!(programs.len() >= 2, "{programs:?}");
    for program in programs {
        let theirs = story.theirs(&program, "sha384");
        assert_eq!(story.message(&ours), story.message(&theirs), "{}", program.display());
        assert_eq!(theirs[..story.body.len()], story.body);
    }
}
