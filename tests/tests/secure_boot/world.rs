//! The farm: keys for modules, and one bundle signed by each of them.

use std::path::{Path, PathBuf};

use end_to_end::lab::{Lab, Release};
use end_to_end::programs;
use end_to_end::scratch::Farm;
use serde_json::Value;

/// What the bundles hold.
pub(crate) const SCRIPTS: [&str; 2] = ["block_io_count", "heartbeat"];

/// Keys for modules, with their kinds.
const KEYS: [(&str, &[&str]); 7] = [
    ("enrolled", &["--kind", "rsa"]),
    ("old", &["--kind", "rsa"]),
    ("new", &["--kind", "p384"]),
    ("foreign", &["--kind", "p384"]),
    ("leaf", &["--kind", "p384", "--ca"]),
    ("next-leaf", &["--kind", "p384", "--issuer", "leaf-ca"]),
    ("rsa-leaf", &["--kind", "rsa", "--ca"]),
];

/// Certificates that the machine's owner has enrolled.
const ENROLLED: [&str; 4] = ["enrolled", "new", "leaf-ca", "rsa-leaf-ca"];

/// Bundles of the same modules, and by whose keys they are signed.
const SIGNED: [(&str, &[&str]); 6] = [
    ("enrolled", &["enrolled"]),
    ("rotated", &["old", "new"]),
    ("foreign", &["foreign"]),
    ("leaf", &["leaf"]),
    ("next-leaf", &["next-leaf"]),
    ("rsa-leaf", &["rsa-leaf"]),
];

pub(crate) struct World {
    pub(crate) farm: Farm,
    /// `/proc/keys` of a kernel that has the old key.
    pub(crate) keys_before: String,
}

impl World {
    pub(crate) fn new(lab: &Lab, release: &Release) -> Self {
        let farm = Farm::new(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("secure-boot")).unwrap();
        let mut world = Self { farm, keys_before: String::new() };
        world.run(&["key", "generate", "--out", "farm"]);
        for (name, kind) in KEYS {
            let made = world.run(&[&["key", "generate", "--module", "--json", "--out", name], kind].concat());
            if name == "old" {
                let made: Value = serde_json::from_str(&made).unwrap();
                let id = made["key_id"].as_str().unwrap();
                world.keys_before = format!("1 I-- 1 perm 1f 0 0 asymmetri old: {id}: X509.rsa {id} []\n");
            }
        }
        let more = [&["--name", "fleet"], &SCRIPTS[..]].concat();
        let build = world.farm.build_arguments(lab, &[release], "farm.key", "unsigned.stapb", &more).unwrap();
        world.run(&build.iter().map(String::as_str).collect::<Vec<_>>());
        for (name, keys) in SIGNED {
            world.sign(name, keys);
        }
        world
    }

    fn sign(&self, name: &str, keys: &[&str]) {
        let output = format!("{name}.stapb");
        let files: Vec<_> = keys.iter().map(|key| (format!("{key}.key"), format!("{key}.der"))).collect();
        let mut words = vec!["sign-modules", "unsigned.stapb", "--key", "farm.key", "-o", &output];
        for (key, certificate) in &files {
            words.extend(["--module-key", key, "--module-cert", certificate]);
        }
        self.run(&words);
    }

    fn run(&self, words: &[&str]) -> String {
        let program = programs::farm().unwrap();
        programs::run_expecting(&program, self.farm.directory(), words, &[0]).unwrap().stdout.text()
    }

    pub(crate) fn enrolled(&self) -> Vec<PathBuf> {
        ENROLLED.map(|name| self.farm.path(&format!("{name}.der"))).to_vec()
    }
}

/// The names of all bundles.
pub(crate) fn bundles() -> impl Iterator<Item = &'static str> {
    SIGNED.into_iter().map(|(name, _)| name).chain(["unsigned"])
}
