//! The scripts themselves, where they lie on a host: `<SCRIPT_PATH>/NAME.stp`.
//!
//! A bundle's modules need no script. Where one is there all the same, the initscript takes a cached module
//! only if the script isn't newer (INIT-CACHE-02). A script that a package brought after the install would
//! so make it compile, although it is the very one that the module was made from: then the module's time is
//! brought up to the script's. A script that is another one is reported, and no time is touched.

use std::path::PathBuf;

use bundle_format::{BundleName, Digest, Manifest, RawBundle, ScriptName};
use files::{FileError, FileSystem, optional};
use rustix::fs::FileType;

use crate::compat::places::Places;
use crate::compat::report::{CompatError, ReconcileReport};
use crate::compat::wanted::Wanted;
use crate::generation::{CurrentGeneration, module_file_name};
use crate::host::WriterLock;
use crate::state::State;
use files::with_causes;

/// Most bytes of a script that is compared: as many as a bundle may bring of it.
const MAX_SCRIPT: u64 = bundle_format::limits::MAX_PLAIN_FRAME;

/// Brings the times of modules up to those of their scripts.
pub(super) fn settle_times(
    host: &FileSystem,
    places: &Places,
    generation: &CurrentGeneration,
    wanted: &Wanted,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    let Some(scripts) = optional(host.open_dir(&places.scripts))? else { return Ok(()) };
    let Some(kernels) = generation.kernels() else { return Ok(()) };
    for (name, entry) in wanted.values().flatten() {
        let file = script_file_name(name);
        let Some(stat) = scripts.stat(&file)?.filter(is_file) else { continue };
        // One that can't be read, or is another one, is reported elsewhere.
        let Ok(content) = scripts.read_file(&file, MAX_SCRIPT) else { continue };
        if Digest::of(&content) != entry.source {
            continue;
        }
        let Some(directory) = optional(kernels.open_dir(&entry.kernel.short()))? else { continue };
        let module = module_file_name(name);
        let Some(made) = directory.stat(&module)? else { continue };
        if modified(&made) < modified(&stat) {
            directory.set_modified(&module, modified(&stat))?;
            report.written.push(directory.path().join(&module));
        }
    }
    Ok(())
}

/// A word on each script of this host that isn't the one that an installed bundle's modules were made from.
pub fn other_scripts(host: &FileSystem, generation: &CurrentGeneration) -> Result<Vec<String>, CompatError> {
    let places = Places::read(host, &mut ReconcileReport::default())?;
    Ok(other_scripts_at(host, &places, generation)?)
}

pub(super) fn other_scripts_at(
    host: &FileSystem,
    places: &Places,
    generation: &CurrentGeneration,
) -> Result<Vec<String>, FileError> {
    let Some(scripts) = optional(host.open_dir(&places.scripts))? else { return Ok(Vec::new()) };
    let mut others = Vec::new();
    for bundle in generation.bundles() {
        for script in &bundle.manifest.scripts {
            let file = script_file_name(&script.name);
            if !scripts.stat(&file)?.as_ref().is_some_and(is_file) {
                continue;
            }
            match scripts.read_file(&file, MAX_SCRIPT) {
                Ok(content) if Digest::of(&content) == script.source_sha256 => {}
                Ok(_) => others.push(format!(
                    "{} is not the script that bundle {}'s module was made from; `start` goes by the module",
                    scripts.path().join(&file).display(),
                    bundle.name
                )),
                Err(error) => others.push(with_causes(&error)),
            }
        }
    }
    Ok(others)
}

/// Places the scripts that travel with the installed bundle `name` where the host has nothing of that name; their paths.
/// What is there, of whatever kind, stays as it is.
pub(crate) fn place_sources(
    state: &State<'_>,
    _lock: &WriterLock,
    name: &BundleName,
) -> Result<Vec<PathBuf>, CompatError> {
    let host = state.host;
    let Some(current) = state.current(None)? else { return Ok(Vec::new()) };
    let Some(bundle) = current.bundles().iter().find(|bundle| bundle.name == *name) else {
        return Ok(Vec::new());
    };
    let kept = RawBundle::read(bundle.kept()?).and_then(|raw| raw.verify(bundle.trusted())?.sources());
    let sources = kept.map_err(CompatError::Sources)?.unwrap_or_default();
    let directory =
        host.ensure_dir(&Places::read(host, &mut ReconcileReport::default())?.for_scripts(host)?)?;
    let mut placed = Vec::new();
    for (script, text) in &sources {
        if directory.place_new(&script_file_name(script), text)? {
            placed.push(directory.path().join(script_file_name(script)));
        }
    }
    directory.sync()?;
    Ok(placed)
}

/// Where the scripts of `manifest` would be placed, for a dry run.
pub(crate) fn absent_sources(host: &FileSystem, manifest: &Manifest) -> Result<Vec<PathBuf>, CompatError> {
    let places = Places::read(host, &mut ReconcileReport::default())?;
    let path = places.for_scripts(host)?;
    let directory = optional(host.open_dir(&path))?;
    let mut absent = Vec::new();
    for script in &manifest.scripts {
        let file = script_file_name(&script.name);
        let there = directory.as_ref().map(|directory| directory.kind(&file)).transpose()?.flatten();
        if there.is_none() {
            absent.push(path.join(file));
        }
    }
    Ok(absent)
}

fn script_file_name(script: &ScriptName) -> String {
    format!("{script}.stp")
}

fn is_file(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Seconds and nanoseconds of the last change.
fn modified(stat: &rustix::fs::Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}
