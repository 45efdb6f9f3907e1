//! Results that are whole, damaged, somebody else's, or in two builders' way.

use super::*;
use crate::testing::{fake_builders, fake_job, fake_module};

fn cache() -> (tempfile::TempDir, ArtifactCache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = ArtifactCache::new(directory.path().to_owned(), fake_builders());
    (directory, cache)
}

fn store_module(cache: &ArtifactCache) -> (CacheKey, PathBuf) {
    let job = fake_job("counter", "6.12.1-test");
    let bytes = fake_module("counter", "6.12.1-test", "x");
    let info = ModuleInfo::read(&bytes, job.script.name(), &job.kernel.release, &job.kernel.machine).unwrap();
    let keep = Keep::Module { bytes: &bytes, info };
    let outcome = cache.store(job.key, &job.parts, keep, "log", Cost::default()).unwrap();
    (job.key, outcome.module().unwrap().path.clone())
}

#[test]
fn a_module_is_found_again_and_a_damaged_one_is_not() {
    let (_directory, cache) = cache();
    let (key, path) = store_module(&cache);
    assert!(matches!(cache.find(key), Some(JobOutcome::Cached(_))));
    for damage in [&b""[..], b"\x7fELF"] {
        fs::write(&path, damage).unwrap();
        assert_eq!(cache.find(key), None);
    }
    store_module(&cache);
    assert!(cache.find(key).is_some());
    fs::write(path.with_file_name("record.json"), "{").unwrap();
    assert_eq!(cache.find(key), None);
}

/// As versions that signed nothing wrote it: the record alone, as it is after `change`.
fn unsign(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut file: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let record = file.get_mut("record").unwrap();
    change(record);
    fs::write(path, record.to_string()).unwrap();
}

/// What an older version had kept went into bundles without a look at `.stap_privilege`.
#[test]
fn a_module_kept_before_privileges_were_judged_is_judged_now() {
    let (directory, cache) = cache();
    let (key, path) = store_module(&cache);
    let record = path.with_file_name("record.json");
    unsign(&record, |record| {
        let info = record.pointer_mut("/result/compiled/info").unwrap().as_object_mut().unwrap();
        assert!(info.remove("privilege").is_some());
    });
    let cache = ArtifactCache { builders: Arc::new(Builders::new(None, Vec::new(), true)), ..cache };
    let found = cache.find(key).unwrap();
    assert_eq!(found.module().unwrap().info.privilege, Some(Privilege::Stapdev));
    // It was asked for something else: that isn't the module.
    let text = fs::read_to_string(&record).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let argv = value.pointer_mut("/parts/argv").unwrap().as_array_mut().unwrap();
    argv.push("--privilege=stapusr".into());
    fs::write(&record, value.to_string()).unwrap();
    assert_eq!(cache.find(key), None);
    // What is remembered of the file is of that time too.
    let mut index = ArtifactIndex::open(&directory.path().join("artifacts.json"), false);
    assert_eq!(cache.find_by(key, &mut index), Err(Missing::Absent));
}

/// Nothing is compiled again for it.
#[test]
fn a_module_kept_before_its_compiler_was_recorded_is_asked_for_it() {
    let (_directory, cache) = cache();
    let (key, path) = store_module(&cache);
    unsign(&path.with_file_name("record.json"), |record| {
        let info = record.pointer_mut("/result/compiled/info").unwrap().as_object_mut().unwrap();
        assert!(info.remove("compilers").is_some());
    });
    let cache = ArtifactCache { builders: Arc::new(Builders::new(None, Vec::new(), true)), ..cache };
    let found = cache.find(key).unwrap();
    // The stand-in names none, and that is known now.
    assert_eq!(found.module().unwrap().info.compilers, Some(Vec::new()));
}

/// What keeps the only result of `cache` from being taken by `builders`.
fn missing(cache: &ArtifactCache, builders: &Builders) -> Option<Missing> {
    let entry = cache.entry(fake_job("counter", "6.12.1-test").key);
    ArtifactCache::new(cache.directory.clone(), builders.clone()).taken(&entry).err()
}

#[test]
fn a_result_counts_only_with_the_signature_of_a_listed_builder() {
    let (_directory, cache) = cache();
    let (_, path) = store_module(&cache);
    let own = Builders::clone(&cache.builders);
    let stranger = fake_builders();
    let id = own.sign(b"").unwrap().0;
    let unlisted = Missing::NotTaken(NotTaken::Unlisted(id));
    assert_eq!((missing(&cache, &own), missing(&cache, &stranger)), (None, Some(unlisted)));
    assert_eq!(missing(&cache, &stranger.listing(&own)), None);

    let record = path.with_file_name("record.json");
    let signed = fs::read_to_string(&record).unwrap();
    // One byte of the record, whose meaning is the same; then one of its reasons or results.
    for (from, to) in [("\"format\": 1", "\"format\":  1"), ("\"wall_ms\": 0", "\"wall_ms\": 1")] {
        assert!(signed.contains(from), "{signed}");
        fs::write(&record, signed.replace(from, to)).unwrap();
        let forged = Some(Missing::NotTaken(NotTaken::Forged(id)));
        assert_eq!(
            (missing(&cache, &own), missing(&cache, &stranger.listing(&own))),
            (forged.clone(), forged)
        );
    }
    // Another builder's name on it, and none.
    let other = stranger.sign(b"").unwrap().0;
    fs::write(&record, signed.replace(&id.to_string(), &other.to_string())).unwrap();
    assert_eq!(missing(&cache, &own), Some(Missing::NotTaken(NotTaken::Unlisted(other))));
    assert_eq!(missing(&cache, &stranger), Some(Missing::NotTaken(NotTaken::Forged(other))));
    fs::write(&record, &signed).unwrap();
    unsign(&record, |_| ());
    assert_eq!(missing(&cache, &own), Some(Missing::NotTaken(NotTaken::Unsigned)));
    assert_eq!(missing(&cache, &Builders::new(None, Vec::new(), true)), None);

    // A good record with another module, and with the module of another record.
    fs::write(&record, &signed).unwrap();
    fs::write(&path, fake_module("counter", "6.12.1-test", "y")).unwrap();
    assert_eq!(missing(&cache, &own), Some(Missing::Absent));
}

#[test]
fn a_signed_record_counts_in_its_own_place_only() {
    let (_directory, cache) = cache();
    let (_, path) = store_module(&cache);
    let other = fake_job("other", "6.12.1-test").key;
    let place = cache.entry(other);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(path.parent().unwrap(), &place).unwrap();
    assert_eq!(cache.taken(&place), Err(Missing::Absent));
}

/// Else its place would be blocked by whatever somebody puts there first.
#[test]
fn a_result_that_is_not_taken_makes_room_for_the_own_one() {
    let (_directory, cache) = cache();
    store_module(&cache);
    let builders = fake_builders();
    let here = ArtifactCache { builders: Arc::new(builders.clone()), ..cache.clone() };
    assert_eq!(here.find(fake_job("counter", "6.12.1-test").key), None);
    store_module(&here);
    assert_eq!(missing(&cache, &builders), None);
}

#[test]
fn what_the_index_remembers_counts_as_long_as_its_builder_is_listed() {
    let (directory, cache) = cache();
    let (key, path) = store_module(&cache);
    let file = directory.path().join("artifacts.json");
    let mut index = ArtifactIndex::open(&file, false);
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    fs::File::options().append(true).open(&path).unwrap().set_modified(old).unwrap();
    // The time of its change can't be set; a file that has just changed isn't remembered.
    std::thread::sleep(Duration::from_secs(3));
    assert!(cache.find_by(key, &mut index).is_ok());
    index.save(&crate::state::Notes::default());
    let found = |builders: &Builders| {
        let mut index = ArtifactIndex::open(&file, false);
        ArtifactCache::new(cache.directory.clone(), builders.clone()).find_by(key, &mut index)
    };
    fs::remove_file(path.with_file_name("record.json")).unwrap();
    let own = Builders::clone(&cache.builders);
    assert!(found(&own).is_ok_and(|found| found.signer == Some(own.sign(b"").unwrap().0)));
    assert_eq!(found(&fake_builders()), Err(Missing::Absent));
    assert_eq!(found(&Builders::new(None, Vec::new(), true)), Err(Missing::Absent));
}

#[test]
fn a_failure_keeps_its_reason_and_log() {
    let (_directory, cache) = cache();
    let job = fake_job("counter", "6.12.1-test");
    let keep = Keep::Failure { reason: "semantic error: no match" };
    cache.store(job.key, &job.parts, keep, "the log", Cost::default()).unwrap();
    let Some(JobOutcome::Failed { reason, log, cached: true }) = cache.find(job.key) else {
        panic!("not found");
    };
    assert_eq!(reason, "semantic error: no match");
    assert_eq!(fs::read_to_string(log).unwrap(), "the log");
}

/// `--retry-failed` went on reporting the failure of the first try.
#[test]
fn a_new_failure_was_thrown_away_for_the_old_one() {
    let (_directory, cache) = cache();
    let job = fake_job("counter", "6.12.1-test");
    for reason in ["semantic error: no match", "semantic error: something else"] {
        let keep = Keep::Failure { reason };
        let outcome = cache.store(job.key, &job.parts, keep, reason, Cost::default()).unwrap();
        assert_eq!(outcome.red_reason().as_deref(), Some(reason));
        assert_eq!(fs::read_to_string(outcome.log().unwrap()).unwrap(), reason);
        assert_eq!(cache.find(job.key).unwrap().red_reason().as_deref(), Some(reason));
    }
}

#[test]
fn several_builders_may_keep_the_same_result_at_once() {
    let (directory, cache) = cache();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| drop(store_module(&cache))));
        }
    });
    let job = fake_job("counter", "6.12.1-test");
    assert!(cache.find(job.key).is_some_and(|outcome| outcome.module().is_some()));
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn nothing_is_left_in_the_making() {
    let (directory, cache) = cache();
    store_module(&cache);
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

/// The other builder may be packing it.
#[test]
fn a_whole_result_was_removed_by_a_builder_that_came_later() {
    let (_directory, cache) = cache();
    let job = fake_job("counter", "6.12.1-test");
    let (key, path) = store_module(&cache);
    let first = fs::read(&path).unwrap();
    let other = fake_module("counter", "6.12.1-test", "other");
    let info = ModuleInfo::read(&other, job.script.name(), &job.kernel.release, &job.kernel.machine).unwrap();
    let failure = Keep::Failure { reason: "no" };
    for keep in [Keep::Module { bytes: &other, info }, failure] {
        let outcome = cache.store(key, &job.parts, keep, "log", Cost::default()).unwrap();
        assert_eq!(outcome.module().unwrap().digest, Digest::of(&first));
    }
    assert_eq!(fs::read(&path).unwrap(), first);
}
