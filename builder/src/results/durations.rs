//! How long things took, so that the longest can be begun first and a plan can say how long it will take.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Cell;
use crate::state::Notes;
use crate::warm::WarmUpPart;

/// CPU time of a compile where nothing is known yet: measured with systemtap 5.6 on a warm kernel.
const UNKNOWN_COMPILE: Duration = Duration::from_secs(3);
/// CPU time of a tracepoint scan where nothing is known yet.
const UNKNOWN_SCAN: Duration = Duration::from_secs(90);
/// CPU time of the configuration tests where nothing is known yet.
const UNKNOWN_CONFIGURATION: Duration = Duration::from_secs(17);

/// CPU times in milliseconds, as they were last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct KnownDurations {
    /// By `SCRIPT RELEASE`.
    cells: BTreeMap<String, u64>,
    /// By script: its last cell, on whatever kernel.
    scripts: BTreeMap<String, u64>,
    parts: BTreeMap<String, u64>,
}

/// The remembered CPU times of compiles and leaders.
#[derive(Debug)]
pub(crate) struct Durations {
    path: PathBuf,
    known: KnownDurations,
}

impl Durations {
    /// Reads what is remembered in `path`; a file that isn't there or isn't whole is like none.
    pub(crate) fn open(path: PathBuf) -> Self {
        let known = Notes::read(&path).unwrap_or_default();
        Self { path, known }
    }

    /// What a compile will take: as it took last, else as the script took for another kernel, else as scripts take.
    pub(crate) fn of_cell(&self, cell: &Cell) -> Duration {
        self.recorded_of_cell(cell).unwrap_or(UNKNOWN_COMPILE)
    }

    /// As [`Durations::of_cell`], but `None` if no compile was ever recorded.
    pub(crate) fn recorded_of_cell(&self, cell: &Cell) -> Option<Duration> {
        let KnownDurations { cells, scripts, .. } = &self.known;
        let known = cells.get(&name_of(cell)).or_else(|| scripts.get(cell.script.as_str()));
        known.map_or_else(|| self.average(), |known| Some(Duration::from_millis(*known)))
    }

    /// What a leader will take.
    pub(crate) fn of_part(&self, part: WarmUpPart) -> Duration {
        let unknown = match part {
            WarmUpPart::Scan => UNKNOWN_SCAN,
            WarmUpPart::Configuration => UNKNOWN_CONFIGURATION,
        };
        self.recorded_of_part(part).unwrap_or(unknown)
    }

    /// As [`Durations::of_part`], but `None` if no such leader was ever recorded.
    pub(crate) fn recorded_of_part(&self, part: WarmUpPart) -> Option<Duration> {
        self.known.parts.get(&part.to_string()).map(|known| Duration::from_millis(*known))
    }

    fn average(&self) -> Option<Duration> {
        let scripts = &self.known.scripts;
        let count = u64::try_from(scripts.len()).ok()?;
        Some(Duration::from_millis(scripts.values().sum::<u64>().checked_div(count)?))
    }

    pub(crate) fn cell_took(&mut self, cell: &Cell, cpu: Duration) {
        self.known.cells.insert(name_of(cell), milliseconds(cpu));
        self.known.scripts.insert(cell.script.to_string(), milliseconds(cpu));
    }

    pub(crate) fn part_took(&mut self, part: WarmUpPart, cpu: Duration) {
        self.known.parts.insert(part.to_string(), milliseconds(cpu));
    }

    /// Writes them down; whole or not at all.
    pub(crate) fn save(&self, notes: &Notes) {
        notes.write(&self.path, &self.known);
    }
}

fn name_of(cell: &Cell) -> String {
    format!("{} {}", cell.script, cell.release)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_thing_known_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("durations.json");
        let cell = |script: &str, release: &str| Cell {
            script: script.parse().unwrap(),
            release: release.parse().unwrap(),
        };
        let mut durations = Durations::open(path.clone());
        assert_eq!(durations.of_cell(&cell("a", "1.0")), UNKNOWN_COMPILE);
        durations.cell_took(&cell("a", "1.0"), Duration::from_secs(2));
        durations.cell_took(&cell("a", "2.0"), Duration::from_secs(6));
        durations.cell_took(&cell("b", "1.0"), Duration::from_secs(10));
        durations.part_took(WarmUpPart::Scan, Duration::from_secs(50));
        durations.save(&Notes::default());
        let durations = Durations::open(path.clone());
        for (script, release, seconds) in [("a", "1.0", 2), ("a", "3.0", 6), ("c", "1.0", 8)] {
            assert_eq!(
                durations.of_cell(&cell(script, release)),
                Duration::from_secs(seconds),
                "{script} {release}"
            );
        }
        assert_eq!(durations.of_part(WarmUpPart::Scan), Duration::from_secs(50));
        assert_eq!(durations.of_part(WarmUpPart::Configuration), UNKNOWN_CONFIGURATION);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Durations::open(path).of_cell(&cell("a", "1.0")), UNKNOWN_COMPILE);
    }
}
