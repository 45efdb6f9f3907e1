//! Failures of stap that are known: how each shows itself, what it is, and what to do.
//!
//! The sentence goes into the signed manifest before what stap said, so a host's administrator reads it too. It names nothing
//! that changes from run to run, and nothing that isn't certain: where a log leaves open which of two things is missing, both are
//! named. A failure that no row knows keeps stap's own words.
//!
//! Each row has a log of the lab's stap as its test: `tests/lab/record-failures.sh` records them.

mod c_code;
mod kernel_tree;
mod probe_point;
mod script_text;

use super::failure::{Circumstances, Failure, Surroundings};
use super::kernel_packages::KernelPackages;

/// A failure that is known: a row of the table.
pub(super) struct KnownFailure {
    /// What it is called in tests, and never changes.
    class: &'static str,
    /// Whether the log shows it, and what fills each `{}` of its words.
    shown: fn(&Failure<'_>) -> Option<Details>,
    cause: &'static str,
    next: &'static str,
    /// What ends it.
    ends: Ends,
}

/// What must change before the same compile ends otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Something that the cell's key covers: until then nobody compiles it again.
    WithTheKey,
    /// The kernel's debuginfo or symbols, which the key covers for sysroots of this machine only.
    WithDebuginfo,
    /// A program or its debuginfo, which lie outside of the key; or a limit of the job.
    AtAnyTime,
}

impl Ends {
    /// Whether that may be so without a change that the cell's key covers.
    pub(super) fn without_the_key(self, circumstances: &Circumstances<'_>) -> bool {
        match self {
            Self::WithTheKey => false,
            // Of a compile server's sysroot nothing is in the key.
            Self::WithDebuginfo => circumstances.surroundings.is_none(),
            Self::AtAnyTime => true,
        }
    }
}

/// What is known of a failure.
pub(super) struct Meaning {
    pub class: &'static str,
    pub sentence: String,
    pub ends: Ends,
}

/// The class of a tracepoint that isn't there.
pub(super) const TRACEPOINT: &str = "tracepoint";
/// The classes of what a kernel's packages would bring.
const SUPPLIED: [&str; 4] = ["kernel-debuginfo", "tapset-probe", "module-debuginfo", MODULE_FILE];
/// That of a module which isn't there itself.
const MODULE_FILE: &str = "module-file";

/// The first that fits counts, so the narrower ones come first.
fn rows() -> impl Iterator<Item = &'static KnownFailure> {
    let tables: [&'static [KnownFailure]; 4] =
        [&script_text::ROWS, &probe_point::ROWS, &kernel_tree::ROWS, &c_code::ROWS];
    tables.into_iter().flatten()
}

/// What a failure means, if it's a known one.
pub(super) fn meaning(failure: &Failure<'_>) -> Option<Meaning> {
    let (row, details) = rows().find_map(|row| Some((row, (row.shown)(failure)?)))?;
    let sentence = format!("{}: {}", row.cause, row.next);
    let sentence = details.iter().fold(sentence, |sentence, detail| sentence.replacen("{}", detail, 1));
    Some(Meaning {
        sentence: format!("{sentence}{}", supply(row, &failure.circumstances)),
        ends: row.ends,
        class: row.class,
    })
}

/// What would bring what a row says is lacking: packages, as far as the release's name tells; a server that has debuginfo by build id.
fn supply(row: &KnownFailure, circumstances: &Circumstances<'_>) -> String {
    if !SUPPLIED.contains(&row.class) {
        return String::new();
    }
    let of_modules = row.class == MODULE_FILE;
    let release = circumstances.release.parse().ok();
    let known = release.and_then(|release| KernelPackages::of(&release));
    let packages = known.and_then(|known| packages_with_it(&known, of_modules)).unwrap_or_default();
    // A server has the debuginfo of a module, not the module.
    let around = circumstances.surroundings.filter(|_| !of_modules);
    match around.and_then(Surroundings::kernel_build_id) {
        Some(id) => format!(
            "{packages}; a debuginfod server may have it by build id {id} (stap-bundle kernel add --debuginfod URL {})",
            circumstances.release
        ),
        None => packages,
    }
}

fn packages_with_it(known: &KernelPackages, of_modules: bool) -> Option<String> {
    if of_modules && known.modules.is_empty() {
        return None;
    }
    let of_modules = if of_modules { &known.modules[..] } else { &[] };
    let packages: Vec<&str> = known.debuginfo.iter().chain(of_modules).map(String::as_str).collect();
    let have = if packages.len() == 1 { "has" } else { "have" };
    Some(format!("; {} {have} it (stap-bundle kernel add)", packages.join(" and ")))
}

/// What fills each `{}` of a row's words.
type Details = Vec<String>;

/// For a row without a `{}`.
fn seen(is_so: bool) -> Option<Details> {
    is_so.then(Details::new)
}

#[cfg(test)]
mod tests;
