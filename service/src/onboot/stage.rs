//! Giving an image what a start needs: the installer's part for bundles, and beside it what was compiled here and the host's own
//! configuration. All of it is read once more from the image, as the start will read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use files::{FileError, FileSystem, optional};
use installer::{
    CONFIGURATION_LINK, CurrentGeneration, GivenImage, HostIdentity, OPTIONS_LINK, copy_into_image,
    remember_image, write_list,
};
use script_config::{Configuration, GlobalParameters, ScriptName};

use crate::boot::GuardRecord;
use crate::host::{Host, ServiceError};
use crate::kernel::ModuleRules;
use crate::local::{LocalModule, LocalRecord};
use crate::offers::{Installed, Offers, Origin};
use crate::onboot::fitness::{Fitness, Unfit, given};

/// Most bytes of a configuration file.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// What an image was given.
#[derive(Debug)]
pub struct StagedScripts {
    pub scripts: BTreeSet<ScriptName>,
    /// Scripts of the list that it wasn't given.
    pub left_out: BTreeMap<ScriptName, Unfit>,
}

/// The host whose image it is.
pub(crate) struct ImageOf<'a> {
    pub(crate) host: &'a Host,
    pub(crate) identity: &'a HostIdentity,
    pub(crate) current: Option<&'a CurrentGeneration>,
    pub(crate) offers: &'a Offers<'a>,
    pub(crate) parameters: &'a GlobalParameters,
    pub(crate) own: &'a Configuration,
}

/// Gives the scripts of the list that fit to the image whose root is `into`, and remembers that. What fails leaves nothing there.
pub(crate) fn stage(
    of: &ImageOf<'_>,
    into: &FileSystem,
    list: &BTreeSet<ScriptName>,
) -> Result<StagedScripts, ServiceError> {
    let release = of.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
    let places = of.places(release);
    // What fails is removed again, so nothing may be there that isn't ours: a host's own root least of all.
    if let Some(taken) = places.iter().find(|path| into.locate(path).is_ok()) {
        let place = into.path().join(taken.strip_prefix("/").unwrap_or(taken));
        return Err(FileError::new("make", place, std::io::ErrorKind::AlreadyExists).into());
    }
    let Fitness { fit, unfit } = Fitness::of(of.offers, list);
    let written = if fit.is_empty() { Ok(()) } else { of.write(into, &fit) };
    let given = GivenImage {
        time: Some(of.host.now()),
        generation: of.current.map(CurrentGeneration::number),
        scripts: fit.iter().filter_map(|name| Some((name.clone(), given(of.offers, name)?))).collect(),
    };
    if let Err(error) = written.and_then(|()| Ok(remember_image(&of.host.files, release, &given)?)) {
        remove(into, &places);
        return Err(error);
    }
    Ok(StagedScripts { scripts: fit, left_out: unfit })
}

impl ImageOf<'_> {
    fn write(&self, into: &FileSystem, scripts: &BTreeSet<ScriptName>) -> Result<(), ServiceError> {
        let is_local = |name: &&ScriptName| {
            let origin = self.offers.get(name).map(|candidate| &candidate.origin);
            matches!(origin, Some(Origin::Local(_)))
        };
        if let Some(current) = self.current {
            copy_into_image(&self.host.files, into, current, self.identity, scripts)
                .map_err(ServiceError::image)?;
        }
        let image = Host::configured(again(into)?, self.parameters);
        for name in scripts.iter().filter(is_local) {
            self.copy_local(&image, name)?;
        }
        self.copy_configuration(into)?;
        write_list(into, scripts)?;
        self.prove(&image, scripts)
    }

    fn copy_local(&self, image: &Host, name: &ScriptName) -> Result<(), ServiceError> {
        let Some(candidate) = self.offers.get(name) else { return Ok(()) };
        let Origin::Local(LocalRecord::Good(record)) = &candidate.origin else { return Ok(()) };
        let module = self.offers.read(candidate).map_err(ServiceError::image)?;
        let path = LocalModule::module_path(image, &record.release, name);
        let directory = image.files.ensure_dir(path.parent().unwrap_or(Path::new("/")))?;
        directory.write_new(&format!("{name}.ko"), module.bytes())?;
        record.write(image)
    }

    /// The initscript's configuration, without what bundles have put there: they bring it themselves.
    fn copy_configuration(&self, into: &FileSystem) -> Result<(), FileError> {
        let host = &self.host.files;
        let main = PathBuf::from("/etc/systemtap");
        copy_file(host, into, &main, "config")?;
        let directory = &self.parameters.config_path;
        let Some(found) = optional(host.open_dir(directory))? else { return Ok(()) };
        let own = |name: &&String| *name != OPTIONS_LINK && *name != CONFIGURATION_LINK;
        found.entries()?.iter().filter(own).try_for_each(|name| copy_file(host, into, directory, name))
    }

    /// Reads the image as the start in it will, and writes what the boot guard knows.
    fn prove(&self, image: &Host, scripts: &BTreeSet<ScriptName>) -> Result<(), ServiceError> {
        let current = CurrentGeneration::open(&image.files).map_err(ServiceError::image)?;
        let rules = ModuleRules::read(self.host);
        let installed = current.as_ref().map_or_else(Installed::nothing, |current| {
            Installed::of(current, self.identity, &image.files, &rules)
        });
        let offers = Offers::find(image, self.identity, installed, self.own);
        let there = Fitness::of(&offers, scripts);
        if let Some((script, why)) = there.unfit.into_iter().next() {
            return Err(ServiceError::WrongImage { script, why: why.to_string() });
        }
        let bundles = self.offers.bundle_ids();
        GuardRecord::hand_on(self.host, image, &bundles, offers.bundle_ids())
    }

    /// The directories of an image that it gets.
    fn places(&self, release: &KernelRelease) -> Vec<PathBuf> {
        let own = ["/etc/stap-bundle", "/etc/systemtap", "/var/lib/stap-bundle"].map(PathBuf::from);
        own.into_iter().chain([self.parameters.cache_path.join(release.as_str())]).collect()
    }
}

fn remove(into: &FileSystem, places: &[PathBuf]) {
    for path in places {
        let Some(name) = path.file_name() else { continue };
        let parent = path.parent().and_then(|parent| into.open_dir(parent).ok());
        // The error that brought us here is the news.
        let _ = parent.map(|parent| parent.remove_tree(&name.to_string_lossy()));
    }
}

fn again(into: &FileSystem) -> Result<FileSystem, FileError> {
    FileSystem::open(into.path())
}

fn copy_file(host: &FileSystem, into: &FileSystem, directory: &Path, name: &str) -> Result<(), FileError> {
    // A link or a directory there is no configuration of this host's own, or leads to something that the image doesn't have.
    match optional(host.read_file(directory.join(name), MAX_CONFIGURATION)) {
        Ok(Some(bytes)) => into.ensure_dir(directory)?.write_new(name, &bytes),
        Ok(None) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        Err(error) => Err(error),
    }
}
