//! Modules that were compiled on this very host (`compile`, AUTOCOMPILE): trusted through a record of their own.
//!
//! ```text
//! /var/lib/stap-bundle/local/REL/NAME.json   what was compiled, of what, and its digest; written last
//! CACHE_PATH/REL/NAME.ko, NAME.opts          as the initscript has them; the .ko counts only with its digest in the record
//! ```
//!
//! A script that an installed bundle offers is never taken from here. Records count only where nobody but the service's
//! user can write.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KernelRelease};
use installer::HostIdentity;
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::error::PathContext;
use crate::offer::{CompiledWith, Offer, OfferedBy, RefusedBundle, Source, VerifiedModule};
use crate::{Host, Refusal, ServiceError, atomic_file};

/// The version of the records that this program writes.
const SCHEMA: u32 = 1;

/// Directories above the records that must be protected too: `/var/lib/stap-bundle` up to `/var`.
const PROTECTED_ABOVE: usize = 3;

/// What `status` and records call the bundle of such a module.
const LOCAL: &str = "local";

/// A module that was compiled here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalModule {
    /// Version of this document; 1.
    pub schema: u32,
    /// The script.
    pub script: ScriptName,
    /// The kernel's release.
    pub release: KernelRelease,
    /// `uname -v` of the kernel, if it was known: another build of the release doesn't get the module.
    pub uname_v: Option<String>,
    /// The module's digest.
    pub sha256: Digest,
    /// The script's digest.
    pub source_sha256: Digest,
    /// What it was compiled with, as NAME.opts has it (INIT-CACHE-03).
    pub opts_line: String,
    /// Run arguments for `staprun`.
    pub run: Vec<String>,
    /// What must run before it.
    pub requires: Vec<ScriptName>,
    /// When, in seconds since 1970.
    pub compiled: u64,
}

impl LocalModule {
    /// The version that new records get.
    pub const SCHEMA: u32 = SCHEMA;

    fn directory(host: &Host, release: &KernelRelease) -> PathBuf {
        host.local_dir.join(release.as_str())
    }

    fn path(host: &Host, release: &KernelRelease, script: &ScriptName) -> PathBuf {
        Self::directory(host, release).join(format!("{script}.json"))
    }

    /// Where a script's module is.
    #[must_use]
    pub fn module_path(host: &Host, release: &KernelRelease, script: &ScriptName) -> PathBuf {
        host.cache_dir.join(release.as_str()).join(format!("{script}.ko"))
    }

    /// Stores module, `.opts` and record, each in one step and the record last: what is there without it doesn't count.
    pub(crate) fn store(&self, host: &Host, module: &[u8], uname_a: &str) -> Result<(), ServiceError> {
        let path = Self::module_path(host, &self.release, &self.script);
        let record = Self::path(host, &self.release, &self.script);
        // Cut here, the old record stands beside the new module: neither counts, and the next start compiles again.
        atomic_file::replace_for_good(&path, module)?;
        let opts = format!("{uname_a}\n{}\n", self.opts_line);
        atomic_file::replace_for_good(&path.with_extension("opts"), opts.as_bytes())?;
        let mut text = serde_json::to_vec(self).map_err(std::io::Error::other).context("write", &record)?;
        text.push(b'\n');
        atomic_file::replace_for_good(&record, &text)
    }

    /// The record of a script for a kernel; none where others could have written it.
    #[must_use]
    pub fn read(host: &Host, release: &KernelRelease, script: &ScriptName) -> Option<Self> {
        let path = Self::path(host, release, script);
        let above = host.local_dir.ancestors().skip(1).take(PROTECTED_ABOVE);
        let own = [host.local_dir.as_path(), path.parent()?, path.as_path()];
        if !own.into_iter().all(only_we_write) || !above.into_iter().all(is_protected) {
            return None;
        }
        let record: Self = serde_json::from_slice(&atomic_file::read(&path).ok()??).ok()?;
        let fits = record.schema == SCHEMA && record.script == *script && record.release == *release;
        fits.then_some(record)
    }

    /// All records for a kernel, by script.
    pub(crate) fn read_all(host: &Host, release: &KernelRelease) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(Self::directory(host, release)) else { return Vec::new() };
        let name = |entry: fs::DirEntry| -> Option<ScriptName> {
            entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()
        };
        let mut names: Vec<ScriptName> = entries.filter_map(|entry| name(entry.ok()?)).collect();
        names.sort();
        names.iter().filter_map(|script| Self::read(host, release, script)).collect()
    }

    /// Forgets a module that was removed.
    pub(crate) fn forget(
        host: &Host,
        release: &KernelRelease,
        script: &ScriptName,
    ) -> Result<(), ServiceError> {
        atomic_file::remove(&Self::path(host, release, script))
    }

    /// The module's bytes, if they are those of the record.
    ///
    /// # Errors
    /// Why they aren't.
    pub fn read_module(&self, host: &Host) -> Result<Vec<u8>, Refusal> {
        let path = Self::module_path(host, &self.release, &self.script);
        let missing = |why: String| Refusal::LocalOutdated { detail: format!("{}: {why}", path.display()) };
        let is_file = fs::symlink_metadata(&path).map_err(|error| missing(error.to_string()))?.is_file();
        if !is_file {
            return Err(missing("it is no plain file".into()));
        }
        let bytes = fs::read(&path).map_err(|error| missing(error.to_string()))?;
        let found = Digest::of(&bytes);
        if found == self.sha256 {
            return Ok(bytes);
        }
        let detail = format!("{}: expected SHA-256 {}, found {found}", path.display(), self.sha256);
        Err(Refusal::LocalOutdated { detail })
    }
}

/// Whether nobody but root and us can put another directory in the place of one that is in this one.
fn is_protected(directory: &Path) -> bool {
    let owners = [0, rustix::process::geteuid().as_raw()];
    fs::metadata(directory).is_ok_and(|found| owners.contains(&found.uid()) && found.mode() & 0o022 == 0)
}

/// Whether a file or directory is ours, and nobody else may write to it.
fn only_we_write(path: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|found| found.uid() == user && found.mode() & 0o022 == 0)
}

/// Another source, and behind it what was compiled here.
pub(crate) struct WithLocal<'s> {
    host: &'s Host,
    identity: &'s HostIdentity,
    bundles: Box<dyn Source + 's>,
    local: BTreeMap<ScriptName, LocalModule>,
}

impl<'s> WithLocal<'s> {
    pub(crate) fn new(host: &'s Host, identity: &'s HostIdentity, bundles: Box<dyn Source + 's>) -> Self {
        let offered = bundles.offers();
        let records = identity.release.as_ref().map(|release| LocalModule::read_all(host, release));
        let free = |record: &LocalModule| !offered.iter().any(|offer| offer.name == record.script);
        let local = records.unwrap_or_default().into_iter().filter(free);
        let local = local.map(|record| (record.script.clone(), record)).collect();
        Self { host, identity, bundles, local }
    }

    /// A script that is on this host must still be the one that was compiled; one that is not was brought as a module.
    fn fresh(&self, record: &LocalModule) -> Result<(), Refusal> {
        let script = self.host.script_dir.join(format!("{}.stp", record.script));
        match fs::read(&script) {
            Ok(text) if Digest::of(&text) != record.source_sha256 => {
                Err(Refusal::LocalOutdated { detail: format!("{} has changed since", script.display()) })
            }
            _ => Ok(()),
        }
    }

    fn offer(&self, record: &LocalModule) -> Offer {
        let built = record.uname_v.as_ref().filter(|built| self.identity.version.as_ref() != Some(built));
        let cell = match built {
            Some(built) => Err(Refusal::LocalOutdated {
                detail: format!(
                    "it is for the build {built} of kernel {}, this host runs {}",
                    record.release,
                    self.identity.version.as_deref().unwrap_or("another")
                ),
            }),
            None => self.fresh(record),
        };
        Offer {
            name: record.script.clone(),
            compiled_with: CompiledWith::Line(record.opts_line.clone()),
            run: record.run.clone(),
            options_from: None,
            requires: record.requires.clone(),
            bundle: OfferedBy {
                name: LOCAL.into(),
                version: record.compiled.to_string(),
                id: record.sha256.to_string(),
                generation: OfferedBy::NO_GENERATION,
            },
            vermagic: None,
            cell,
        }
    }
}

impl Source for WithLocal<'_> {
    fn offers(&self) -> Vec<Offer> {
        let mut offers = self.bundles.offers();
        offers.extend(self.local.values().map(|record| self.offer(record)));
        offers.sort_by(|a, b| a.name.cmp(&b.name));
        offers
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        self.bundles.refused_bundles()
    }

    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal> {
        match self.local.get(&offer.name).filter(|_| offer.bundle.is_local()) {
            Some(record) => {
                let bytes = record.read_module(self.host)?;
                Ok(VerifiedModule::vouched_for(bytes, record.sha256.to_string()))
            }
            None => self.bundles.read(offer),
        }
    }
}
