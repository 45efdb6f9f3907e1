//! What a build would do (`build --dry-run --json`) in place of a bundle: what is compiled is there, the rest isn't yet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bundle_format::{KernelRelease, Machine, ScriptName};
use fleet::{CoveredKernel, Offer};
use serde::Deserialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::kernel_lists::read_text;

const SCHEMA: &str = "build-plan/1";

#[derive(Deserialize)]
struct Said {
    schema: String,
}

#[derive(Deserialize)]
struct Document {
    cells: Vec<Cell>,
    kernels: Vec<Kernel>,
}

#[derive(Deserialize)]
struct Cell {
    script: ScriptName,
    kernel: KernelRelease,
    state: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Kernel {
    release: KernelRelease,
    machine: Machine,
    uname_v: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<Offer, Failure> {
    let bytes = read_text(path)?;
    let wrong = |problem: String| {
        Failure::new(Exit::Malformed, format!("{}: {problem}", path.display()))
            .hint("stap-bundle --json build --kernels FILE --dry-run writes one")
    };
    let Said { schema } = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if schema != SCHEMA {
        return Err(wrong(format!("its schema is {schema}, expected {SCHEMA}")));
    }
    let document: Document = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(offer(document))
}

fn offer(Document { cells, kernels }: Document) -> Offer {
    let mut offer = Offer::default();
    offer.scripts.extend(cells.iter().map(|cell| cell.script.clone()));
    let mut green: BTreeMap<KernelRelease, BTreeSet<ScriptName>> = BTreeMap::new();
    let mut red: BTreeMap<KernelRelease, BTreeMap<ScriptName, String>> = BTreeMap::new();
    for Cell { script, kernel, state, reason } in cells {
        let reason = match state.as_str() {
            "cached" => {
                green.entry(kernel).or_default().insert(script);
                continue;
            }
            "compile" => "it isn't compiled yet".to_owned(),
            _ => reason.unwrap_or(state),
        };
        red.entry(kernel).or_default().insert(script, reason);
    }
    for Kernel { release, machine, uname_v } in kernels {
        let covered = CoveredKernel {
            machine,
            build: uname_v,
            green: green.remove(&release).unwrap_or_default(),
            red: red.remove(&release).unwrap_or_default(),
            programs: BTreeMap::new(),
        };
        offer.place(&release, covered);
    }
    offer
}
