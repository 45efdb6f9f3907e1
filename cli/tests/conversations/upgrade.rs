//! The present program on state of 0.1.0: `fixtures/state/0.1.0.tar.gz`, which the program of that version left with scripts running
//! (`fixtures/state/make-0.1.0.sh` says how). The archive never changes; what is kept on hosts is read for ever.

use std::fs;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use crate::made_up_kernel::{loaded, start, stop};
use crate::world::{Said, TestWorld};

/// A host as 0.1.0 left it: generations 1 to 3, the first one pinned; scripts `counter` and `latency` of bundle `team` run, `crasher` of
/// bundle `other` is the boot guard's culprit, `mine` was compiled there.
struct Old {
    world: TestWorld,
    host: PathBuf,
    release: String,
}

impl Old {
    fn unpack() -> Self {
        let world = TestWorld::new();
        let host = world.path("host");
        fs::remove_dir_all(&host).unwrap();
        let packed: &[u8] =
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/state/0.1.0.tar.gz"));
        tar::Archive::new(GzDecoder::new(packed)).unpack(world.work()).unwrap();
        let release = fs::read_to_string(world.path("kernel")).unwrap().trim().to_owned();
        Self { world, host, release }
    }

    /// Runs a command that must end like this.
    fn ends(&self, line: &str, exit: i32) -> Said {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let said = self.world.run(&format!("{command} --root host {rest}"));
        assert_eq!(said.exit, Some(exit), "{said}");
        said
    }

    /// As the same host comes up again.
    fn reboot(&self, boot: &str) {
        fs::write(self.host.join("proc/sys/kernel/random/boot_id"), format!("{boot}\n")).unwrap();
        fs::write(self.host.join("proc/modules"), "").unwrap();
        for gone in ["run/stap-bundle", "proc/systemtap", "var/run"] {
            fs::remove_dir_all(self.host.join(gone)).unwrap();
        }
    }

    fn state(&self, name: &str) -> String {
        fs::read_to_string(self.host.join("var/lib/stap-bundle/state").join(name)).unwrap()
    }
}

#[test]
fn state_of_0_1_0_is_shown_whole_and_not_changed_by_a_look() {
    let old = Old::unpack();
    // A reader that is root makes the lock of a generation that has none.
    let tree =
        || -> Vec<_> { old.world.tree().into_iter().filter(|(path, _)| !path.ends_with("lock")).collect() };
    let before = tree();
    let status = old.ends("status", 0);
    for word in ["generation 3", "bundle other 1.1", "bundle team 1.2", "while crasher was started"] {
        assert!(status.to_string().contains(word), "{status}");
    }
    for script in ["counter  running", "latency  running", "crasher  stopped"] {
        assert!(status.stdout.contains(script), "{status}");
    }
    let list = old.ends("list", 0);
    for word in ["1 (pinned)", "3 (current)", "team 1.1", "team 1.2", "other 1.1", old.release.as_str()] {
        assert!(list.stdout.contains(word), "{list}");
    }
    let history = old.ends("history", 0);
    for word in ["pinned key", "installed team 1.1 as generation 1", "pinned generation 1", "accepted root 1"]
    {
        assert!(history.stdout.contains(word), "{history}");
    }
    assert_eq!(history.stdout.lines().count(), 6, "{history}");
    assert!(!history.stdout.contains("not known"), "{history}");
    let fsck = old.ends("fsck", 0);
    assert!(fsck.stdout.contains("good: generation 3"), "{fsck}");
    old.ends("fsck --generation 1", 0);
    assert!(old.ends("boot-guard show", 0).stdout.contains("left out: crasher"));
    assert!(old.ends("trust list", 0).stdout.contains("root 1"));
    assert!(tree() == before);
}

#[test]
fn what_0_1_0_started_is_stopped_and_started_again() {
    let old = Old::unpack();
    assert_eq!(loaded(&old.host), ["counter", "latency"]);
    let report = stop(&old.host, &old.release);
    assert_eq!((report.exit_code(), report.scripts.len(), report.warnings.len()), (0, 2, 0), "{report:?}");
    assert_eq!(report.scripts[0].script.as_str(), "latency");
    assert!(loaded(&old.host).is_empty());
    // The boot guard remembers across the upgrade; what was compiled here is there too.
    old.reboot("boot-after-the-upgrade");
    let report = start(&old.host, &old.release, true).unwrap();
    assert_eq!(report.exit_code(), 0, "{report:?}");
    assert_eq!(loaded(&old.host), ["counter", "latency", "mine"]);
    let left_out: Vec<&str> = report.left_out.iter().map(|left| left.script.as_str()).collect();
    assert_eq!(left_out, ["crasher"]);
}

#[test]
fn an_upgraded_host_takes_newer_bundles_and_goes_back_to_a_generation_of_0_1_0() {
    let old = Old::unpack();
    // Judged by the chain that 0.1.0 accepted, and by its floors.
    assert!(!old.state("floors").contains("\"format\""));
    let said = old.ends("install next/team-3.stapb", 0);
    assert!(said.stdout.contains("installed: team 1.3 as generation 4"), "{said}");
    assert!(!said.stderr.contains("warning"), "{said}");
    assert!(
        old.state("floors").contains("\"format\": 1") && old.state("floors.copy").contains("\"format\": 1")
    );
    let older = old.host.join("var/lib/stap-bundle/generations/1/bundles/team/bundle.stapb");
    fs::copy(older, old.world.path("team-1.stapb")).unwrap();
    old.ends("install team-1.stapb", 13);
    old.ends("fsck", 0);
    // Scripts that 0.1.0 started from another generation are stopped all the same.
    assert_eq!(stop(&old.host, &old.release).exit_code(), 0);
    assert!(loaded(&old.host).is_empty());
    let said = old.ends("rollback", 0);
    assert!(said.stdout.contains('3'), "{said}");
    old.ends("fsck", 0);
    old.ends("install next/other-2.stapb", 0);
    let history = old.ends("history", 0);
    assert!(history.stdout.contains("installed other 1.2 as generation 5, after 3"), "{history}");
    // Other bundles: the boot guard starts over, with `crasher`.
    old.reboot("boot-after-other-2");
    start(&old.host, &old.release, true).unwrap();
    assert_eq!(loaded(&old.host), ["counter", "crasher", "latency", "mine"]);
    old.ends("gc --keep 1", 0);
    let list = old.ends("list", 0);
    assert!(list.stdout.contains("1 (pinned)") && list.stdout.contains("5 (current)"), "{list}");
    old.ends("uninstall other", 0);
}
