//! `/run/stap-bundle/run/NAME.json`: see `fixtures::fuzz::document`.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use files::FileSystem;
use fixtures::fuzz::BOOT_ID;
use service::{Host, RunRecord};

/// A host in memory: its record is written at each run.
static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
    let host = PathBuf::from(format!("/dev/shm/stap-bundle-fuzz-run-record-{}", std::process::id()));
    for directory in ["proc/sys/kernel/random", "run/stap-bundle/run"] {
        std::fs::create_dir_all(host.join(directory)).expect("a directory in /dev/shm");
    }
    std::fs::write(host.join("proc/sys/kernel/random/boot_id"), BOOT_ID).expect("a file in /dev/shm");
    host
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fixtures::fuzz::document(bytes, &HOST.join("run/stap-bundle/run/counter.json"), &|| {
        RunRecord::read_all(&Host::of(FileSystem::open(&*HOST)?))?;
        Ok(Vec::new())
    });
});
