//! The `SYSTEMTAP_DIR`s of a farm, one for each warm-up key, and what is known to be good in them.
//!
//! ```text
//! warm/<key>/cache/      stap's own: ab/stapconf_HASH.h, cd/tracequery_kmod_HASH.o, …
//! warm/<key>.ready.json  what a leader made and found good: each file's name and size
//! ```
//! The note is written after a part was accepted. Before a build uses a part, the files are compared with it: what stap's
//! eviction removed, what a full disk cut short, or what a killed build left without a note is removed, and the part is made
//! again. That matters because stap keeps a failed compile as an empty object, which says "no such tracepoint" for ever.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bundle_format::Digest;
use serde::{Deserialize, Serialize};

use crate::cache_care::note_use;
use crate::sandbox::{Sandbox, SandboxError};
use crate::warm_up::{WarmUp, WarmUpKey, WarmUpPart};

/// Size limit of stap's cache, in megabytes: its default of 256 is too little for a kernel with many scans, and what it
/// evicts is silently missing.
const CACHE_LIMIT_MB: &str = "8192\n";

/// Layout of the note. Notes without a number said less: what they vouch for is kept and looked at once more.
const NOTE_FORMAT: u32 = 2;

/// Files of a part, by their path below `cache`, with their sizes.
pub(crate) type Inventory = BTreeMap<String, u64>;

/// What is known of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    #[serde(default)]
    format: u32,
    /// What the files' names depend on, besides the key.
    #[serde(default)]
    stamp: Option<Digest>,
    #[serde(default)]
    configuration: Option<Inventory>,
    #[serde(default)]
    scan: Option<Inventory>,
    /// What keeps every module, or every tracepoint, from being compiled for this kernel.
    #[serde(default)]
    diagnoses: Vec<Diagnosis>,
}

/// Something that is wrong with a kernel as this sysroot sees it; told once, not once per script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Diagnosis {
    /// Not even an empty script compiles.
    NothingCompiles {
        /// The normalised reason.
        reason: String,
    },
    /// The scan was complete and found not one tracepoint.
    NoTracepoints,
}

/// What is good for a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Warm {
    pub complete: WarmUp,
    pub diagnoses: Vec<Diagnosis>,
}

/// The `SYSTEMTAP_DIR`s of a build.
#[derive(Debug)]
pub(crate) struct WarmUps {
    directory: PathBuf,
    /// Held while a note is read, added to and written: the two parts of a key may come about at the same moment. Other
    /// builds are kept away by the lock of the directory.
    notes: Mutex<()>,
}

impl WarmUps {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, notes: Mutex::default() }
    }

    /// The `SYSTEMTAP_DIR` of a key.
    pub(crate) fn path(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(key.to_string())
    }

    fn note_file(&self, key: WarmUpKey) -> PathBuf {
        self.directory.join(format!("{key}.ready.json"))
    }

    fn note(&self, key: WarmUpKey) -> Option<Note> {
        serde_json::from_slice(&fs::read(self.note_file(key)).ok()?).ok()
    }

    /// What the note says, without a look at the files; for plans that are only shown.
    pub(crate) fn noted(&self, key: WarmUpKey, stamp: Digest) -> Warm {
        self.note(key).filter(|note| note.is_current(stamp)).map(|note| note.warm()).unwrap_or_default()
    }

    /// Makes the directory ready for jobs and returns what is good in it; what isn't is removed.
    pub(crate) fn prepare(
        &self,
        key: WarmUpKey,
        stamp: Digest,
        sandbox: &Sandbox,
    ) -> Result<Warm, SandboxError> {
        let path = self.path(key);
        let error = |source| SandboxError::Prepare { path: path.clone(), source };
        let cache = path.join("cache");
        if !cache.is_dir() {
            self.discard(key).map_err(error)?;
            sandbox.prepare_directory(&path)?;
            sandbox.prepare_directory(&cache)?;
            fs::write(cache.join("cache_mb_limit"), CACHE_LIMIT_MB).map_err(error)?;
            return Ok(Warm::default());
        }
        let note = self.note(key);
        if note.as_ref().is_some_and(|note| !note.is_current(stamp)) {
            // Of another layout, or a file of the sysroot was touched: stap may not find what is there, and then makes it. What it
            // vouches for stays; anything else is of a leader that was killed since, and may be cut short.
            for part in WarmUpPart::ALL {
                mend(&cache, part, note.as_ref().and_then(|note| note.inventory(part))).map_err(error)?;
            }
            return Ok(Warm::default());
        }
        note_use(&self.note_file(key));
        let mut note = note.unwrap_or_default();
        for part in WarmUpPart::ALL {
            let mended = mend(&cache, part, note.inventory(part)).map_err(error)?;
            if mended {
                *note.inventory_mut(part) = None;
            }
        }
        Ok(note.warm())
    }

    /// Notes that a leader has made `part`, and what it found out about the kernel by it.
    pub(crate) fn accept(
        &self,
        key: WarmUpKey,
        stamp: Digest,
        part: WarmUpPart,
        diagnosis: Option<Diagnosis>,
    ) -> io::Result<()> {
        let inventory = inventory(&self.path(key).join("cache"), part)?;
        let _held = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut note = self.note(key).filter(|note| note.is_current(stamp)).unwrap_or_default();
        note.format = NOTE_FORMAT;
        note.stamp = Some(stamp);
        *note.inventory_mut(part) = Some(inventory);
        note.diagnoses.retain(|diagnosis| diagnosis.part() != part);
        note.diagnoses.extend(diagnosis);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        serde_json::to_writer(&mut file, &note)?;
        file.persist(self.note_file(key))?;
        Ok(())
    }

    /// Forgets what is known of a key, but not its files.
    pub(crate) fn forget(&self, key: WarmUpKey) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.note_file(key)))
    }

    /// Removes all that was cached for a key.
    pub(crate) fn discard(&self, key: WarmUpKey) -> io::Result<()> {
        self.forget(key)?;
        absent_is_fine(fs::remove_dir_all(self.path(key)))
    }
}

impl Note {
    fn is_current(&self, stamp: Digest) -> bool {
        self.format == NOTE_FORMAT && self.stamp == Some(stamp)
    }

    fn inventory(&self, part: WarmUpPart) -> Option<&Inventory> {
        match part {
            WarmUpPart::Configuration => self.configuration.as_ref(),
            WarmUpPart::Scan => self.scan.as_ref(),
        }
    }

    fn inventory_mut(&mut self, part: WarmUpPart) -> &mut Option<Inventory> {
        match part {
            WarmUpPart::Configuration => &mut self.configuration,
            WarmUpPart::Scan => &mut self.scan,
        }
    }

    fn warm(&self) -> Warm {
        let complete = WarmUp { configured: self.configuration.is_some(), scanned: self.scan.is_some() };
        let known = |diagnosis: &&Diagnosis| complete.has(diagnosis.part());
        Warm { complete, diagnoses: self.diagnoses.iter().filter(known).cloned().collect() }
    }
}

impl Diagnosis {
    fn part(&self) -> WarmUpPart {
        match self {
            Self::NothingCompiles { .. } => WarmUpPart::Configuration,
            Self::NoTracepoints => WarmUpPart::Scan,
        }
    }
}

/// Removes what differs from `noted`, or all of the part if nothing is; returns whether anything was wrong.
fn mend(cache: &Path, part: WarmUpPart, noted: Option<&Inventory>) -> io::Result<bool> {
    let found = inventory(cache, part)?;
    let mut wrong = noted.is_none();
    for (name, size) in &found {
        if noted.and_then(|noted| noted.get(name)) != Some(size) {
            fs::remove_file(cache.join(name))?;
            wrong = true;
        }
    }
    let missing = noted.is_some_and(|noted| noted.keys().any(|name| !found.contains_key(name)));
    Ok(wrong || missing)
}

/// The files of a part that are there: `stapconf_HASH.h` or `tracequery_kmod_HASH.o`, in two-letter subdirectories.
pub(crate) fn inventory(cache: &Path, part: WarmUpPart) -> io::Result<Inventory> {
    let (prefix, suffix) = match part {
        WarmUpPart::Configuration => ("stapconf_", ".h"),
        WarmUpPart::Scan => ("tracequery_", ".o"),
    };
    let mut found = Inventory::new();
    for entry in walkdir::WalkDir::new(cache).min_depth(2).max_depth(2) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(suffix) {
            let below =
                entry.path().strip_prefix(cache).unwrap_or(entry.path()).to_string_lossy().into_owned();
            found.insert(below, entry.metadata()?.len());
        }
    }
    Ok(found)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        _base: tempfile::TempDir,
        warm_ups: WarmUps,
        key: WarmUpKey,
        stamp: Digest,
    }

    fn world() -> World {
        let base = tempfile::tempdir().unwrap();
        let warm_ups = WarmUps::new(base.path().to_owned());
        let world =
            World { _base: base, warm_ups, key: WarmUpKey::of_test("key"), stamp: Digest::of(b"stamp") };
        world.prepare();
        world
    }

    impl World {
        fn prepare(&self) -> WarmUp {
            let sandbox = Sandbox::without_user_change();
            self.warm_ups.prepare(self.key, self.stamp, &sandbox).unwrap().complete
        }

        fn file(&self, name: &str) -> PathBuf {
            self.warm_ups.path(self.key).join("cache/ab").join(name)
        }

        fn put(&self, name: &str, text: &str) {
            fs::create_dir_all(self.file("x").parent().unwrap()).unwrap();
            fs::write(self.file(name), text).unwrap();
        }

        fn accept(&self, part: WarmUpPart) {
            self.warm_ups.accept(self.key, self.stamp, part, None).unwrap();
        }
    }

    const SCANNED: WarmUp = WarmUp { configured: false, scanned: true };

    #[test]
    fn what_has_no_note_is_removed() {
        let world = world();
        world.put("tracequery_kmod_x.o", "");
        world.put("stapconf_x.h", "#define A 1");
        assert_eq!(world.prepare(), WarmUp::default());
        assert!(!world.file("tracequery_kmod_x.o").exists() && !world.file("stapconf_x.h").exists());
    }

    #[test]
    fn an_accepted_part_is_kept_while_the_other_is_made_again() {
        let world = world();
        world.put("tracequery_kmod_x.o", "object");
        world.put("stapconf_x.h", "rest");
        world.accept(WarmUpPart::Scan);
        assert_eq!(world.prepare(), SCANNED);
        assert!(world.file("tracequery_kmod_x.o").exists() && !world.file("stapconf_x.h").exists());
        world.put("stapconf_x.h", "#define A 1");
        world.accept(WarmUpPart::Configuration);
        assert_eq!(world.prepare(), SCANNED.with(WarmUpPart::Configuration));
    }

    #[test]
    fn an_evicted_object_is_missed_and_a_poisoned_one_removed() {
        let world = world();
        world.put("tracequery_kmod_x.o", "object");
        world.put("tracequery_kmod_y.o", "object");
        world.put("tracequery_kmod_rightly_empty.o", "");
        world.accept(WarmUpPart::Scan);
        fs::remove_file(world.file("tracequery_kmod_x.o")).unwrap();
        assert_eq!(world.prepare(), WarmUp::default());
        assert!(world.file("tracequery_kmod_y.o").exists(), "only what is missing is made again");

        world.put("tracequery_kmod_x.o", "object");
        assert_eq!(world.prepare(), SCANNED);
        world.put("tracequery_kmod_x.o", "");
        assert_eq!(world.prepare(), WarmUp::default());
        assert!(
            !world.file("tracequery_kmod_x.o").exists()
                && world.file("tracequery_kmod_rightly_empty.o").exists()
        );
    }

    #[test]
    fn a_touched_sysroot_makes_nothing_complete_and_removes_nothing() {
        let mut world = world();
        world.put("tracequery_kmod_x.o", "object");
        world.accept(WarmUpPart::Scan);
        world.stamp = Digest::of(b"touched");
        assert_eq!(world.prepare(), WarmUp::default());
        assert!(world.file("tracequery_kmod_x.o").exists());
    }

    /// What a killed leader had half written was taken for stap's own, as long as the note of the time before was there.
    #[test]
    fn what_a_kill_left_after_a_touch_was_kept() {
        let mut world = world();
        world.put("stapconf_old.h", "#define STAPCONF_A 1");
        world.put("tracequery_kmod_old.o", "object");
        world.accept(WarmUpPart::Configuration);
        world.accept(WarmUpPart::Scan);
        world.stamp = Digest::of(b"touched");
        assert_eq!(world.prepare(), WarmUp::default());
        world.put("stapconf_new.h", "#define STAPCONF_");
        world.put("tracequery_kmod_new.o", "");
        assert_eq!(world.prepare(), WarmUp::default());
        let there = ["stapconf_old.h", "tracequery_kmod_old.o", "stapconf_new.h", "tracequery_kmod_new.o"];
        assert_eq!(there.map(|name| world.file(name).exists()), [true, true, false, false]);
    }

    #[test]
    fn a_diagnosis_lasts_as_long_as_its_part() {
        let world = world();
        world.put("tracequery_kmod_x.o", "");
        let (key, stamp) = (world.key, world.stamp);
        world.warm_ups.accept(key, stamp, WarmUpPart::Scan, Some(Diagnosis::NoTracepoints)).unwrap();
        assert_eq!(world.warm_ups.noted(key, stamp).diagnoses, [Diagnosis::NoTracepoints]);
        world.accept(WarmUpPart::Scan);
        assert_eq!(world.warm_ups.noted(key, stamp).diagnoses, []);
    }

    /// Each was read before the other was written, and the second build made a part again.
    #[test]
    fn two_parts_that_come_about_at_once_are_both_noted() {
        let world = world();
        for _ in 0..200 {
            world.warm_ups.forget(world.key).unwrap();
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                for part in WarmUpPart::ALL {
                    let (world, together) = (&world, &together);
                    scope.spawn(move || {
                        together.wait();
                        world.warm_ups.accept(world.key, world.stamp, part, None).unwrap();
                    });
                }
            });
            let noted = world.warm_ups.noted(world.key, world.stamp).complete;
            assert_eq!(noted, WarmUp { configured: true, scanned: true });
        }
    }
}
