//! Modules that make a bundle large, and what makes them so.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::MAX_MODULE;

use crate::job::{CellReport, JobOutcome};
use crate::plan::Plan;
use crate::words::symbols_of;

/// Bytes from which on a module is named: most have some hundred thousand.
const LARGE: u64 = 4 << 20;

/// A sentence for each cause.
pub(crate) fn large_modules(plan: &Plan, cells: &[CellReport]) -> Vec<String> {
    let mut by_cause: BTreeMap<String, (BTreeSet<&str>, u64)> = BTreeMap::new();
    for cell in cells {
        let (JobOutcome::Compiled(module) | JobOutcome::Cached(module)) = &cell.outcome else { continue };
        let script = plan.scripts.iter().find(|script| *script.name() == cell.cell.script);
        let Some(script) = script.filter(|_| module.len >= LARGE) else { continue };
        let Ok(bytes) = files::read::read(&module.path, MAX_MODULE) else { continue };
        let (scripts, largest) = by_cause.entry(symbols_of(&bytes, &script.compile_options())).or_default();
        scripts.insert(cell.cell.script.as_str());
        *largest = module.len.max(*largest);
    }
    let sentence = |(cause, (scripts, largest)): (String, (BTreeSet<&str>, u64))| {
        let scripts: Vec<&str> = scripts.into_iter().collect();
        let (modules, carry) = if scripts.len() == 1 { ("module", "carries") } else { ("modules", "carry") };
        format!("large {modules}, up to {} MiB: {} {carry} {cause}", largest >> 20, scripts.join(", "))
    };
    by_cause.into_iter().map(sentence).collect()
}
