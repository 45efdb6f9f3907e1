//! Bundles that a farm gone mad, or a thief, would make: one test for each, named after its row of the attack table in
//! `docs/design/threat-coverage.md`. Each is signed properly unless the signature is the attack. Asserted are the exit
//! code, a part of the message that will stay, that nothing at all was written, and that memory was bounded.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic as they may")]

mod containers;
mod deltas;
mod documents;
mod frames;
mod memory;
mod names;
mod signatures;
mod sources;
mod versions;
mod world;

/// Tests that assert one refusal each: `NAME: BUNDLE => EXIT, "message";`.
macro_rules! refused {
    ($($name:ident: $bundle:expr => $exit:literal, $message:expr;)+) => {
        $(
            #[test]
            fn $name() {
                crate::world::refused(&$bundle, $exit, $message);
            }
        )+
    };
}
use refused;

/// The page says which tests prove each row: they are there.
#[test]
fn the_rows_of_the_page_have_their_tests() {
    const PAGE: &str = include_str!("../../../docs/design/threat-coverage.md");
    const SOURCES: &[&str] = &[
        include_str!("containers.rs"),
        include_str!("deltas.rs"),
        include_str!("documents.rs"),
        include_str!("frames.rs"),
        include_str!("memory.rs"),
        include_str!("names.rs"),
        include_str!("signatures.rs"),
        include_str!("sources.rs"),
        include_str!("versions.rs"),
        include_str!("../conversations/media.rs"),
        include_str!("../../../builder/src/artifact_cache/tests.rs"),
        include_str!("../../../builder/src/build/tests.rs"),
        include_str!("../../../builder/src/cache_sharing.rs"),
        include_str!("../conversations/modes.rs"),
        include_str!("../conversations/revocation.rs"),
        include_str!("../conversations/slow_streams.rs"),
        include_str!("../../../bundle-format/src/decoder_tests.rs"),
        include_str!("../../../bundle-format/tests/every_byte.rs"),
        include_str!("../../../bundle-format/tests/fuzz_bodies.rs"),
        include_str!("../../../bundle-format/tests/tar_differential.rs"),
        include_str!("../../../bundle-format/src/part.rs"),
        include_str!("../../../bundle-format/src/strict_json.rs"),
        include_str!("../../../bundle-format/tests/roots.rs"),
        include_str!("../../../installer/src/install/copyist.rs"),
        include_str!("../../../installer/src/tests/choices.rs"),
        include_str!("../../../installer/src/tests/collect.rs"),
        include_str!("../../../installer/src/tests/compat.rs"),
        include_str!("../../../installer/src/tests/faults.rs"),
        include_str!("../../../installer/src/tests/floors.rs"),
        include_str!("../../../installer/src/tests/fsck.rs"),
        include_str!("../../../installer/src/tests/install.rs"),
        include_str!("../../../installer/src/tests/integration.rs"),
        include_str!("../../../installer/src/tests/other_file_systems.rs"),
        include_str!("../../../installer/src/tests/reader.rs"),
        include_str!("../../../installer/src/tests/roots.rs"),
        include_str!("../../../installer/src/tests/side_by_side.rs"),
        include_str!("../../../service/src/module_rules.rs"),
        include_str!("../../../service/src/staprun.rs"),
        include_str!("../../../service/src/tests/cleaning.rs"),
        include_str!("../../../service/src/tests/graph.rs"),
        include_str!("../../../service/src/tests/starting.rs"),
        include_str!("../../../service/tests/installed.rs"),
        include_str!("../../../tests/tests/booted_host/machines/boot.rs"),
        include_str!("../../../tests/tests/booted_host/machines/panicking.rs"),
        include_str!("../conversations/crash.rs"),
        include_str!("../../../signing/src/key_files.rs"),
    ];
    let rows: Vec<&str> =
        PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| row")).collect();
    let ids: Vec<&str> = rows.iter().filter_map(|row| row.split(" | ").next()?.strip_prefix("| ")).collect();
    let section = |letter: char, last: usize| (1..=last).map(move |number| format!("{letter}{number}"));
    let all = section('A', 15)
        .chain(section('B', 12))
        .chain(section('C', 8))
        .chain(section('D', 7))
        .chain(section('E', 12))
        .chain(section('F', 11));
    assert!(all.eq(ids.iter().copied().map(str::to_owned)), "the rows are {ids:?}");
    for row in rows {
        let tests = row.split(" | ").nth(2).unwrap();
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        for name in &named {
            let found = SOURCES.iter().any(|source| {
                source.lines().any(|line| {
                    let line = line.trim_start();
                    line.strip_prefix("fn ").unwrap_or(line).starts_with(name)
                })
            });
            assert!(found, "no test begins with {name}");
        }
        assert!(!named.is_empty() || tests.contains("not built yet") || tests.contains("no date"), "{row}");
    }
}

/// A good bundle is taken by the same commands, or all the refusals would prove nothing.
#[test]
fn the_bundle_that_all_others_were_made_from_is_good() {
    let world = world::World::new();
    world.write("good.stapb", &fixtures::forge::Forge::good().sealed().bytes());
    for line in [
        "verify good.stapb --deep --key farm.pub",
        "extract good.stapb out --key farm.pub",
        "--root host install good.stapb",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
    }
}
