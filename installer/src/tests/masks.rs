//! Masks of scripts: what is kept of them, and what a file says that can't be read.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use bundle_format::ScriptName;

use super::world::World;
use crate::{HistoryEvent, Mask, MaskReport, MasksError, NewerState, Unmasked, history, mask, masks, unmask};

const FILE: &str = "var/lib/stap-bundle/state/masks.json";

fn names(text: &str) -> BTreeSet<ScriptName> {
    text.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

fn masked(world: &World, text: &str) -> MaskReport {
    mask(&world.host, &names(text), "alice", Some(100), Duration::ZERO).unwrap()
}

fn unmasked(world: &World, which: Unmasked<'_>) -> Result<MaskReport, MasksError> {
    unmask(&world.host, which, "bob", Some(200), Duration::ZERO)
}

fn seen(world: &World) -> BTreeSet<ScriptName> {
    masks(&world.host).unwrap().into_keys().collect()
}

#[test]
fn a_mask_stays_with_who_and_when_until_it_is_taken_away() {
    let world = World::new();
    assert!(masks(&world.host).unwrap().is_empty());
    masked(&world, "counter latency");
    let expected = Mask { since: Some(100), by: "alice".to_owned() };
    assert_eq!(masks(&world.host).unwrap()["counter".parse::<ScriptName>().as_ref().unwrap()], expected);
    // A second mask doesn't change who did it first.
    let again = mask(&world.host, &names("counter other"), "bob", Some(150), Duration::ZERO).unwrap();
    assert_eq!(
        (again.changed, again.unchanged),
        (vec!["other".parse().unwrap()], vec!["counter".parse().unwrap()])
    );
    assert_eq!(masks(&world.host).unwrap()["counter".parse::<ScriptName>().as_ref().unwrap()], expected);
    let report = unmasked(&world, Unmasked::Named(&names("counter absent"))).unwrap();
    assert_eq!(
        (report.changed, report.unchanged),
        (vec!["counter".parse().unwrap()], vec!["absent".parse().unwrap()])
    );
    assert_eq!(seen(&world), names("latency other"));
    unmasked(&world, Unmasked::All).unwrap();
    assert!(seen(&world).is_empty());
    let events = history(&world.host).unwrap().into_iter().map(|record| record.event);
    let of_masks =
        |event: &HistoryEvent| matches!(event, HistoryEvent::Mask { .. } | HistoryEvent::Unmask { .. });
    let events: Vec<HistoryEvent> = events.filter(of_masks).collect();
    let unmask = |scripts: &str| HistoryEvent::Unmask {
        scripts: names(scripts).into_iter().collect(),
        by: "bob".to_owned(),
        damaged: false,
    };
    assert_eq!(events.len(), 4);
    assert_eq!(
        events[0],
        HistoryEvent::Mask {
            scripts: names("counter latency").into_iter().collect(),
            by: "alice".to_owned()
        }
    );
    assert_eq!(events[2..], [unmask("counter"), unmask("latency other")]);
}

#[test]
fn what_changes_no_mask_writes_nothing() {
    let world = World::new();
    masked(&world, "counter");
    let before = world.tree();
    masked(&world, "counter");
    unmasked(&world, Unmasked::Named(&names("absent"))).unwrap();
    assert_eq!(world.tree(), before);
}

#[test]
fn a_damaged_file_is_unknown_and_only_unmasking_all_replaces_it() {
    let world = World::new();
    masked(&world, "counter");
    for text in [
        "",
        "{",
        "{\"format\":1}",
        "{\"format\":0,\"masks\":{}}",
        "{\"format\":1,\"masks\":{\"../x\":{\"since\":1,\"by\":\"\"}}}",
        "{\"format\":1,\"masks\":{\"x\":{\"since\":1,\"by\":\"\",\"more\":1}}}",
    ] {
        fs::write(world.path(FILE), text).unwrap();
        let before = world.tree();
        assert!(matches!(masks(&world.host), Err(MasksError::Damaged { .. })), "{text}");
        let error = mask(&world.host, &names("a"), "alice", None, Duration::ZERO).unwrap_err();
        assert!(matches!(error, MasksError::Damaged { .. }), "{text}: {error}");
        let error = unmasked(&world, Unmasked::Named(&names("counter"))).unwrap_err();
        assert!(matches!(error, MasksError::Damaged { .. }), "{text}: {error}");
        assert_eq!(world.tree(), before);
        unmasked(&world, Unmasked::All).unwrap();
        assert!(seen(&world).is_empty());
        let last = history(&world.host).unwrap().pop().unwrap().event;
        assert_eq!(last, HistoryEvent::Unmask { scripts: Vec::new(), by: "bob".to_owned(), damaged: true });
    }
}

#[test]
fn a_newer_format_is_refused_by_name_and_stays() {
    let world = World::new();
    masked(&world, "counter");
    fs::write(world.path(FILE), "{\"format\":9,\"masks\":[\"counter\"]}").unwrap();
    let before = world.tree();
    assert!(matches!(masks(&world.host), Err(MasksError::Newer(NewerState { found: 9, .. }))));
    assert!(matches!(unmasked(&world, Unmasked::All), Err(MasksError::Newer(NewerState { found: 9, .. }))));
    assert_eq!(world.tree(), before);
}

#[test]
fn a_file_that_others_can_write_says_nothing() {
    let world = World::new();
    masked(&world, "counter");
    fs::set_permissions(world.path(FILE), Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(masks(&world.host), Err(MasksError::Unprotected(_))));
}
