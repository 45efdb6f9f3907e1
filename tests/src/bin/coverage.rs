//! The last tier of `make test`: did each test that `docs/design/threat-coverage.md` names run, and end well?
//!
//! `coverage DIRECTORY`: with what the tiers printed, one file each.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "whoever runs the tests reads it")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use end_to_end::coverage;

fn main() -> Result<ExitCode> {
    let directory = std::env::args().nth(1).context("which directory has the output of the tiers?")?;
    let mut log = String::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.clone())? {
        let bytes = std::fs::read(entry?.path())?;
        log.push_str(&String::from_utf8_lossy(&bytes));
        log.push('\n');
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let rows = coverage::rows(&std::fs::read_to_string(workspace.join("docs/design/threat-coverage.md"))?)?;
    let ran = coverage::outcomes(&log);
    let unproven = coverage::unproven(&rows, &ran);
    for line in &unproven {
        eprintln!("{line}");
    }
    if unproven.is_empty() {
        println!("{} rows: each test that they name ran and passed, among {} tests", rows.len(), ran.len());
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} tests that docs/design/threat-coverage.md names prove nothing", unproven.len());
    Ok(ExitCode::FAILURE)
}
