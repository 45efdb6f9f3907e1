//! The bodies of the fuzz targets over the corpus in `fuzz/corpus`, and over mutations of it from a fixed seed.

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::fuzz::{HOST_TARGETS, IMPORT, Mutations, TARGETS, seeds};

/// Mutations of each file of the corpus.
const MUTATIONS: u32 = 400;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

#[test]
fn no_target_finds_anything_near_its_corpus() {
    for (target, body) in TARGETS {
        let mut mutations = Mutations::default();
        let mut files: Vec<PathBuf> =
            fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{target} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            body(&bytes);
            (0..MUTATIONS).for_each(|_| body(&mutations.of(&bytes)));
        }
    }
}

#[test]
fn each_seed_is_in_the_corpus() {
    // Compressed bytes depend on zstd's version; what doesn't is compared.
    for (target, _) in TARGETS {
        for (name, bytes) in seeds(target) {
            let found = fs::read(corpus(target).join(&name));
            let told = "write it: cargo run -p fixtures --example fuzz-corpus -- fuzz/corpus";
            assert!(found.is_ok(), "{target}/{name} is missing; {told}");
            if target == "set" {
                assert!(found.unwrap() == bytes, "{target}/{name} is another; {told}");
            }
        }
    }
}

#[test]
fn each_target_has_its_file() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut files: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let mut targets: Vec<&str> =
        TARGETS.iter().map(|(name, _)| *name).chain([IMPORT]).chain(HOST_TARGETS).collect();
    targets.sort_unstable();
    assert_eq!(files, targets);
}
