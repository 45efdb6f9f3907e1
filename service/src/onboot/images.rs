//! What the images of this host's kernels have, beside what they would be given now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use bundle_format::KernelRelease;
use files::FileError;
use installer::{CurrentGeneration, GivenImage, HostIdentity, given_image, given_images, installed_releases};
use script_config::{Configuration, ScriptName};
use serde::Serialize;

use crate::host::Host;
use crate::kernel::ModuleRules;
use crate::offers::{Installed, Offers};
use crate::onboot::fitness::{Fitness, given};
use crate::records::EarlyStart;

/// The command that mends what is wrong with an image.
const REFRESH: &str = "stap-bundle onboot --refresh";

/// What starts from the initramfs.
#[derive(Debug, Default, Serialize)]
pub struct OnbootStatus {
    /// The scripts of the list.
    pub scripts: BTreeSet<ScriptName>,
    /// The kernels of this host, and those whose images were given something.
    pub images: Vec<ImageOfKernel>,
    /// What the start in the initramfs did in this boot; absent if there was none.
    pub early: Option<EarlyStart>,
}

/// The image of one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageOfKernel {
    pub kernel: KernelRelease,
    /// Where it is; absent where none is known.
    pub image: Option<PathBuf>,
    /// The generation that it was made from.
    pub generation: Option<u64>,
    /// The scripts that it has.
    pub scripts: BTreeSet<ScriptName>,
    /// Scripts of the list that it can't be given, with the reasons.
    pub left_out: BTreeMap<ScriptName, String>,
    /// Why it should be made again, and how; absent if it is as it should be.
    pub problem: Option<String>,
}

/// The host whose images they are.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    pub(crate) host: &'a Host,
    pub(crate) identity: &'a HostIdentity,
    pub(crate) current: Option<&'a CurrentGeneration>,
    pub(crate) own: &'a Configuration,
}

impl OnbootStatus {
    /// `None` where nothing starts from the initramfs, and no image has anything that would.
    pub(crate) fn look(of: Images<'_>, list: BTreeSet<ScriptName>) -> Result<Option<Self>, FileError> {
        let early = EarlyStart::read(of.host);
        let held = given_images(&of.host.files)?;
        if list.is_empty() && held.is_empty() && early.is_none() {
            return Ok(None);
        }
        let mut kernels = installed_releases(&of.host.files)?;
        kernels.extend(held);
        kernels.sort();
        kernels.dedup();
        let images =
            kernels.into_iter().map(|kernel| of.of_kernel(kernel, &list)).collect::<Result<_, _>>()?;
        Ok(Some(Self { scripts: list, images, early }))
    }
}

impl Images<'_> {
    fn of_kernel(
        &self,
        kernel: KernelRelease,
        list: &BTreeSet<ScriptName>,
    ) -> Result<ImageOfKernel, FileError> {
        let (wanted, left_out) = self.wanted(&kernel, list);
        let held = given_image(&self.host.files, &kernel)?;
        let image = image_of(self.host, &kernel);
        let problem = self.problem(&wanted, held.as_ref(), image.as_ref());
        let (generation, scripts) = match held {
            Some(held) => (held.generation, held.scripts.into_keys().collect()),
            None => (None, BTreeSet::new()),
        };
        Ok(ImageOfKernel { kernel, image, generation, scripts, left_out, problem })
    }

    /// What an image of this kernel would be given now, and what it wouldn't.
    fn wanted(
        &self,
        kernel: &KernelRelease,
        list: &BTreeSet<ScriptName>,
    ) -> (GivenImage, BTreeMap<ScriptName, String>) {
        let identity = of_kernel(self.identity, kernel);
        let installed = self.current.map_or_else(Installed::nothing, |current| {
            Installed::of(current, &identity, &self.host.files, &ModuleRules::read(self.host))
        });
        let offers = Offers::find(self.host, &identity, installed, self.own);
        let Fitness { fit, unfit } = Fitness::of(&offers, list);
        let scripts = fit.iter().filter_map(|name| Some((name.clone(), given(&offers, name)?))).collect();
        let generation = self.current.map(CurrentGeneration::number);
        let left_out = unfit.into_iter().map(|(name, why)| (name, why.to_string())).collect();
        (GivenImage { time: None, generation, scripts }, left_out)
    }

    fn problem(
        &self,
        wanted: &GivenImage,
        held: Option<&GivenImage>,
        image: Option<&PathBuf>,
    ) -> Option<String> {
        let Some(held) = held else {
            return (!wanted.scripts.is_empty()).then(|| format!("has no scripts yet: {REFRESH}"));
        };
        if held.scripts != wanted.scripts {
            let of = |generation: Option<u64>| {
                generation.map_or_else(|| "no generation".to_owned(), |number| format!("generation {number}"))
            };
            let (has, now) = (of(held.generation), of(wanted.generation));
            return Some(if has == now {
                format!("doesn't have what would be put into it now: {REFRESH}")
            } else {
                format!("has modules of {has}, current is {now}: {REFRESH}")
            });
        }
        let Some(image) = image else {
            return Some(format!("was given its scripts, and isn't found in /boot: {REFRESH}"));
        };
        let changed = self
            .host
            .files
            .open_file(image)
            .and_then(|file| file.metadata().map_err(|error| FileError::new("look at", image, error)));
        let changed = changed.and_then(|metadata| {
            metadata.modified().map_err(|error| FileError::new("look at", image, error))
        });
        // Whoever may not read it isn't told.
        let changed = changed.ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let is_unfinished = held.time.is_some_and(|given| changed < given);
        is_unfinished
            .then(|| format!("is older than what it was to be given, so it was never finished: {REFRESH}"))
    }
}

/// What the host would say of itself under this kernel. Of one that doesn't run only the release is known.
#[must_use]
pub(crate) fn of_kernel(identity: &HostIdentity, release: &KernelRelease) -> HostIdentity {
    if identity.release.as_ref() == Some(release) {
        return identity.clone();
    }
    HostIdentity { release: Some(release.clone()), version: None, uname_a: None, ..identity.clone() }
}

/// The image of a kernel, where distributions put it: Debian, Fedora, SUSE, and by the Boot Loader Specification.
pub(crate) fn image_of(host: &Host, release: &KernelRelease) -> Option<PathBuf> {
    let machine = host.files.read_file("/etc/machine-id", 64).unwrap_or_default();
    let machine = String::from_utf8_lossy(&machine).trim().to_owned();
    let mut places = vec![
        format!("/boot/initrd.img-{release}"),
        format!("/boot/initramfs-{release}.img"),
        format!("/boot/initrd-{release}"),
    ];
    if !machine.is_empty() {
        let below = ["/efi", "/boot", "/boot/efi"];
        places.extend(below.map(|top| format!("{top}/{machine}/{release}/initrd")));
    }
    places.into_iter().map(PathBuf::from).find(|path| host.files.locate(path).is_ok())
}
