//! The bodies of the fuzz targets `import` and `server-answer` over their corpus, and over mutations of it from a fixed seed.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use builder::{BundleIdentity, ImportRequest, PackageError, ScriptsPackage};
use fixtures::fuzz::{IMPORT, Mutations, assert_packable, import, packed, seeds};

/// Mutations of each file of the corpus.
const MUTATIONS: u32 = 400;

fn request(package: PathBuf) -> ImportRequest {
    let identity = BundleIdentity::called("imported".parse().unwrap());
    ImportRequest { packages: vec![package], sources: None, certificates: Vec::new(), identity }
}

#[test]
fn import_finds_nothing_near_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(IMPORT);
    let directory = tempfile::tempdir().unwrap();
    let package = directory.path().join("package.tar.gz");
    let taken = |bytes: &[u8]| {
        let drafts = import(bytes, &package, &|path| Ok(builder::import(&request(path.into()))?.draft));
        drafts.iter().for_each(assert_packable);
        drafts.len()
    };
    let mut mutations = Mutations::default();
    for (name, seed) in seeds(IMPORT) {
        let told = "write it: cargo run -p fixtures --example fuzz-corpus -- fuzz/corpus";
        assert_eq!(fs::read(corpus.join(&name)).ok().as_ref(), Some(&seed), "{name}; {told}");
        assert!(ScriptsPackage::read(packed(&seed).as_slice()).is_ok(), "{name} is a good package");
        assert_eq!(taken(&seed), usize::from(name == "whole"), "{name}");
        let mut refused = 0;
        for _ in 0..MUTATIONS {
            let spoilt = mutations.of(&seed);
            taken(&spoilt);
            let read = ScriptsPackage::read(packed(&spoilt).as_slice());
            refused += u32::from(read.is_err_and(|error| !matches!(error, PackageError::Read(_))));
        }
        assert!(refused > MUTATIONS / 20, "{name}: only {refused} came past gzip and tar");
    }
}

#[test]
fn no_answer_of_a_server_near_the_corpus_acts_on_a_terminal() {
    let mut mutations = Mutations::default();
    let seeds = seeds("server-answer");
    assert!(!seeds.is_empty());
    for (name, seed) in seeds {
        assert!(!builder::words_of_answer(&seed).is_empty(), "{name}");
        for _ in 0..MUTATIONS {
            let words = builder::words_of_answer(&mutations.of(&seed));
            assert!(!words.iter().any(|text| text.chars().any(script_config::acts)), "{words:?}");
        }
    }
}
