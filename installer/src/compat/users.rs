//! `/lib/modules/REL/systemtap/NAME.ko`: where `staprun` lets members of stapusr load a module from.
//!
//! Only scripts that the manifest marks so come here, and only for kernels that are installed. They are real
//! files, because `staprun` takes no link out of that directory, so they follow the switch and are outside its
//! atomic promise. Which of the files there are ours is remembered in `state/user-modules`: a file is named
//! there before it is made and until it is gone, so a cut leaves at most a name without a file. A file that
//! isn't named is foreign.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::KernelRelease;
use files::{Directory, FileError, FileSystem, optional};
use rustix::fs::FileType;

use crate::compat::link::{kind_word, move_aside};
use crate::compat::report::Work;
use crate::compat::wanted::Wanted;
use crate::generation::{CurrentGeneration, module_file_name};
use crate::host::installed_releases;
use crate::host::paths::{LIB_MODULES, RECORDS, USER_MODULES};
use crate::host::version::StateVersion;
use files::with_causes;

/// Name of the directory in that of a release (staprun(8)).
pub(super) const SYSTEMTAP: &str = "systemtap";
const VERSION: StateVersion = StateVersion::new(1);
/// Most bytes of the record.
const MAX_RECORD: u64 = 16 << 20;

/// Release → file names of ours.
type Ours = BTreeMap<KernelRelease, BTreeSet<String>>;

/// Brings the files for members of stapusr in line with the current generation.
pub(super) fn reconcile_users(
    host: &FileSystem,
    generation: Option<&CurrentGeneration>,
    wanted: &Wanted,
    work: &mut Work,
) -> Result<(), FileError> {
    let before = read(host)?;
    let installed = installed_releases(host)?;
    let mut after = Ours::new();
    for release in wanted.keys().filter(|release| installed.contains(release)) {
        let marked = wanted.get(release).into_iter().flatten().filter(|(_, entry)| entry.for_users);
        let names: BTreeSet<String> = marked.map(|(name, _)| module_file_name(name)).collect();
        if !names.is_empty() {
            after.insert(release.clone(), names);
        }
    }
    if before.is_empty() && after.is_empty() {
        return Ok(());
    }
    let mut both = before.clone();
    for (release, names) in &after {
        both.entry(release.clone()).or_default().extend(names.iter().cloned());
    }
    // A name that is foreign now must not become ours by being written down.
    for (release, names) in &after {
        for name in names {
            let known = before.get(release).is_some_and(|names| names.contains(name));
            if !known && !is_free(host, release, name, work)? {
                both.get_mut(release).map(|names| names.remove(name));
            }
        }
    }
    both.retain(|_, names| !names.is_empty());
    write(host, &both)?;
    if let Some(generation) = generation {
        fill(host, generation, wanted, &both, &after, work)?;
    }
    clear(host, &both, &after, work)?;
    let kept = |names: &BTreeSet<String>, release| -> BTreeSet<String> {
        let wanted = after.get(release);
        names.iter().filter(|name| wanted.is_some_and(|wanted| wanted.contains(*name))).cloned().collect()
    };
    let left: Ours = both.iter().map(|(release, names)| (release.clone(), kept(names, release))).collect();
    write(host, &left.into_iter().filter(|(_, names)| !names.is_empty()).collect())
}

/// Whether nothing stands there, or what stood there was moved aside; a foreign file is reported.
fn is_free(
    host: &FileSystem,
    release: &KernelRelease,
    name: &str,
    work: &mut Work,
) -> Result<bool, FileError> {
    let Some(directory) = optional(host.open_dir(format!("{LIB_MODULES}/{release}/{SYSTEMTAP}")))? else {
        return Ok(true);
    };
    match directory.kind(name)? {
        None => Ok(true),
        Some(kind) => move_aside(&directory, name, kind_word(kind).to_owned(), work),
    }
}

fn fill(
    host: &FileSystem,
    generation: &CurrentGeneration,
    wanted: &Wanted,
    ours: &Ours,
    after: &Ours,
    work: &mut Work,
) -> Result<(), FileError> {
    for (release, names) in after {
        let Some(scripts) = wanted.get(release) else { continue };
        let parent = host.open_dir(format!("{LIB_MODULES}/{release}"))?;
        let directory = parent.ensure_dir(SYSTEMTAP)?;
        for (script, entry) in scripts {
            let name = module_file_name(script);
            let is_ours = ours.get(release).is_some_and(|ours| ours.contains(&name));
            if !names.contains(&name) || !is_ours {
                continue;
            }
            match generation.read_module(&entry.module) {
                Ok(module) if has(&directory, &name, module.as_installed())? => {}
                Ok(module) => {
                    directory.replace_file(&name, module.as_installed())?;
                    work.report.written.push(directory.path().join(&name));
                }
                Err(refusal) => work.report.warnings.push(with_causes(&refusal)),
            }
        }
    }
    Ok(())
}

/// Whether the file has these bytes.
fn has(directory: &Directory, name: &str, bytes: &[u8]) -> Result<bool, FileError> {
    if directory.kind(name)? != Some(FileType::RegularFile) {
        return Ok(false);
    }
    Ok(directory.read_file(name, bytes.len() as u64).is_ok_and(|found| found == bytes))
}

/// Removes files of ours that nothing wants any more.
fn clear(host: &FileSystem, ours: &Ours, after: &Ours, work: &mut Work) -> Result<(), FileError> {
    for (release, names) in ours {
        let path = format!("{LIB_MODULES}/{release}/{SYSTEMTAP}");
        let Some(directory) = optional(host.open_dir(path))? else { continue };
        let wanted = after.get(release);
        let mut removed = false;
        for name in names.iter().filter(|name| wanted.is_none_or(|wanted| !wanted.contains(*name))) {
            if directory.kind(name)?.is_some_and(|kind| kind != FileType::Directory) {
                directory.unlink(name)?;
                work.report.removed.push(directory.path().join(name));
                removed = true;
            }
        }
        if removed {
            directory.sync()?;
        }
    }
    Ok(())
}

fn read(host: &FileSystem) -> Result<Ours, FileError> {
    let Some(records) = optional(host.open_dir(RECORDS))? else { return Ok(Ours::new()) };
    let Some(raw) = optional(records.read_file(USER_MODULES, MAX_RECORD))? else { return Ok(Ours::new()) };
    let read = || {
        VERSION.check(&raw)?;
        Ok(serde_json::from_slice(&raw)?)
    };
    read().map_err(|error: std::io::Error| {
        FileError::new("understand", records.path().join(USER_MODULES), error)
    })
}

fn write(host: &FileSystem, ours: &Ours) -> Result<(), FileError> {
    if read(host)? == *ours {
        return Ok(());
    }
    let records = host.ensure_dir(RECORDS)?;
    let raw = serde_json::to_vec_pretty(ours).map_err(|error| {
        FileError::new("write", records.path().join(USER_MODULES), std::io::Error::from(error))
    })?;
    records.replace_file(USER_MODULES, &raw)
}
