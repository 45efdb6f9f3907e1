//! The bodies of the fuzz targets over the corpus in `fuzz/corpus`, and over mutations of it from a fixed seed.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::fuzz::{TARGETS, seeds};

/// Mutations of each file of the corpus.
const MUTATIONS: u32 = 400;

/// Numbers from a fixed seed.
struct Random(u64);

impl Random {
    /// A number below `end`, which isn't 0.
    fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % end
    }

    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(64)).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.splice(at..at, [u8::try_from(self.below(256)).unwrap()]).for_each(drop),
                2 => drop(bytes.drain(at.min(end)..end)),
                3 => bytes.extend_from_within(at.min(end)..end),
                4 => bytes.splice(at..at, *b"0").for_each(drop),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            }
        }
        bytes
    }
}

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

#[test]
fn no_target_finds_anything_near_its_corpus() {
    for (target, body) in TARGETS {
        let mut random = Random(0x5eed_0001);
        let mut files: Vec<PathBuf> =
            fs::read_dir(corpus(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{target} has no corpus");
        for file in files {
            let bytes = fs::read(&file).unwrap();
            body(&bytes);
            (0..MUTATIONS).for_each(|_| body(&random.mutated(&bytes)));
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
    assert_eq!(files, TARGETS.map(|(name, _)| name));
}
