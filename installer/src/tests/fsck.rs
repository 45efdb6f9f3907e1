//! `fsck` and its mending.

use std::fs;
use std::time::Duration;

use super::world::{Bundle, World, bundle, farm, file, public};
use crate::{BundleSource, Mending, RepairError, TrustStore, fsck, repair_from, repair_from_kept};

const CURRENT: &str = "var/lib/stap-bundle/current";

/// Damages a file of the current generation; the text is the directory of a kernel.
type Spoil = fn(&World, &str);

fn world() -> World {
    let world = World::new();
    world.install_all(&bundle(1).bytes());
    world
}

fn problems(world: &World) -> Vec<(String, Mending)> {
    let report = fsck(&world.host, None, None).unwrap().unwrap();
    report.problems.into_iter().map(|problem| (problem.path, problem.mending)).collect()
}

/// The directory of a kernel's modules in the current generation.
fn kernel(world: &World, release: &str) -> String {
    let current = world.current();
    let kernels = &current.bundles()[0].manifest.kernels;
    kernels.iter().find(|kernel| kernel.release.as_str() == release).unwrap().id.short()
}

#[test]
fn a_whole_generation_is_good_and_every_file_was_read() {
    let world = world();
    let before = world.tree();
    let report = fsck(&world.host, None, None).unwrap().unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.generation, report.files), (1, 9));
    assert_eq!(world.tree(), before);
    assert!(fsck(&World::new().host, None, None).unwrap().is_none());
}

#[test]
fn each_damage_is_named_and_mended() {
    let bytes = bundle(1).bytes();
    let spoils: [(Spoil, Mending); 5] = [
        (
            |world, id| fs::write(world.path(&format!("{CURRENT}/kernels/{id}/counter.ko")), "x").unwrap(),
            Mending::FromKept,
        ),
        (
            |world, id| fs::remove_file(world.path(&format!("{CURRENT}/kernels/{id}/latency.ko"))).unwrap(),
            Mending::FromKept,
        ),
        (
            |world, id| {
                fs::write(world.path(&format!("{CURRENT}/bundles/fleet/sets/{id}.json")), "{}").unwrap();
            },
            Mending::FromKept,
        ),
        (
            |world, _| {
                let path = world.path(&format!("{CURRENT}/bundles/fleet/bundle.stapb"));
                let mut bytes = fs::read(&path).unwrap();
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[last] ^= 1;
                fs::write(path, bytes).unwrap();
            },
            Mending::FromFile,
        ),
        (
            |world, id| fs::write(world.path(&format!("{CURRENT}/kernels/{id}/stray.ko")), "x").unwrap(),
            Mending::NotNeeded,
        ),
    ];
    let ways =
        spoils.into_iter().flat_map(|(spoil, mending)| [(spoil, mending, false), (spoil, mending, true)]);
    for (spoil, mending, streams) in ways {
        let world = World { streams, ..world() };
        spoil(&world, &kernel(&world, "6.13.0"));
        let found = problems(&world);
        assert_eq!(found.iter().map(|found| found.1).collect::<Vec<_>>(), [mending]);
        if mending == Mending::FromKept {
            let report = fsck(&world.host, None, None).unwrap().unwrap();
            let mended = repair_from_kept(&world.host, &world.identity, &report, &world.options, &mut |_| {});
            assert_eq!(mended.unwrap()[0].kernels.len(), 3);
        } else if mending == Mending::FromFile {
            let source =
                if world.streams { BundleSource::stream(bytes.as_slice()) } else { file(&bytes).into() };
            repair_from(&world.host, &world.identity, source, &world.options, &mut |_| {}).unwrap();
        } else {
            continue;
        }
        assert_eq!(problems(&world), []);
        assert_eq!(world.current().number(), 2);
    }
}

#[test]
fn another_bundle_mends_nothing() {
    let world = world();
    let other = Bundle { salt: "other", ..bundle(2) }.bytes();
    let error = repair_from(
        &world.host,
        &world.identity,
        BundleSource::stream(other.as_slice()),
        &world.options,
        &mut |_| {},
    );
    assert!(matches!(error.unwrap_err(), RepairError::OtherBundle { .. }));
    assert_eq!(world.current().number(), 1);
}

#[test]
fn what_is_not_believed_is_told_as_such() {
    let world = world();
    TrustStore::open(&world.host)
        .unwrap()
        .remove(&world.host, &public(&farm()).id().short(), None, Duration::ZERO)
        .unwrap();
    assert_eq!(problems(&world), [("bundles/fleet".to_owned(), Mending::ByTrust)]);
}

#[test]
fn what_no_signature_covers_is_compared_with_what_is_signed() {
    let index = "generation.json";
    let edits: [(&str, Option<(&str, &str)>); 9] = [
        ("stap-bundle-options.conf", Some(("counter", "kounter"))),
        ("stap-bundle-options.conf", None),
        ("stap-bundle.conf", Some(("AUTOCOMPILE", "AUTOKOMPILE"))),
        ("stap-bundle.conf", None),
        (index, None),
        (index, Some(("\"serial\": 1", "\"serial\": 2"))),
        (index, Some(("\"number\": 1", "\"number\": 7"))),
        (index, Some(("\"name\": \"fleet\"", "\"name\": \"float\""))),
        (index, Some(("\"latency\"\n          ]", "\"latency\", \"more\"\n          ]"))),
    ];
    for (document, edit) in edits {
        let world = world();
        let path = world.path(&format!("{CURRENT}/{document}"));
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if let Some((from, to)) = edit {
            assert!(text.contains(from), "{from} in {text}");
            fs::write(&path, text.replace(from, to)).unwrap();
        }
        assert_eq!(problems(&world), [(document.to_owned(), Mending::FromKept)], "{edit:?}");
        let report = fsck(&world.host, None, None).unwrap().unwrap();
        repair_from_kept(&world.host, &world.identity, &report, &world.options, &mut |_| {}).unwrap();
        assert_eq!(problems(&world), [], "{edit:?}");
    }
}
