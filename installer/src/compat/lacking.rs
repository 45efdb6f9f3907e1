//! What stock tools lack of the current generation: what reconciling would make, looked at and not written.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use bundle_format::{KernelRelease, ScriptName};
use files::{Directory, FileError, FileSystem};
use rustix::fs::FileType;

use crate::compat::link::has_our_link;
use crate::compat::opts::{MAX_OPTS, opts_file_name};
use crate::compat::places::Places;
use crate::compat::report::{CompatError, Lacking, Lost, ReconcileReport};
use crate::compat::users::SYSTEMTAP;
use crate::compat::wanted::{CacheEntry, Wanted, wanted};
use crate::generation::{CurrentGeneration, module_file_name};
use crate::host::paths::{CONFIGURATION_LINK, LIB_MODULES, OPTIONS, OPTIONS_LINK};
use crate::host::{HostIdentity, installed_releases};

/// What stock tools lack of `current`; what is somebody else's in its place is not looked at.
pub fn lacking(
    host: &FileSystem,
    identity: &HostIdentity,
    current: &CurrentGeneration,
) -> Result<Vec<Lacking>, CompatError> {
    let places = Places::read(host, &mut ReconcileReport::default())?;
    let wanted = wanted(current, identity, &mut Vec::new())?;
    Ok(lacking_at(host, &places, current, &wanted)?)
}

pub(super) fn lacking_at(
    host: &FileSystem,
    places: &Places,
    current: &CurrentGeneration,
    wanted: &Wanted,
) -> Result<Vec<Lacking>, FileError> {
    let mut found = Vec::new();
    if !current.bundles().is_empty() {
        let place = Place::open(host, places.configuration.clone())?;
        let files = [Lost::Options(OPTIONS_LINK), Lost::Switches(CONFIGURATION_LINK)];
        // A generation of 0.1.0 has its options in the second file, until the next install.
        let has_options = current.directory().kind(OPTIONS)?.is_some();
        for (link, lost) in [OPTIONS_LINK, CONFIGURATION_LINK].into_iter().zip(files) {
            if !place.has_link(link)? && (has_options || link != OPTIONS_LINK) {
                found.push(place.lacking(lost));
            }
        }
    }
    for (release, scripts) in wanted {
        let place = Place::open(host, places.cache.join(release.as_str()))?;
        let lost = lost(scripts, |name, entry| {
            Ok(place.has_link(&module_file_name(name))? && place.has_options(name, entry)?)
        })?;
        found.extend((!lost.is_empty()).then(|| place.lacking(Lost::Modules(lost))));
    }
    let installed = installed_releases(host)?;
    for (release, scripts) in wanted.iter().filter(|(release, _)| installed.contains(release)) {
        found.extend(lacking_for_users(host, release, scripts)?);
    }
    Ok(found)
}

fn lacking_for_users(
    host: &FileSystem,
    release: &KernelRelease,
    scripts: &BTreeMap<ScriptName, CacheEntry>,
) -> Result<Option<Lacking>, FileError> {
    let place = Place::open(host, format!("{LIB_MODULES}/{release}/{SYSTEMTAP}").into())?;
    let lost =
        lost(scripts, |name, entry| Ok(!entry.for_users || place.kind(&module_file_name(name))?.is_some()))?;
    Ok((!lost.is_empty()).then(|| place.lacking(Lost::ForUsers(lost))))
}

/// A directory for stock tools, or where it should be.
struct Place<'h> {
    host: &'h FileSystem,
    path: PathBuf,
    directory: At,
}

enum At {
    Nothing,
    /// Somebody else's file.
    Foreign,
    Directory(Directory),
}

impl<'h> Place<'h> {
    fn open(host: &'h FileSystem, path: PathBuf) -> Result<Self, FileError> {
        let directory = match host.open_dir(&path) {
            Ok(directory) => At::Directory(directory),
            Err(error) if error.is_not_found() => At::Nothing,
            Err(error) if error.kind() == ErrorKind::NotADirectory => At::Foreign,
            Err(error) => return Err(error),
        };
        Ok(Self { host, path, directory })
    }

    fn kind(&self, name: &str) -> Result<Option<FileType>, FileError> {
        match &self.directory {
            At::Nothing => Ok(None),
            At::Foreign => Ok(Some(FileType::Unknown)),
            At::Directory(directory) => directory.kind(name),
        }
    }

    /// Whether a link of ours leads to a file, or something of others has its name.
    fn has_link(&self, name: &str) -> Result<bool, FileError> {
        match &self.directory {
            At::Directory(directory) if has_our_link(directory, name)? => {
                Ok(there(self.host.open_file(self.path.join(name)))?.is_some())
            }
            _ => Ok(self.kind(name)?.is_some()),
        }
    }

    /// Whether the options beside our link are those that were signed. Their first line is the running kernel's, and follows it.
    fn has_options(&self, script: &ScriptName, entry: &CacheEntry) -> Result<bool, FileError> {
        let At::Directory(directory) = &self.directory else { return Ok(true) };
        if !has_our_link(directory, &module_file_name(script))? {
            return Ok(true);
        }
        let found = self.host.read_file(self.path.join(opts_file_name(script)), MAX_OPTS);
        let Some(found) = there(found)? else { return Ok(false) };
        Ok(String::from_utf8_lossy(&found).lines().last() == entry.opts.lines().last())
    }

    fn lacking(&self, what: Lost) -> Lacking {
        let nearest = self.host.nearest_dir(&self.path);
        let read_only = nearest.and_then(|directory| directory.is_read_only()).unwrap_or(false);
        Lacking { directory: self.path.clone(), what, read_only }
    }
}

/// `None` for what isn't there, or can't be what we have made; what the disk doesn't give is not known.
fn there<T>(result: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match result {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::InvalidInput
                    | ErrorKind::FileTooLarge
            ) =>
        {
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Those of `scripts` that aren't there.
fn lost(
    scripts: &BTreeMap<ScriptName, CacheEntry>,
    is_there: impl Fn(&ScriptName, &CacheEntry) -> Result<bool, FileError>,
) -> Result<Vec<ScriptName>, FileError> {
    let mut lost = Vec::new();
    for (name, entry) in scripts {
        if !is_there(name, entry)? {
            lost.push(name.clone());
        }
    }
    Ok(lost)
}
