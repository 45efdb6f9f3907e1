//! The body of the fuzz target `import` over its corpus, and over mutations of it from a fixed seed.

use std::fs;
use std::path::Path;

use builder::{PackageError, ScriptsPackage};
use fixtures::fuzz::{IMPORT, Mutations, assert_harmless, packed, seeds};

/// Mutations of each file of the corpus.
const MUTATIONS: u32 = 400;

#[test]
fn import_finds_nothing_near_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(IMPORT);
    let mut mutations = Mutations::default();
    for (name, seed) in seeds(IMPORT) {
        let told = "write it: cargo run -p fixtures --example fuzz-corpus -- fuzz/corpus";
        assert_eq!(fs::read(corpus.join(&name)).ok().as_ref(), Some(&seed), "{name}; {told}");
        assert!(ScriptsPackage::read(packed(&seed).as_slice()).is_ok(), "{name} is a good package");
        let mut refused = 0;
        for _ in 0..MUTATIONS {
            let spoilt = mutations.of(&seed);
            for package in [&spoilt, &packed(&spoilt)] {
                if let Err(error) = ScriptsPackage::read(package.as_slice()) {
                    assert_harmless(&error);
                    refused += u32::from(!matches!(error, PackageError::Read(_)));
                }
            }
        }
        assert!(refused > MUTATIONS / 10, "{name}: only {refused} came past gzip and tar");
    }
}
