//! The bodies of the fuzz targets `run-record` and `local-record` over their corpus, and over mutations of it from a fixed seed.

use std::error::Error;
use std::fs;

use files::FileSystem;
use fixtures::fuzz::{BOOT_ID, Mutations, document, seeds};
use service::{Host, LocalModule, RunRecord};

/// Mutations of each seed.
const MUTATIONS: u32 = 400;

/// How many records of a host a reader took.
type Read = fn(&Host) -> Result<usize, Box<dyn Error>>;

fn run_records(host: &Host) -> Result<usize, Box<dyn Error>> {
    Ok(RunRecord::read_all(host)?.len())
}

fn local_records(host: &Host) -> Result<usize, Box<dyn Error>> {
    Ok(LocalModule::read(host, &"6.12.1".parse()?, &"counter".parse()?).iter().count())
}

#[test]
fn no_record_near_the_corpus_stops_the_reader() {
    let targets: [(&str, &str, Read); 2] = [
        ("run-record", "run/stap-bundle/run", run_records),
        ("local-record", "var/lib/stap-bundle/local/6.12.1", local_records),
    ];
    for (target, directory, read) in targets {
        let root = tempfile::tempdir().unwrap();
        for made in ["proc/sys/kernel/random", directory] {
            fs::create_dir_all(root.path().join(made)).unwrap();
        }
        fs::write(root.path().join("proc/sys/kernel/random/boot_id"), BOOT_ID).unwrap();
        let host = Host::of(FileSystem::open(root.path()).unwrap());
        let path = root.path().join(directory).join("counter.json");
        let mut mutations = Mutations::default();
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for (name, seed) in seeds {
            let reader = || read(&host).map(|_| Vec::new());
            document(&seed, &path, &reader);
            assert_eq!(read(&host).unwrap(), 1, "{target}/{name} is a record");
            (0..MUTATIONS).for_each(|_| document(&mutations.of(&seed), &path, &reader));
        }
    }
}
