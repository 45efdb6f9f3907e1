//! Row E6: seventeen ways in which another user owns, can write, or has linked what a start believes. In each the other user
//! really can; and the start loads nothing.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use fixtures::user::{NOBODY, give_to, needs_root};

use super::*;

/// A way in which a host isn't as it should be.
struct Layout {
    /// What is changed, below the root.
    place: &'static str,
    change: Change,
    /// A part of the message.
    said: &'static str,
}

/// How.
enum Change {
    Owner,
    Group,
    Mode(u32),
    /// It is moved to a directory of the other user, and a link is in its place.
    Link,
}

const STATE: &str = "var/lib/stap-bundle";
const TRUST: &str = "etc/stap-bundle/trust/default";
const RUN: &str = "run/stap-bundle";
const LOAD: &str = "run/stap-bundle/load";

use Change::{Group, Link, Mode, Owner};

const LAYOUTS: [Layout; 17] = [
    Layout { place: STATE, change: Owner, said: "belongs to user 65534" },
    Layout { place: STATE, change: Group, said: "can be written by others (mode 0775)" },
    Layout { place: STATE, change: Link, said: "belongs to user 65534" },
    Layout { place: "var/lib", change: Mode(0o1777), said: "can be written by others (mode 1777)" },
    Layout { place: "var/lib/stap-bundle/generations", change: Owner, said: "belongs to user 65534" },
    Layout {
        place: "var/lib/stap-bundle/generations/1/kernels",
        change: Owner,
        said: "belongs to user 65534",
    },
    Layout { place: "var/lib/stap-bundle/generations/1/bundles", change: Mode(0o777), said: "(mode 0777)" },
    Layout { place: TRUST, change: Owner, said: "belongs to user 65534" },
    Layout { place: TRUST, change: Mode(0o1777), said: "can be written by others (mode 1777)" },
    Layout { place: "etc/stap-bundle", change: Group, said: "can be written by others (mode 0775)" },
    Layout { place: "etc/stap-bundle/trust", change: Link, said: "link" },
    Layout { place: RUN, change: Owner, said: "user 65534" },
    Layout { place: RUN, change: Mode(0o1777), said: "1777" },
    Layout { place: LOAD, change: Owner, said: "user 65534" },
    Layout { place: LOAD, change: Group, said: "0770" },
    Layout { place: LOAD, change: Mode(0o1777), said: "1777" },
    Layout { place: LOAD, change: Link, said: "load" },
];

impl Layout {
    fn make(&self, world: &World) {
        let path = world.dir.path().join(self.place);
        let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        match self.change {
            Owner => give_to(&path, NOBODY),
            Group => {
                std::os::unix::fs::chown(&path, None, Some(NOBODY)).unwrap();
                mode(if self.place == LOAD { 0o770 } else { 0o775 });
            }
            Mode(bits) => mode(bits),
            Link => {
                let theirs = world.dir.path().join("home/nobody");
                fs::create_dir_all(&theirs).unwrap();
                fs::rename(&path, theirs.join("it")).unwrap();
                for given in [theirs.clone(), theirs.join("it")] {
                    give_to(&given, NOBODY);
                }
                // All these places are as deep.
                symlink("../../home/nobody/it", &path).unwrap();
            }
        }
    }
}

/// Whether the other user can put a file there.
fn others_can_write(path: &Path) -> bool {
    let other = format!("--reuid={NOBODY}");
    let status = Command::new("setpriv")
        .args([&other, &format!("--regid={NOBODY}"), "--clear-groups", "touch"])
        .arg(path.join("of-nobody"))
        .stderr(std::process::Stdio::null())
        .status();
    status.unwrap().success()
}

/// A host on which a start has been, so that everything is there; the other user gets as far as a host lets them.
fn host() -> World {
    let world = World::new();
    world.install(&bundle(1, &["counter"]));
    assert!(world.start().all_run());
    for path in ["", "run", "etc", "var"] {
        fs::set_permissions(world.dir.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!((world.stop(), world.loaded().len()), (0, 0));
    world
}

/// What a start says of it all, with everything in it.
fn start(world: &World) -> String {
    let chain = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text
    };
    let current = match CurrentGeneration::open(&world.root) {
        Ok(current) => current,
        Err(error) => return chain(&error),
    };
    let choice =
        StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
    let own = Configuration::default();
    let service = Service::new(&world.host, &world.identity, current.as_ref(), &own);
    match service.start(&choice, &StartOptions::default(), &|_| ()) {
        Ok(report) => format!("{report:?}"),
        Err(error) => chain(&error),
    }
}

#[test]
fn e6_where_another_user_could_have_written_nothing_is_loaded() {
    needs_root();
    let calls = |world: &World| world.fake.calls().unwrap().len();
    for layout in LAYOUTS {
        let world = host();
        let place = world.dir.path().join(layout.place);
        let before = calls(&world);
        assert!(!others_can_write(&place), "{}: another user could before", layout.place);
        layout.make(&world);
        assert!(others_can_write(&place), "{}: another user can't", layout.place);
        let said = start(&world);
        assert!(said.contains(layout.said), "{}: {said}", layout.place);
        assert_eq!((calls(&world), world.loaded().len()), (before, 0), "{}: {said}", layout.place);
    }
}

/// `CACHE_PATH` isn't believed: links for the initscript are there, and modules that count by the digest in their record only.
#[test]
fn e6_a_cache_of_another_user_changes_nothing_of_what_is_loaded() {
    needs_root();
    let changes = [Owner, Group, Mode(0o1777), Link];
    for change in changes {
        let world = host();
        let layout = Layout { place: "var/cache/systemtap", change, said: "" };
        layout.make(&world);
        let cache = world.dir.path().join(layout.place);
        assert!(others_can_write(&cache));
        let evil = cache.join(RELEASE);
        let _ = fs::remove_dir_all(&evil);
        fs::create_dir(&evil).unwrap();
        fs::write(evil.join("counter.ko"), tiny_module("counter", "evil")).unwrap();
        fs::write(evil.join("stranger.ko"), tiny_module("stranger", VERMAGIC)).unwrap();
        give_to(&evil, NOBODY);
        let report = world.start();
        assert!(report.all_run() && report.scripts.len() == 1, "{report:?}");
        let given = world.fake.calls().unwrap().pop().unwrap().module_sha256;
        assert_eq!(given, Some(Digest::of(&tiny_module("counter", VERMAGIC)).to_string()));
    }
}
