//! What the images of this host's kernels have, beside what they would be given now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KernelRelease};
use files::{FileError, with_causes};
use installer::{
    CurrentGeneration, GivenScript, HostIdentity, ImageRecord, ImageStamp, NewerState, has_image_records,
    image_record, installed_releases,
};
use script_config::{Configuration, ScriptName};
use serde::Serialize;

use crate::host::Host;
use crate::kernel::ModuleRules;
use crate::offers::{Installed, Offers};
use crate::onboot::fitness::{Fitness, Unfit};
use crate::onboot::settings::settings;
use crate::records::EarlyStart;

/// The command that mends what is wrong with an image.
const REFRESH: &str = "stap-bundle onboot --refresh";

/// What starts from the initramfs.
#[derive(Debug, Default, Serialize)]
pub struct OnbootStatus {
    /// The scripts of the list.
    pub scripts: BTreeSet<ScriptName>,
    /// By kernel of this host.
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
        if list.is_empty() && early.is_none() && !has_image_records(&of.host.files)? {
            return Ok(None);
        }
        let kernels = installed_releases(&of.host.files)?.into_iter();
        let images = kernels.map(|kernel| of.of_kernel(kernel, &list)).collect::<Result<_, _>>()?;
        Ok(Some(Self { scripts: list, images, early }))
    }
}

impl Images<'_> {
    fn of_kernel(
        &self,
        kernel: KernelRelease,
        list: &BTreeSet<ScriptName>,
    ) -> Result<ImageOfKernel, FileError> {
        let image = image_of(self.host, &kernel);
        let wanted = self.wanted(&kernel, list);
        let left_out = wanted.unfit.iter().map(|(name, why)| (name.clone(), why.to_string())).collect();
        let (record, problem) = match image_record(&self.host.files, &kernel) {
            Err(error) if NewerState::in_error(&error).is_some() => return Err(error),
            Err(error) => (None, Some(format!("isn't known: {}: run `{REFRESH}`", with_causes(&error)))),
            Ok(None) => (
                None,
                (!wanted.scripts.is_empty()).then(|| format!("has no early scripts yet: run `{REFRESH}`")),
            ),
            Ok(Some(record)) => {
                let problem =
                    self.out_of_date(&wanted, &record).or_else(|| self.unfinished(&record, image.as_ref()));
                (Some(record), problem)
            }
        };
        let (generation, scripts) = record.map_or_else(Default::default, |record| {
            (record.generation, record.scripts.into_keys().collect())
        });
        Ok(ImageOfKernel { kernel, image, generation, scripts, left_out, problem })
    }

    /// What an image of this kernel would be given now, and what it wouldn't.
    fn wanted(&self, kernel: &KernelRelease, list: &BTreeSet<ScriptName>) -> Wanted {
        let identity = of_kernel(self.identity, kernel);
        let installed = self.current.map_or_else(Installed::nothing, |current| {
            Installed::of(current, &identity, &self.host.files, &ModuleRules::read(self.host))
        });
        let offers = Offers::find(self.host, &identity, installed, self.own);
        let fitness = Fitness::of(&offers, list);
        let settings = settings(self.host, &offers, &fitness);
        Wanted { scripts: fitness.fit, unfit: fitness.unfit, settings }
    }

    fn out_of_date(&self, wanted: &Wanted, record: &ImageRecord) -> Option<String> {
        let now = self.current.map(CurrentGeneration::number);
        if record.scripts != wanted.scripts {
            return Some(match (record.generation, now) {
                (Some(has), Some(now)) if has != now => {
                    format!("has modules of generation {has}, current is {now}: run `{REFRESH}`")
                }
                _ => format!("is out of date: run `{REFRESH}`"),
            });
        }
        // What isn't known isn't compared.
        let differs = record.settings.zip(wanted.settings).is_some_and(|(then, now)| then != now);
        (differs && !wanted.scripts.is_empty()).then(|| {
            format!("is out of date (options, masks, trust, boot guard or program): run `{REFRESH}`")
        })
    }

    fn unfinished(&self, record: &ImageRecord, image: Option<&PathBuf>) -> Option<String> {
        let Some(image) = image else {
            return (!record.scripts.is_empty()).then(|| format!("is missing from /boot: run `{REFRESH}`"));
        };
        let found = stamp_of(self.host, image)?;
        match record.image {
            Some(made) if made != found => {
                Some(format!("was changed by something that didn't stage its scripts: run `{REFRESH}`"))
            }
            None if found.modified.cast_unsigned() < record.time => {
                Some(format!("wasn't finished: it is older than its record: run `{REFRESH}`"))
            }
            _ => None,
        }
    }
}

/// What an image would be given now.
struct Wanted {
    scripts: BTreeMap<ScriptName, GivenScript>,
    unfit: BTreeMap<ScriptName, Unfit>,
    settings: Option<Digest>,
}

/// By what an image is told from another; `None` where it can't be looked at.
pub(super) fn stamp_of(host: &Host, image: &Path) -> Option<ImageStamp> {
    let directory = host.files.open_dir(image.parent()?).ok()?;
    let stat = directory.stat(image.file_name()?.to_str()?).ok()??;
    Some(ImageStamp { modified: stat.st_mtime, size: stat.st_size })
}

/// What the host would say of itself under this kernel. Of one that doesn't run only the release is known.
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
