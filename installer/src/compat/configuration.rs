//! The two files in the initscript's conf.d. `00-stap-bundle.conf` has options and requirements, before the host's own files, whose
//! words so count for the initscript as they do for our start; `zz-stap-bundle.conf` keeps it from compiling, behind them.

use std::path::Path;

use files::{FileError, FileSystem, optional};

use crate::compat::link::{has_our_link, link_text, put_link};
use crate::compat::report::{ReadOnly, ReconcileReport, Work};
use crate::generation::{CurrentGeneration, options_text, switches_text};
use crate::host::paths::{CONFIGURATION, CONFIGURATION_LINK, OPTIONS, OPTIONS_LINK};
use crate::state::State;
use crate::trust::{Policy, PolicyError};

/// Whether a bundle of the generation is believed.
pub(super) fn has_bundles(generation: &CurrentGeneration) -> bool {
    !generation.bundles().is_empty()
}

/// Whether the initscript is to compile nothing: as the policy says, by default where it has no `stap`.
pub(crate) fn cache_only(host: &FileSystem, policy: &Policy) -> Result<bool, FileError> {
    if let Some(decided) = policy.initscript.cache_only {
        return Ok(decided);
    }
    let programs = optional(host.open_dir("/usr/bin"))?;
    Ok(programs.is_none_or(|programs| programs.kind("stap").is_ok_and(|kind| kind.is_none())))
}

/// Writes a generation's options again if they aren't what its believed bundles say. With the view and the switches they are all of
/// a generation that is ever replaced, for the initscript takes them as they are.
pub(super) fn write_options(
    generation: &CurrentGeneration,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    if !has_bundles(generation) {
        return Ok(());
    }
    let text = options_text(generation.bundles().iter().map(|bundle| bundle.manifest.as_ref()));
    write(generation, OPTIONS, &text, report)
}

/// The same for what keeps the initscript from compiling.
pub(super) fn write_switches<E: From<PolicyError> + From<FileError>>(
    state: &State<'_>,
    generation: &CurrentGeneration,
    report: &mut ReconcileReport,
) -> Result<(), E> {
    if !has_bundles(generation) {
        return Ok(());
    }
    let text = switches_text(cache_only(state.host, state.policy()?)?);
    Ok(write(generation, CONFIGURATION, &text, report)?)
}

fn write(
    generation: &CurrentGeneration,
    name: &str,
    text: &str,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    let directory = generation.directory();
    let found = directory.read_file(name, text.len() as u64);
    if found.is_ok_and(|found| found == text.as_bytes()) {
        return Ok(());
    }
    directory.replace_file(name, text.as_bytes())?;
    report.written.push(directory.path().join(name));
    Ok(())
}

/// Makes both links in the directory `path`, of a generation that has what they lead to.
pub(super) fn link_both(host: &FileSystem, path: &Path, work: &mut Work) -> Result<(), FileError> {
    link(host, path, (OPTIONS_LINK, OPTIONS), work)?;
    link(host, path, (CONFIGURATION_LINK, CONFIGURATION), work)
}

/// Brings both links, and what they lead to, in line with `current`. A generation of 0.1.0 has its options in the second file: they
/// stay there until the first is linked.
pub(super) fn bring_in_line<E: From<PolicyError> + From<FileError>>(
    state: &State<'_>,
    path: &Path,
    current: Option<&CurrentGeneration>,
    (work, refused): (&mut Work, &mut ReadOnly),
) -> Result<(), E> {
    let Some(generation) = current.filter(|generation| has_bundles(generation)) else {
        for name in [OPTIONS_LINK, CONFIGURATION_LINK] {
            refused.pass(unlink(state.host, path, name, work))?;
        }
        return Ok(());
    };
    write_options(generation, &mut work.report)?;
    refused.pass(link(state.host, path, (OPTIONS_LINK, OPTIONS), work))?;
    write_switches::<E>(state, generation, &mut work.report)?;
    Ok(refused.pass(link(state.host, path, (CONFIGURATION_LINK, CONFIGURATION), work))?)
}

fn link(
    host: &FileSystem,
    path: &Path,
    (name, inside): (&str, &str),
    work: &mut Work,
) -> Result<(), FileError> {
    let directory = host.ensure_dir(path)?;
    let text = link_text(&host.real_path(&directory), inside);
    put_link(&directory, name, &text, work)?;
    directory.sync()
}

fn unlink(host: &FileSystem, path: &Path, name: &str, work: &mut Work) -> Result<(), FileError> {
    let Some(directory) = optional(host.open_dir(path))? else { return Ok(()) };
    if has_our_link(&directory, name)? {
        directory.unlink(name)?;
        work.report.removed.push(directory.path().join(name));
        directory.sync()?;
    }
    Ok(())
}
