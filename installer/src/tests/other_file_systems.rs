//! Parts of a host on file systems of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::world::{World, bundle};
use crate::generation::Look;

/// Mounts that end with it.
struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in &self.0 {
            unmount(path, UnmountFlags::DETACH).unwrap();
        }
    }
}

/// File systems of their own at these paths; `None` where this user may not mount.
fn mounted(world: &World, paths: &[&str]) -> Option<Mounts> {
    let mut mounts = Mounts(Vec::new());
    for path in paths {
        let path = world.path(path);
        fs::create_dir_all(&path).unwrap();
        let options = c"size=16m,mode=0755";
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(options)).ok()?;
        mounts.0.push(path);
    }
    Some(mounts)
}

fn leads_to_a_module(link: &Path) -> bool {
    fs::read_link(link).is_ok() && fs::read(link).is_ok_and(|module| !module.is_empty())
}

/// Nothing is linked or renamed from one of them to another.
#[test]
fn e09_state_cache_and_modules_may_each_be_on_a_file_system_of_its_own() {
    const PLACES: [&str; 4] = ["var/lib/stap-bundle", "var/cache/systemtap", "lib/modules", "etc/systemtap"];
    for places in PLACES.iter().map(std::slice::from_ref).chain([&PLACES[..]]) {
        let mut world = World::new();
        let Some(mounts) = mounted(&world, places) else {
            eprintln!("not run: only root may mount");
            return;
        };
        // What was there is hidden now.
        for release in ["6.12.1/kernel", "6.12.2/kernel"] {
            fs::create_dir_all(world.path("lib/modules").join(release)).unwrap();
        }
        let trust = crate::TrustStore::open(&world.host).unwrap();
        if trust.trusted_keys().is_empty() {
            drop(trust);
            let key = super::world::public(&super::world::farm());
            crate::TrustStore::open(&world.host)
                .unwrap()
                .add(&world.host, key, None, Duration::ZERO)
                .unwrap();
        }
        for serial in 1..=3 {
            for streams in [false, true] {
                world.streams = streams;
                let report = world.install(&bundle(serial).bytes()).unwrap();
                assert!(report.compat.is_ok(), "{places:?}: {:?}", report.compat);
            }
        }
        let current = world.current();
        assert_eq!(current.first_problem(&current.bundles()[0], Look::Digests), None);
        for release in ["6.12.1", "6.12.2"] {
            let link = world.path("var/cache/systemtap").join(release).join("counter.ko");
            assert!(leads_to_a_module(&link), "{places:?}");
        }
        let wait = std::time::Duration::ZERO;
        crate::rollback(&world.host, &world.identity, None, None, wait).unwrap();
        drop(current);
        drop(mounts);
    }
}
