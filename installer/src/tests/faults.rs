//! Left-overs, full disks, unprotected directories, links where none should be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use files::{FileSystem, Unprotected};

use super::world::{Bundle, World, bundle, farm, file, public, stranger};
use crate::generation::prepare_link;
use crate::{
    BundleSource, HistoryEvent, InstallError, InstallOptions, LockError, TrustError, TrustStore, WriterLock,
    history, install,
};

const STATE: &str = "var/lib/stap-bundle";

#[test]
fn what_a_killed_staging_left_is_removed_by_the_next_install() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let left = world.path("var/lib/stap-bundle/generations/.staging-2/kernels/0123");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("counter.ko"), "half").unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    let names: Vec<_> = fs::read_dir(world.path("var/lib/stap-bundle/generations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
}

#[test]
fn a_generation_that_never_became_current_is_removed_and_raises_no_floor() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let floors = ["floors", "floors.copy"].map(|copy| world.path(&format!("{STATE}/state/{copy}")));
    let before = floors.each_ref().map(|path| fs::read(path).unwrap());
    world.install(&bundle(5).bytes()).unwrap();
    for (path, bytes) in floors.iter().zip(before) {
        fs::write(path, bytes).unwrap();
    }
    // As a cut between steps 4 and 5 leaves it.
    let lock = WriterLock::acquire(&world.host).unwrap();
    prepare_link(lock.state(), ".next", 2).unwrap();
    drop(lock);
    let current = world.path("var/lib/stap-bundle/current");
    fs::remove_file(&current).unwrap();
    symlink("generations/1", &current).unwrap();

    world.install(&bundle(3).bytes()).unwrap();
    assert_eq!(world.current().bundles()[0].serial, 3);
    assert!(!world.path(&format!("{STATE}/.next")).is_symlink());
}

#[test]
fn a_left_over_next_link_never_takes_the_current_generation_along() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    symlink("generations/1", world.path(&format!("{STATE}/.next"))).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    assert!(world.path(&format!("{STATE}/generations/1")).is_dir());
}

#[test]
fn a_rollback_cut_before_its_switch_loses_no_generation() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    symlink("generations/1", world.path(&format!("{STATE}/.back"))).unwrap();
    world.install(&bundle(3).bytes()).unwrap();
    assert!(world.path(&format!("{STATE}/generations/1")).is_dir());
    assert!(!world.path(&format!("{STATE}/.back")).is_symlink());
}

#[test]
fn a_trust_store_that_others_can_write_is_refused() {
    let world = World::new();
    let trust = world.path("etc/stap-bundle/trust/default");
    let pin = trust.join(format!("{}.pub", public(&farm()).id()));
    assert_eq!(fs::metadata(&pin).unwrap().permissions().mode() & 0o7777, 0o644);
    for (path, mode, name) in
        [(&pin, 0o664, ".pub (mode 0664)"), (&trust, 0o777, "default"), (&world.path("etc"), 0o775, "/etc")]
    {
        let before = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let error = match TrustStore::open(&world.host) {
            Err(error) => error,
            Ok(mut store) => {
                assert!(store.list().is_empty() && store.trusted_keys().is_empty());
                store.take_problem().unwrap()
            }
        };
        let (TrustError::Unprotected(found) | TrustError::UnprotectedPin { source: found, .. }) = error
        else {
            panic!("{error}")
        };
        assert!(matches!(found, Unprotected::Writable { .. }), "{found}");
        let found = found.to_string();
        assert!(
            found.contains(name.split(' ').next().unwrap()) && found.contains(&format!("{mode:04o}")),
            "{found}"
        );
        assert!(matches!(world.install(&bundle(1).bytes()).unwrap_err(), InstallError::Trust(_)));
        fs::set_permissions(path, before).unwrap();
    }
    assert_eq!(TrustStore::open(&world.host).unwrap().list().len(), 1);
}

#[test]
fn a_linked_trust_store_is_refused() {
    let world = World::new();
    fs::rename(world.path("etc/stap-bundle"), world.path("moved")).unwrap();
    symlink("../moved", world.path("etc/stap-bundle")).unwrap();
    assert!(matches!(TrustStore::open(&world.host).unwrap_err(), TrustError::Unprotected(_)));
}

#[test]
fn pins_are_added_once_and_removed_by_a_clear_prefix() {
    let world = World::new();
    let mut trust = TrustStore::open(&world.host).unwrap();
    assert!(!trust.add(&world.host, public(&farm()), None, Duration::ZERO).unwrap().changed);
    assert!(trust.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap().changed);
    assert_eq!(TrustStore::open(&world.host).unwrap().list().len(), 2);
    assert!(matches!(
        trust.remove(&world.host, "", None, Duration::ZERO).unwrap_err(),
        TrustError::Unknown { .. }
    ));
    assert!(matches!(
        trust.remove(&world.host, "zz", None, Duration::ZERO).unwrap_err(),
        TrustError::Unknown { .. }
    ));
    let id = public(&stranger()).id();
    assert_eq!(trust.remove(&world.host, &id.short(), None, Duration::ZERO).unwrap().key, id);
    assert_eq!(TrustStore::open(&world.host).unwrap().list(), [public(&farm())]);
    // Who is believed to load modules here is for the record too.
    let events: Vec<_> = history(&world.host).unwrap().into_iter().map(|record| record.event).collect();
    let domain = crate::Domain::default;
    let pinned = |key| HistoryEvent::Trust { domain: domain(), bundles: Vec::new(), key };
    let removed = HistoryEvent::Distrust { domain: domain(), key: id };
    assert_eq!(events, [pinned(public(&farm()).id()), pinned(id), removed]);
}

#[test]
fn a_change_of_trust_waits_for_another_writer() {
    let world = World::new();
    let lock = WriterLock::acquire(&world.host).unwrap();
    let mut trust = TrustStore::open(&world.host).unwrap();
    let refused = trust.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap_err();
    assert!(matches!(refused, TrustError::Lock(LockError::Locked(_))), "{refused}");
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        drop(lock);
    });
    assert!(trust.add(&world.host, public(&stranger()), None, Duration::from_secs(60)).unwrap().changed);
    other.join().unwrap();
}

#[test]
fn a_pin_under_another_key_s_name_is_passed_over() {
    let world = World::new();
    let trust = world.path("etc/stap-bundle/trust/default");
    let pin = trust.join(format!("{}.pub", public(&farm()).id()));
    fs::rename(pin, trust.join(format!("{}.pub", public(&stranger()).id()))).unwrap();
    let store = TrustStore::open(&world.host).unwrap();
    assert!(store.list().is_empty());
    assert!(matches!(store.problems(), [TrustError::Name { .. }]), "{:?}", store.problems());
    assert!(matches!(
        world.install(&bundle(1).bytes()).unwrap_err(),
        InstallError::Trust(TrustError::Name { .. })
    ));
}

#[test]
fn a_stray_pin_takes_nothing_from_the_others() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let trust = world.path("etc/stap-bundle/trust/default");
    fs::write(trust.join("note.pub"), "no key").unwrap();
    fs::write(trust.join("copy.pub"), public(&stranger()).to_pem().unwrap()).unwrap();
    fs::create_dir(trust.join("directory.pub")).unwrap();
    symlink(format!("{}.pub", public(&farm()).id()), trust.join("link.pub")).unwrap();
    let mut store = TrustStore::open(&world.host).unwrap();
    let files: Vec<_> = store.problems().iter().map(|problem| problem.file().unwrap()).collect();
    assert_eq!(files, ["copy.pub", "directory.pub", "link.pub", "note.pub"]);
    assert_eq!(store.list(), [public(&farm())]);
    assert_eq!(world.current().bundles().len(), 1);
    world.install(&bundle(2).bytes()).unwrap();
    let strange = Bundle { name: "other", scripts: vec!["x"], key: stranger(), ..bundle(1) };
    assert!(matches!(world.install(&strange.bytes()).unwrap_err(), InstallError::Bundle(_)));
    store.remove(&world.host, &public(&farm()).id().short(), None, Duration::ZERO).unwrap();
    assert!(world.current().bundles().is_empty());
}

#[test]
fn adding_a_key_mends_its_own_bad_pin() {
    let world = World::new();
    let file = format!("{}.pub", public(&stranger()).id());
    fs::write(world.path(&format!("etc/stap-bundle/trust/default/{file}")), "no key").unwrap();
    let mut store = TrustStore::open(&world.host).unwrap();
    assert_eq!(store.problems()[0].file(), Some(file.as_str()));
    store.add(&world.host, public(&stranger()), None, Duration::ZERO).unwrap();
    assert!(store.problems().is_empty());
    assert!(TrustStore::open(&world.host).unwrap().problems().is_empty());
}

#[test]
fn no_path_leads_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let world = World::new();
    symlink(outside.path(), world.path("absolute")).unwrap();
    symlink("../../../../../../../../..", world.path("climbing")).unwrap();
    assert!(world.host.open_dir("/absolute").unwrap_err().is_not_found());
    assert!(world.host.read_file("/absolute/secret", 10).is_err());
    let climbed = world.host.open_dir("/climbing").unwrap().entries().unwrap();
    assert_eq!(climbed, world.host.open_dir("/").unwrap().entries().unwrap());
    let root = world.host.open_dir("/").unwrap();
    for name in ["absolute", "..", ".", "", "lib/modules"] {
        assert!(root.open_dir(name).is_err(), "{name}");
    }
}

#[test]
fn a_staging_directory_swapped_for_a_link_harms_nothing_outside() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    fs::create_dir(world.path("precious")).unwrap();
    fs::write(world.path("precious/file"), "kept").unwrap();
    symlink("../../../../precious", world.path(&format!("{STATE}/generations/.staging-9"))).unwrap();
    world.install(&bundle(2).bytes()).unwrap();
    assert_eq!(fs::read_to_string(world.path("precious/file")).unwrap(), "kept");
}

#[test]
fn a_full_disk_is_said_to_be_one_and_the_old_generation_stays() {
    fixtures::user::needs_root();
    let mount_point = tempfile::tempdir().unwrap();
    let flags = rustix::mount::MountFlags::empty();
    let size = c"size=256k,mode=0755";
    rustix::mount::mount("tmpfs", mount_point.path(), "tmpfs", flags, Some(size)).unwrap();
    let host = FileSystem::open(mount_point.path()).unwrap();
    let outcome = std::panic::catch_unwind(|| full_disk(&host, mount_point.path()));
    drop(host);
    rustix::mount::unmount(mount_point.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    outcome.unwrap();
}

fn full_disk(host: &FileSystem, root: &std::path::Path) {
    TrustStore::open(host).unwrap().add(host, public(&farm()), None, Duration::ZERO).unwrap();
    let identity = World::new().identity;
    let install = |bytes: &[u8], streams: bool| {
        let source = if streams { BundleSource::stream(bytes) } else { file(bytes).into() };
        install(host, &identity, source, &InstallOptions::default(), &mut |_| {})
    };
    install(&bundle(1).bytes(), false).unwrap();
    let fill = root.join("fill");
    let mut failures = 0;
    for (room, streams) in (0..40).rev().flat_map(|room| [(room, false), (room, true)]) {
        let _ = fs::remove_file(&fill);
        let free = rustix::fs::statvfs(root).unwrap();
        let blocks = usize::try_from(free.f_bavail * free.f_frsize).unwrap() / 4096;
        let Some(size) = blocks.checked_sub(room) else { continue };
        fs::write(&fill, vec![0; size * 4096]).unwrap();
        match install(&bundle(2).bytes(), streams) {
            Ok(report) if report.compat.is_ok() => rollback_and_remove(host, &identity, root),
            Ok(_) => rollback_and_remove(host, &identity, root),
            Err(InstallError::NoSpace { needed, source, .. }) => {
                assert!(needed > 0 && source.is_none_or(|error| error.is_no_space()));
                failures += 1;
                assert_eq!(crate::CurrentGeneration::open(host).unwrap().unwrap().number(), 1);
                assert_eq!(fs::read_dir(root.join("var/lib/stap-bundle/generations")).unwrap().count(), 1);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(failures > 10, "{failures} of 80 installs met a full disk");
    fs::remove_file(&fill).unwrap();
    install(&bundle(2).bytes(), false).unwrap();
}

fn rollback_and_remove(host: &FileSystem, identity: &crate::HostIdentity, root: &std::path::Path) {
    let newest = crate::CurrentGeneration::open(host).unwrap().unwrap().number();
    let _ = fs::remove_file(root.join("fill"));
    crate::rollback(host, identity, Some(1), None, std::time::Duration::ZERO).unwrap();
    fs::remove_dir_all(root.join(format!("var/lib/stap-bundle/generations/{newest}"))).unwrap();
}

#[test]
fn of_many_writers_at_once_each_installs_or_is_turned_away() {
    let world = World::new();
    let bytes = bundle(1).bytes();
    let installed = std::thread::scope(|scope| {
        let one = || match world.install(&bytes) {
            Ok(_) => 1,
            Err(InstallError::Lock(LockError::Locked(_))) => 0,
            Err(other) => panic!("{other:?}"),
        };
        let all: Vec<_> = (0..20).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert!(installed >= 1);
    assert_eq!(world.current().number(), 1);
}

#[test]
fn a_lock_on_an_empty_host_leaves_no_trace() {
    let world = World::new();
    let before = world.tree();
    drop(WriterLock::acquire(&world.host).unwrap());
    assert_eq!(world.tree(), before);
}
