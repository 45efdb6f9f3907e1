//! Which stage follows which boot.

use super::GuardStage::{Nothing, OneByOne, Previous};
use super::*;

fn ids(text: &str) -> BTreeSet<String> {
    BTreeSet::from([text.to_owned()])
}

fn names(text: &str) -> BTreeSet<ScriptName> {
    text.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

/// A record after a boot that went down while `under_way` was loaded.
fn down(record: GuardRecord, boot: &str, under_way: &str) -> GuardRecord {
    let record = GuardRecord { under_way: names(under_way), ..record };
    GuardRecord::next(Some(record), boot, &ids("b"))
}

#[test]
fn a_culprit_is_found_in_two_tries_and_left_out() {
    let first = GuardRecord::next(None, "1", &ids("b"));
    assert_eq!(first.stage, GuardStage::SideBySide);
    let second = down(first, "2", "x y z");
    assert_eq!((second.stage, second.culprits.len()), (GuardStage::OneByOne, 0));
    let third = down(second, "3", "y");
    assert_eq!((third.stage, &third.culprits), (GuardStage::OneByOne, &names("y")));
    // A second one is found too.
    let fourth = down(third, "4", "z");
    assert_eq!((fourth.stage, &fourth.culprits), (GuardStage::OneByOne, &names("y z")));
}

#[test]
fn a_single_script_is_the_culprit_at_once() {
    let second = down(GuardRecord::next(None, "1", &ids("b")), "2", "x");
    assert_eq!((second.stage, &second.culprits), (GuardStage::OneByOne, &names("x")));
}

#[test]
fn one_that_nobody_finds_leads_to_the_previous_generation_and_then_to_nothing() {
    let mut record = GuardRecord::next(None, "1", &ids("b"));
    let stages = ["2", "3", "4", "5"].map(|boot| {
        record = down(record.clone(), boot, "");
        record.stage
    });
    assert_eq!(stages, [OneByOne, Previous, Nothing, Nothing]);
}

#[test]
fn a_boot_id_counts_once_and_a_settled_boot_not_at_all() {
    let first = GuardRecord::next(None, "1", &ids("b"));
    assert_eq!(down(first.clone(), "1", "x y").stage, GuardStage::SideBySide);
    let settled = GuardRecord { settled: true, ..first };
    let next = down(settled, "2", "x y");
    assert_eq!((next.stage, next.settled), (GuardStage::SideBySide, false));
}

#[test]
fn a_restart_in_a_settled_boot_left_the_guard_unsettled_until_the_power_failed() {
    let first = GuardRecord::next(None, "1", &ids("b"));
    let settled = GuardRecord { settled: true, ..first };
    let again = GuardRecord::next(Some(settled), "1", &ids("b"));
    assert!(again.settled);
    assert_eq!(GuardRecord::next(Some(again), "2", &ids("b")).stage, GuardStage::SideBySide);
}

#[test]
fn a_settled_boot_keeps_its_culprits_and_other_bundles_begin_anew() {
    let second = down(GuardRecord::next(None, "1", &ids("b")), "2", "x");
    let settled = GuardRecord { settled: true, ..second };
    let third = GuardRecord::next(Some(settled.clone()), "3", &ids("b"));
    assert_eq!(third.culprits, names("x"));
    let third = GuardRecord::next(Some(settled), "3", &ids("newer"));
    assert_eq!((third.stage, third.culprits.len()), (GuardStage::SideBySide, 0));
}

#[test]
fn too_many_culprits_are_none() {
    let mut record = GuardRecord::next(None, "1", &ids("b"));
    for (boot, script) in [("2", "a"), ("3", "b"), ("4", "c"), ("5", "d")] {
        record = down(record, boot, script);
    }
    assert_eq!((record.stage, record.culprits), (GuardStage::Previous, names("a b c")));
}
