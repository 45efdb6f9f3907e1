//! Parts of a host on file systems of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::world::{World, bundle};
use crate::generation::Look;

/// Mounts that end with it, the last one first.
struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            unmount(path, UnmountFlags::DETACH).unwrap();
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tmpfs,
    /// Over an empty layer below; it knows no hard links between files of both.
    Overlay,
}

impl Mounts {
    /// File systems of their own at these paths.
    fn new(world: &World, paths: &[&str], kind: Kind) -> Self {
        fixtures::user::needs_root();
        let mut mounts = Self(Vec::new());
        let layers = world.path("layers");
        if kind == Kind::Overlay {
            // Its upper layer can't be on an overlay, as a container's own root may be.
            mounts.tmpfs(&layers);
        }
        for (number, path) in paths.iter().enumerate() {
            let path = world.path(path);
            match kind {
                Kind::Tmpfs => mounts.tmpfs(&path),
                Kind::Overlay => mounts.overlay(&path, &layers.join(number.to_string())),
            }
        }
        mounts
    }

    fn tmpfs(&mut self, path: &Path) {
        fs::create_dir_all(path).unwrap();
        let options = c"size=16m,mode=0755";
        mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options)).unwrap();
        self.0.push(path.to_owned());
    }

    fn overlay(&mut self, path: &Path, layers: &Path) {
        for layer in ["lower", "upper", "work"] {
            fs::create_dir_all(layers.join(layer)).unwrap();
        }
        fs::create_dir_all(path).unwrap();
        let at = layers.display();
        let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
        let options = std::ffi::CString::new(options).unwrap();
        mount("overlay", path, "overlay", MountFlags::empty(), Some(options.as_c_str())).unwrap();
        self.0.push(path.to_owned());
    }
}

fn leads_to_a_module(link: &Path) -> bool {
    fs::read_link(link).is_ok() && fs::read(link).is_ok_and(|module| !module.is_empty())
}

/// Nothing is linked or renamed from one of them to another.
#[test]
fn e09_state_cache_and_modules_may_each_be_on_a_file_system_of_its_own() {
    const PLACES: [&str; 4] = ["var/lib/stap-bundle", "var/cache/systemtap", "lib/modules", "etc/systemtap"];
    let all = || PLACES.iter().map(std::slice::from_ref).chain([&PLACES[..]]);
    let tmpfs = all().map(|places| (places, Kind::Tmpfs));
    for (places, kind) in tmpfs.chain(all().map(|places| (places, Kind::Overlay))) {
        let mut world = World::new();
        let mounts = Mounts::new(&world, places, kind);
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
                assert!(report.compat.is_ok(), "{kind:?} at {places:?}: {:?}", report.compat);
            }
        }
        let current = world.current();
        assert_eq!(current.first_problem(&current.bundles()[0], Look::Digests), None);
        for release in ["6.12.1", "6.12.2"] {
            let link = world.path("var/cache/systemtap").join(release).join("counter.ko");
            assert!(leads_to_a_module(&link), "{kind:?} at {places:?}");
        }
        let wait = std::time::Duration::ZERO;
        crate::rollback(&world.host, &world.identity, None, None, wait).unwrap();
        drop(current);
        drop(mounts);
    }
}
