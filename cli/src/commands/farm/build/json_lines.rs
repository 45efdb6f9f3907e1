//! A build's events as JSON lines, for programs that follow it: `--progress json`.
//!
//! Each line on standard error is an object with `"v": 1` and `"event"`. The number rises when a reader of the old lines would
//! misread a new one; new events and fields don't change it, so readers pass over what they don't know. `docs/progress.md` tells
//! them all.

use builder::{BuildEvent, JobEnd};
use bundle_format::FramePacked;
use serde_json::{Value, json};

use super::table::word;
use crate::commands::farm::builder_options::why_not_taken;

/// The number of this format.
const VERSION: u32 = 1;

/// The line for an event.
pub(super) fn line(event: &BuildEvent) -> String {
    with_version(fields(event))
}

/// The line for a frame of the bundle.
pub(super) fn packed(frame: &FramePacked) -> String {
    with_version(json!({
        "event": "frame-packed", "done": frame.done, "frames": frame.total, "plain_bytes": frame.plain,
        "bytes": frame.compressed, "copied": frame.copied, "reference": frame.reference, "has_base": frame.has_base,
    }))
}

fn with_version(mut value: Value) -> String {
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), VERSION.into());
    }
    value.to_string()
}

fn fields(event: &BuildEvent) -> Value {
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match event {
        BuildEvent::WaitingForLock { held } => json!({
            "event": "waiting-for-lock", "lock": held.path,
            "pid": held.holder.as_ref().map(|holder| holder.pid),
            "program": held.holder.as_ref().map(|holder| &holder.program),
        }),
        BuildEvent::Begun { cells, cached, jobs, workers, .. } => {
            json!({ "event": "begun", "cells": cells, "cached": cached, "jobs": jobs, "workers": workers })
        }
        BuildEvent::ResultsNotTaken { results } => json!({
            "event": "results-not-taken", "results": results.values().map(|(count, _)| count).sum::<usize>(),
            "why": why_not_taken(results),
        }),
        BuildEvent::WarmUpStarted { release, part, maker } => json!({
            "event": "warm-up-started", "kernel": release, "part": part.to_string(), "by": maker.to_string(),
        }),
        BuildEvent::ServerLost { server, said } => {
            json!({ "event": "server-lost", "server": server.to_string(), "said": said })
        }
        BuildEvent::ServerNoted { sentence } => json!({ "event": "server-noted", "sentence": sentence }),
        BuildEvent::Noted { sentence } => json!({ "event": "noted", "sentence": sentence }),
        BuildEvent::WarmUpFinished { report, incomplete } => json!({
            "event": "warm-up-finished", "kernel": report.release, "part": report.part.to_string(),
            "by": report.maker.to_string(),
            "wall_ms": milliseconds(report.wall), "cpu_ms": report.cpu.map(milliseconds), "incomplete": incomplete,
        }),
        BuildEvent::KernelDiagnosed { release, sentence } => {
            json!({ "event": "kernel-diagnosed", "kernel": release, "sentence": sentence })
        }
        BuildEvent::JobStarted { cell, maker } => json!({
            "event": "job-started", "script": cell.script, "kernel": cell.release, "by": maker.to_string(),
        }),
        BuildEvent::WorkLeft { cpu } => {
            json!({ "event": "work-left", "expected_cpu_ms": milliseconds(*cpu) })
        }
        BuildEvent::JobEnded { cell, maker, end } => {
            let (end, why) = match end {
                JobEnd::Done => ("done", None),
                JobEnd::Cancelled => ("cancelled", None),
                JobEnd::SentBack(why) => ("sent-back", Some(why)),
                JobEnd::ServerLost => ("server-lost", None),
                JobEnd::Failed => ("failed", None),
            };
            json!({
                "event": "job-ended", "script": cell.script, "kernel": cell.release, "by": maker.to_string(),
                "end": end, "why": why,
            })
        }
        BuildEvent::CellChecked { cell, difference } => json!({
            "event": "cell-checked", "script": cell.script, "kernel": cell.release, "difference": difference,
        }),
        BuildEvent::CellDone(report) => json!({
            "event": "cell-done", "script": report.cell.script, "kernel": report.cell.release,
            "outcome": word(&report.outcome), "reason": report.outcome.red_reason(), "by": report.maker.to_string(),
            "wall_ms": milliseconds(report.wall), "cpu_ms": report.cpu.map(milliseconds),
        }),
    }
}

#[cfg(test)]
mod tests {
    use builder::{Cell, Maker};

    use super::*;

    /// Each event that stands in this file has its row.
    #[test]
    fn the_page_tells_all_events() {
        let page = include_str!("../../../../../docs/progress.md");
        let here = include_str!("json_lines.rs").split("mod tests").next().unwrap();
        let events: Vec<&str> =
            here.split("\"event\": \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(events.len() > 12, "{events:?}");
        for event in events {
            assert!(page.contains(&format!("| `{event}` |")), "{event}");
        }
        assert!(page.contains(&format!("`\"v\": {VERSION}`")));
    }

    #[test]
    fn each_line_is_one_object_with_its_version() {
        let event = BuildEvent::Begun { cells: 6, cached: 2, jobs: 4, workers: 2, at_full_speed: 2 };
        assert_eq!(line(&event), r#"{"cached":2,"cells":6,"event":"begun","jobs":4,"v":1,"workers":2}"#);
    }

    #[test]
    fn the_end_of_a_job_says_how_it_ended() {
        let cell = Cell { script: "a".parse().unwrap(), release: "1.0".parse().unwrap() };
        let maker = Maker::Server("b:1".parse().unwrap());
        let event = BuildEvent::JobEnded { cell, maker, end: JobEnd::SentBack("too large".to_owned()) };
        let wanted = r#"{"by":"b:1","end":"sent-back","event":"job-ended","kernel":"1.0","script":"a","v":1,"why":"too large"}"#;
        assert_eq!(line(&event), wanted);
    }
}
