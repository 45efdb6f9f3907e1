//! Giving an image what a start needs: the installer's part for bundles, and beside it what was compiled here and the host's own
//! configuration. All of it is read once more from the image, as the start will read it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use files::{FileError, FileSystem, optional};
use installer::{
    CONFIGURATION_LINK, CurrentGeneration, HostIdentity, ImageRecord, OPTIONS_LINK, copy_into_image,
    image_record, masks, write_image_record, write_onboot_list,
};
use script_config::{Configuration, GlobalParameters, ScriptName};

use crate::boot::GuardRecord;
use crate::host::{Host, ServiceError};
use crate::kernel::ModuleRules;
use crate::local::{LocalModule, LocalRecord};
use crate::offers::{Installed, Offers, Origin};
use crate::onboot::fitness::{Fitness, Unfit};
use crate::onboot::settings::settings;
use crate::staprun::Staprun;

/// Most bytes of a configuration file.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// The host whose image it is.
pub(crate) struct ImageOf<'a> {
    pub(crate) host: &'a Host,
    pub(crate) identity: &'a HostIdentity,
    pub(crate) current: Option<&'a CurrentGeneration>,
    pub(crate) offers: &'a Offers<'a>,
    pub(crate) parameters: &'a GlobalParameters,
    pub(crate) own: &'a Configuration,
    /// Whether this image is the kernel's usual one, so that what it has is remembered.
    pub(crate) is_recorded: bool,
}

/// Gives the scripts of the list that fit to the image whose root is `into`, and remembers that. What fails leaves nothing there, and no
/// promise. Returns the scripts that don't fit.
pub(crate) fn stage(
    of: &ImageOf<'_>,
    into: &FileSystem,
    list: &BTreeSet<ScriptName>,
) -> Result<BTreeMap<ScriptName, Unfit>, ServiceError> {
    let release = of.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
    if list.is_empty() && image_record(&of.host.files, release)?.is_none() {
        return Ok(BTreeMap::new());
    }
    of.record(release, &Fitness::default())?;
    let places = of.places(release);
    // What fails is removed again, so nothing may be there that isn't ours: a host's own root least of all.
    if let Some(taken) = places.iter().find(|path| into.locate(path).is_ok()) {
        let place = into.path().join(taken.strip_prefix("/").unwrap_or(taken));
        return Err(ServiceError::NoFreshImage { place });
    }
    let fitness = Fitness::of(of.offers, list);
    let written = if fitness.fit.is_empty() { Ok(()) } else { of.write(into, &fitness.names()) };
    if let Err(error) = written.and_then(|()| of.record(release, &fitness)) {
        remove(into, &places);
        return Err(error);
    }
    Ok(fitness.unfit)
}

impl ImageOf<'_> {
    fn record(&self, release: &KernelRelease, fitness: &Fitness) -> Result<(), ServiceError> {
        if !self.is_recorded {
            return Ok(());
        }
        let record = ImageRecord {
            time: self.host.now(),
            generation: self.current.map(CurrentGeneration::number),
            scripts: fitness.fit.clone(),
            settings: settings(self.host, self.offers, fitness),
            image: None,
        };
        Ok(write_image_record(&self.host.files, release, &record)?)
    }

    fn write(&self, into: &FileSystem, scripts: &BTreeSet<ScriptName>) -> Result<(), ServiceError> {
        // The hooks add both; without them nothing would start.
        Staprun::find(self.host)?;
        if !self.host.stapio.iter().any(|path| path.exists()) {
            return Err(ServiceError::image("stapio not found: install the package systemtap-runtime"));
        }
        if let Some(current) = self.current {
            copy_into_image(&self.host.files, into, current, &self.builds(current), scripts)
                .map_err(ServiceError::image)?;
        }
        let image = Host::configured(FileSystem::open(into.path())?, self.parameters);
        for name in scripts {
            self.copy_local(&image, name)?;
        }
        self.copy_configuration(into)?;
        write_onboot_list(into, scripts)?;
        self.prove(&image, scripts)
    }

    /// The host under each build of the kernel that bundles have: which of them is installed isn't known before it runs.
    fn builds(&self, current: &CurrentGeneration) -> Vec<HostIdentity> {
        let kernels = current.bundles().iter().flat_map(|bundle| &bundle.manifest.kernels);
        let of_release = kernels.filter(|kernel| Some(&kernel.release) == self.identity.release.as_ref());
        let versions: BTreeSet<Option<String>> = of_release.map(|kernel| kernel.uname_v.clone()).collect();
        versions.into_iter().map(|version| HostIdentity { version, ..self.identity.clone() }).collect()
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
        copy_file(host, into, Path::new("/etc/systemtap"), "config")?;
        let directory = &self.parameters.config_path;
        let Some(found) = optional(host.open_dir(directory))? else { return Ok(()) };
        let is_own = |name: &&String| {
            name.strip_suffix(".conf").is_some() && *name != OPTIONS_LINK && *name != CONFIGURATION_LINK
        };
        found.entries()?.iter().filter(is_own).try_for_each(|name| copy_file(host, into, directory, name))
    }

    /// Reads the image as the start in it will, and writes what the boot guard knows.
    fn prove(&self, image: &Host, scripts: &BTreeSet<ScriptName>) -> Result<(), ServiceError> {
        // Where it isn't known what is masked, a start here begins nothing.
        masks(&image.files).map_err(ServiceError::image)?;
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
        GuardRecord::hand_on(self.host, image, &self.offers.bundle_ids(), offers.bundle_ids())
    }

    /// The directories of an image that it gets.
    fn places(&self, release: &KernelRelease) -> Vec<PathBuf> {
        let own = ["/etc/stap-bundle", "/etc/systemtap", "/var/lib/stap-bundle"].map(PathBuf::from);
        let others = [self.parameters.config_path.clone(), self.parameters.cache_path.join(release.as_str())];
        own.into_iter().chain(others).collect()
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

/// Where a name leads to no file, there is no configuration. Nobody but root reads it in the image.
fn copy_file(host: &FileSystem, into: &FileSystem, directory: &Path, name: &str) -> Result<(), FileError> {
    let path = directory.join(name);
    let is_file = optional(host.open_file(&path)).is_ok_and(|file| file.is_some());
    if !is_file {
        return Ok(());
    }
    let bytes = host.read_file(&path, MAX_CONFIGURATION)?;
    let mut file = into.ensure_dir(directory)?.create_file_with(name, 0o600)?;
    std::io::Write::write_all(&mut file, &bytes).map_err(|error| FileError::new("write", path, error))
}
