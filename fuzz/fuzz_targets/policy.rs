//! `/etc/stap-bundle/policy.toml`: see `fixtures::fuzz::document`.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use files::FileSystem;
use installer::Policy;

/// A host in memory, where the system has such a place: its policy is written at each run.
static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
    let host = PathBuf::from(format!("/dev/shm/stap-bundle-fuzz-policy-{}", std::process::id()));
    std::fs::create_dir_all(host.join("etc/stap-bundle")).expect("a directory in /dev/shm");
    host
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fixtures::fuzz::document(bytes, &HOST.join("etc/stap-bundle/policy.toml"), &|| {
        Policy::read(&FileSystem::open(&*HOST)?)?;
        Ok(Vec::new())
    });
});
