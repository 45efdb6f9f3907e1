//! Writers and readers at the same moment.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{World, bundle, file};
use crate::generation::Look;
use crate::{
    CollectError, CollectOptions, CurrentGeneration, InstallError, InstallOptions, InstallOutcome,
    RollbackError, collect, install, rollback,
};

const WAIT: Duration = Duration::from_secs(300);
const BUNDLES: u64 = 12;

/// Installs one bundle after another, while others roll back, collect and read.
#[test]
fn e10_a_rollback_and_a_collection_at_once_leave_a_generation_that_is_whole_and_every_reader_sees_one() {
    let world = World::new();
    world.install(&bundle(1).bytes()).unwrap();
    let installing = AtomicBool::new(true);
    let meanwhile = || installing.load(Ordering::Relaxed);
    let seen: BTreeSet<u64> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = BTreeSet::new();
                    while meanwhile() {
                        let current = CurrentGeneration::open(&world.host).unwrap().unwrap();
                        let [only] = current.bundles() else { panic!("{:?}", current.refused_bundles()) };
                        assert_eq!(current.first_problem(only, Look::Digests), None);
                        seen.insert(only.serial);
                    }
                    seen
                })
            })
            .collect();
        scope.spawn(|| {
            while meanwhile() {
                match rollback(&world.host, &world.identity, None, None, WAIT) {
                    Ok(_) | Err(RollbackError::NothingOlder { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        scope.spawn(|| {
            let options = CollectOptions {
                keep: 1,
                size: None,
                dry_run: false,
                boot_id: Some("this-boot".to_owned()),
                now: None,
                wait: WAIT,
            };
            while meanwhile() {
                collect(&world.host, &options).map_err(|error: CollectError| error.to_string()).unwrap();
            }
        });
        let options = InstallOptions { wait: WAIT, ..InstallOptions::default() };
        for serial in 2..=BUNDLES {
            let source = file(&bundle(serial).bytes());
            install(&world.host, &world.identity, source, &options, &mut |_| {})
                .map_err(|error: InstallError| error.to_string())
                .unwrap();
        }
        installing.store(false, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    assert!(seen.len() > 1, "{seen:?}");
    let current = world.current();
    assert_eq!(current.first_problem(&current.bundles()[0], Look::Digests), None);
    // Wherever the last rollback went, nothing lower than the newest is taken afterwards.
    let again = world.install(&bundle(BUNDLES - 1).bytes()).map(|report| report.outcome);
    let is_right =
        matches!(again, Err(InstallError::Older { .. }) | Ok(InstallOutcome::AlreadyInstalled { .. }));
    assert!(is_right, "{again:?}");
}
