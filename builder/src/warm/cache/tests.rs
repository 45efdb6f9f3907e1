use std::fs;

use super::super::parts::WarmUp;
use super::*;
use crate::sandbox::{JobDirectory, Sandbox};

struct World {
    base: tempfile::TempDir,
    warm_ups: WarmUps,
    key: WarmUpKey,
    stamp: Digest,
}

fn world() -> World {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("warm")).unwrap();
    fs::create_dir(base.path().join("work")).unwrap();
    let warm_ups = WarmUps::new(base.path().join("warm"));
    let world = World { base, warm_ups, key: WarmUpKey::of_test("key"), stamp: Digest::of(b"stamp") };
    world.prepare();
    world
}

const OBJECT: &str = "ab/tracequery_kmod_x.o";
const HEADER: &str = "cd/stapconf_x.h";
const SCANNED: WarmUp = WarmUp { configured: false, scanned: true };
const BOTH: WarmUp = WarmUp { configured: true, scanned: true };

impl World {
    /// As the next build does it.
    fn prepare(&self) -> WarmUp {
        self.prepared().complete
    }

    fn prepared(&self) -> Warm {
        self.warm_ups.lock().clear();
        self.warm_ups.prepare(self.key, self.stamp).unwrap()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.warm_ups.store(self.key).join(path)
    }

    /// A leader's layer, in a job's directory.
    fn layer(&self) -> (JobDirectory, WarmLayer) {
        let parent = Directory::at_path(&self.base.path().join("work")).unwrap();
        let work = JobDirectory::new(parent, false, Sandbox::without_user_change().lease().unwrap()).unwrap();
        let layer = WarmLayer::lay(&work, self.warm_ups.files(self.key)).unwrap();
        (work, layer)
    }

    /// As a leader that has left these files.
    fn lead(&self, part: WarmUpPart, files: &[(&str, &str)]) {
        let (work, layer) = self.layer();
        for (path, text) in files {
            put(&work, path, text);
        }
        let taken = self.warm_ups.take_over(self.key, &layer, WarmKind::Part(part)).unwrap();
        self.warm_ups.accept(self.key, self.stamp, part, taken, None);
    }
}

/// As stap puts a file into its cache: in one step, whatever is there.
fn put(work: &JobDirectory, path: &str, text: &str) {
    let path = work.path().join("stapdir/cache").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path.with_extension("new"), text).unwrap();
    fs::rename(path.with_extension("new"), path).unwrap();
}

#[test]
fn a_part_is_there_for_the_next_build() {
    let world = world();
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object"), ("ab/tracequery_kmod_empty.o", "")]);
    assert_eq!(world.prepare(), SCANNED);
    world.lead(WarmUpPart::Configuration, &[(HEADER, "#define STAPCONF_A 1")]);
    assert_eq!(world.prepare(), BOTH);
    let (work, layer) = world.layer();
    let names: Vec<String> = world.warm_ups.files(world.key).into_keys().collect();
    assert_eq!(names, ["ab/tracequery_kmod_empty.o", OBJECT, HEADER]);
    // A link for each, and nothing that stap would have had to make.
    for name in &names {
        let target = fs::read_link(work.path().join("stapdir/cache").join(name)).unwrap();
        assert_eq!(target, Path::new("/mnt/warm").join(name));
    }
    assert_eq!(layer.missed().unwrap(), []);
    // stap writes its configuration tests back, whether it has made them or not.
    put(&work, HEADER, "#define STAPCONF_A 1");
    put(&work, "ef/stapconf_other.h", "#define STAPCONF_A 1");
    let missed = [(WarmKind::Part(WarmUpPart::Configuration), "ef/stapconf_other.h".to_owned())];
    assert_eq!(layer.missed().unwrap(), missed);
}

#[test]
fn what_has_no_note_is_removed() {
    let world = world();
    let (work, layer) = world.layer();
    put(&work, OBJECT, "object");
    world.warm_ups.take_over(world.key, &layer, WarmKind::Part(WarmUpPart::Scan)).unwrap();
    assert!(world.file(OBJECT).exists());
    assert_eq!(world.prepare(), WarmUp::default());
    assert!(!world.file(OBJECT).exists());
}

/// What jobs owned in the layout of 0.1.0 is worth nothing.
#[test]
fn what_belonged_to_the_user_of_jobs_is_removed() {
    let world = world();
    let old = world.warm_ups.path(world.key).join("cache/ab");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("stapconf_x.h"), "#define STAPCONF_A 1").unwrap();
    let note = r#"{"format":2,"stamp":null,"configuration":{"ab/stapconf_x.h":20}}"#;
    fs::write(world.warm_ups.note_file(world.key), note).unwrap();
    assert_eq!(world.prepare(), WarmUp::default());
    assert!(!old.exists());
}

#[test]
fn a_file_that_was_changed_with_its_length_kept_is_made_again() {
    let world = world();
    world.lead(WarmUpPart::Configuration, &[(HEADER, "#define STAPCONF_A 1\n#define STAPCONF_B 1\n")]);
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    // Read once more by the next build, and then known by its stamp.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(world.prepare(), BOTH);
    let changed = fs::metadata(world.file(HEADER)).unwrap().modified().unwrap();
    fs::write(world.file(HEADER), "asm(\".section .modinfo…\");\n              ").unwrap();
    assert_eq!(fs::metadata(world.file(HEADER)).unwrap().len(), 42 + 1);
    fs::File::open(world.file(HEADER)).unwrap().set_modified(changed).unwrap();
    let found = world.prepared();
    assert_eq!((found.complete, found.changed.as_slice()), (SCANNED, &[HEADER.to_owned()][..]));
    assert!(!world.file(HEADER).exists());
    assert_eq!(world.prepared().changed, [""; 0]);
}

#[test]
fn a_stamp_is_believed_unless_all_is_to_be_read() {
    let mut world = world();
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(world.prepare(), SCANNED);
    // As if the disk had other bytes by now.
    let note = fs::read_to_string(world.warm_ups.note_file(world.key)).unwrap();
    assert!(note.contains("\"stamp\":{"), "{note}");
    let other = note.replace(&Digest::of(b"object").to_string(), &Digest::of(b"other").to_string());
    fs::write(world.warm_ups.note_file(world.key), other).unwrap();
    assert_eq!(world.prepare(), SCANNED);
    world.warm_ups = WarmUps::new(world.base.path().join("warm")).reading_all(true);
    assert_eq!(world.prepare(), WarmUp::default());
}

#[test]
fn what_is_missing_or_cut_short_is_made_again_and_nothing_else() {
    let world = world();
    let all = [(OBJECT, "object"), ("ab/tracequery_kmod_y.o", "object"), ("ab/tracequery_kmod_empty.o", "")];
    world.lead(WarmUpPart::Scan, &all);
    fs::remove_file(world.file(OBJECT)).unwrap();
    assert_eq!(world.prepare(), WarmUp::default());
    assert!(world.file("ab/tracequery_kmod_y.o").exists());
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    assert_eq!(world.prepare(), SCANNED);
    fs::write(world.file(OBJECT), "").unwrap();
    assert_eq!(world.prepare(), WarmUp::default());
    assert!(!world.file(OBJECT).exists() && world.file("ab/tracequery_kmod_empty.o").exists());
}

#[test]
fn a_touched_sysroot_makes_nothing_complete_and_removes_nothing() {
    let mut world = world();
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    world.stamp = Digest::of(b"touched");
    assert_eq!(world.prepare(), WarmUp::default());
    assert!(world.file(OBJECT).exists());
    world.lead(WarmUpPart::Scan, &[]);
    assert_eq!(world.prepare(), SCANNED);
}

#[test]
fn only_plain_files_of_stap_s_names_are_taken_over() {
    let world = world();
    let (work, layer) = world.layer();
    let shelf = work.path().join("stapdir/cache/ab");
    fs::create_dir_all(&shelf).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", shelf.join("tracequery_link.o")).unwrap();
    std::os::unix::fs::symlink("/etc", work.path().join("stapdir/cache/cd")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, shelf.join("tracequery_fifo.o"), fifo, mode, 0).unwrap();
    fs::create_dir(shelf.join("tracequery_directory.o")).unwrap();
    put(&work, "ab/other.txt", "x");
    put(&work, "zz/tracequery_z.o", "x");
    put(&work, "ab/tracequery_x.o", "object");
    let taken = world.warm_ups.take_over(world.key, &layer, WarmKind::Part(WarmUpPart::Scan)).unwrap();
    assert_eq!(taken.into_keys().collect::<Vec<_>>(), ["ab/tracequery_x.o"]);
    fs::File::create(shelf.join("tracequery_huge.o")).unwrap().set_len(1 << 40).unwrap();
    world.warm_ups.take_over(world.key, &layer, WarmKind::Part(WarmUpPart::Scan)).unwrap_err();
}

#[test]
fn a_diagnosis_lasts_as_long_as_its_part() {
    let world = world();
    let key = world.key;
    let stamp = world.stamp;
    let diagnosis = Some(Diagnosis::NoTracepoints);
    world.warm_ups.accept(key, stamp, WarmUpPart::Scan, WarmFiles::new(), diagnosis);
    assert_eq!(world.warm_ups.noted(key, stamp).diagnoses, [Diagnosis::NoTracepoints]);
    world.warm_ups.accept(key, stamp, WarmUpPart::Scan, WarmFiles::new(), None);
    assert_eq!(world.warm_ups.noted(key, stamp).diagnoses, []);
}

#[test]
fn two_parts_that_come_about_at_once_are_both_noted() {
    let world = world();
    for _ in 0..200 {
        fs::remove_file(world.warm_ups.note_file(world.key)).unwrap_or_default();
        world.warm_ups.lock().clear();
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for part in WarmUpPart::ALL {
                let world = &world;
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    world.warm_ups.accept(world.key, world.stamp, part, WarmFiles::new(), None);
                });
            }
        });
        assert_eq!(world.warm_ups.noted(world.key, world.stamp).complete, BOTH);
    }
}

#[test]
fn a_note_that_can_not_be_written_fails_nothing() {
    let world = world();
    // A directory of its name is in the note's way.
    fs::create_dir(world.warm_ups.note_file(world.key)).unwrap();
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    assert_eq!(world.warm_ups.files(world.key).len(), 1);
    assert_eq!(world.warm_ups.prepare(world.key, world.stamp).unwrap().complete, SCANNED);
    assert!(world.warm_ups.notes.warning().is_some());
}

#[test]
fn headers_that_were_scanned_are_added_to_and_forgotten_with_any_object() {
    let world = world();
    let key = world.key;
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let view = |names: &[&str]| TraceView::Only(set(names));
    let scan = |headers: &[&str], tracepoints: &[&str], file: &str| {
        let (work, layer) = world.layer();
        put(&work, file, "object");
        let taken = world.warm_ups.take_over(key, &layer, WarmKind::Part(WarmUpPart::Scan)).unwrap();
        let scan = Scan { view: view(headers), tracepoints: set(tracepoints) };
        world.warm_ups.accept_scan(key, world.stamp, scan, taken);
    };
    let has = |names: &[&str]| world.warm_ups.has_scanned(key, &view(names));
    scan(&["sched.h"], &["sched_switch"], OBJECT);
    scan(&["block.h"], &["block_rq_issue"], "ab/tracequery_kmod_y.o");
    let found = world.prepared();
    assert_eq!((found.complete, found.is_scanned_in_part), (WarmUp::default(), true));
    assert!(has(&["block.h", "sched.h"]) && has(&[]) && !has(&["block.h", "irq.h"]));
    assert!(!world.warm_ups.has_scanned(key, &TraceView::Whole));
    let lacks = |headers: &[&str], names: &[&str]| world.warm_ups.lacks(key, &view(headers), &set(names));
    assert!(lacks(&["sched.h"], &["task"]) && !lacks(&["sched.h"], &["sched_switch"]));
    // What wasn't looked at isn't known.
    assert!(!lacks(&["irq.h"], &["task"]));
    fs::remove_file(world.file(OBJECT)).unwrap();
    assert!(!world.prepared().is_scanned_in_part && !has(&["block.h"]));
    assert!(world.file("ab/tracequery_kmod_y.o").exists());
    // A full scan has seen everything.
    world.lead(WarmUpPart::Scan, &[(OBJECT, "object")]);
    assert!(has(&["irq.h"]) && world.warm_ups.has_scanned(key, &TraceView::Whole));
}
