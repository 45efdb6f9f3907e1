//! See `fixtures::fuzz::import`.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

/// In memory, where the system has such a place: it is written at each run.
static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = PathBuf::from("/dev/shm");
    let directory = if directory.is_dir() { directory } else { std::env::temp_dir() };
    directory.join(format!("stap-bundle-fuzz-{}.tar.gz", std::process::id()))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fixtures::fuzz::import(bytes, &PACKAGE, &|path| {
        let identity = builder::BundleIdentity::called("imported".parse()?);
        let request =
            builder::ImportRequest { packages: vec![path.to_owned()], sources: None, identity };
        Ok(builder::import(&request)?.draft)
    });
});
