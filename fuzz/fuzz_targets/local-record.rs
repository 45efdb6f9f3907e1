//! `/var/lib/stap-bundle/local/REL/NAME.json`: see `fixtures::fuzz::document`.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use files::FileSystem;
use fixtures::fuzz::BOOT_ID;
use service::{Host, LocalModule};

/// A host in memory: its record is written at each run.
static HOST: LazyLock<PathBuf> = LazyLock::new(|| {
    let host = PathBuf::from(format!("/dev/shm/stap-bundle-fuzz-local-record-{}", std::process::id()));
    for directory in ["proc/sys/kernel/random", "var/lib/stap-bundle/local/6.12.1"] {
        std::fs::create_dir_all(host.join(directory)).expect("a directory in /dev/shm");
    }
    std::fs::write(host.join("proc/sys/kernel/random/boot_id"), BOOT_ID).expect("a file in /dev/shm");
    host
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fixtures::fuzz::document(bytes, &HOST.join("var/lib/stap-bundle/local/6.12.1/counter.json"), &|| {
        let host = Host::of(FileSystem::open(&*HOST)?);
        let _ = LocalModule::read(&host, &"6.12.1".parse()?, &"counter".parse()?);
        Ok(Vec::new())
    });
});
