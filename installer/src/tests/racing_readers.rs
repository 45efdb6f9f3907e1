//! A reader beside a writer that takes trust, or generations, away.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{World, public, stranger};
use crate::{Pin, PinPlace, TrustStore};

#[test]
fn no_reader_fails_for_a_domain_or_a_pin_that_is_removed_meanwhile() {
    let world = World::new();
    let host = &world.host;
    let done = AtomicBool::new(false);
    let read = || {
        let mut times = 0;
        while !done.load(Ordering::Relaxed) {
            let store = TrustStore::open(host).unwrap();
            assert!(store.problems().is_empty(), "{:?}", store.problems());
            times += 1;
        }
        times
    };
    let write = || {
        let place = PinPlace { domain: "team".parse().unwrap(), bundles: vec!["team-*".parse().unwrap()] };
        let key = public(&stranger());
        for _ in 0..100 {
            let mut store = TrustStore::open(host).unwrap();
            store.add_to(host, &place, &Pin::Key(key.clone()), None, Duration::ZERO).unwrap();
            store.remove(host, &key.id().to_string(), None, Duration::ZERO).unwrap();
            TrustStore::remove_domain(host, &place.domain, None, Duration::ZERO).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let times: u32 = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
        scope.spawn(write);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(times > 10, "{times}");
}

#[test]
fn no_reader_fails_for_an_older_generation_that_is_removed_meanwhile() {
    let world = World::new();
    let host = &world.host;
    let older = world.path("/var/lib/stap-bundle/generations/9");
    let bundle = older.join("bundles/scripts");
    fs::create_dir_all(&bundle).unwrap();
    let done = AtomicBool::new(false);
    let read = || {
        while !done.load(Ordering::Relaxed) {
            TrustStore::open(host).unwrap();
        }
    };
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(read)));
        scope.spawn(|| {
            for _ in 0..1000 {
                fs::remove_dir_all(&older).unwrap();
                fs::create_dir_all(&bundle).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}
