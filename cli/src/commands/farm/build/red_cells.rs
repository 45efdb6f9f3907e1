//! Red cells with their reasons: what all scripts of a kernel fail for is said once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use builder::CellReport;
use bundle_format::KernelRelease;

/// Most logs of one reason that are named.
const LOGS_SHOWN: usize = 3;

/// Cells of one kernel that are red for the same reason.
pub(super) struct RedCells<'r> {
    cells: Vec<&'r CellReport>,
    /// The reason.
    pub reason: String,
}

impl<'r> RedCells<'r> {
    /// The red ones of `cells` in their order, each with those that it shares kernel and reason with.
    pub(super) fn of(cells: impl IntoIterator<Item = &'r CellReport>) -> Vec<Self> {
        let mut places: BTreeMap<(&KernelRelease, String), usize> = BTreeMap::new();
        let mut groups: Vec<Self> = Vec::new();
        for cell in cells.into_iter().filter(|cell| cell.outcome.is_red()) {
            let reason = cell.outcome.red_reason().unwrap_or_default();
            let place = *places.entry((&cell.cell.release, reason.clone())).or_insert(groups.len());
            match groups.get_mut(place) {
                Some(group) => group.cells.push(cell),
                None => groups.push(Self { cells: vec![cell], reason }),
            }
        }
        groups
    }

    /// `a, b for 6.12.1`.
    pub(super) fn name(&self) -> String {
        let [first, others @ ..] = self.cells.as_slice() else { return String::new() };
        let scripts: Vec<&str> = others.iter().map(|cell| cell.cell.script.as_str()).collect();
        if scripts.is_empty() {
            return first.cell.to_string();
        }
        format!("{}, {} for {}", first.cell.script, scripts.join(", "), first.cell.release)
    }

    /// `log: PATH` for where all that was said is: some of the logs, for those of one reason say the same, and a word on the others.
    pub(super) fn logs(&self) -> Vec<String> {
        let logs: BTreeSet<&PathBuf> = self.cells.iter().filter_map(|cell| cell.outcome.log()).collect();
        let shown = logs.iter().take(LOGS_SHOWN).map(|log| format!("log: {}", log.display()));
        let more = logs.len().saturating_sub(LOGS_SHOWN);
        let others = (more > 0).then(|| format!("and {more} more logs, which --report FILE names"));
        shown.chain(others).collect()
    }
}
