//! Modules that were compiled on this very host (`compile`, AUTOCOMPILE), or adopted on it (`adopt`): trusted through a record of
//! their own.
//!
//! ```text
//! /var/lib/stap-bundle/local/REL/NAME.json   what was compiled, of what, its digest and its options: the one switch
//! CACHE_PATH/REL/NAME.ko, NAME.opts          as the initscript has them; the .ko counts only with its digest in the record
//! CACHE_PATH/REL/.NAME.ko.next, …            the same of a set that the record names already, or will ([`crate::local::switch`])
//! ```
//!
//! A script that an installed bundle offers is never taken from here. Records count only where nobody but root, or the service's
//! user, can write.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{Digest, KernelRelease};
use files::FileError;
use installer::{NewerState, StateVersion};
use script_config::ScriptName;
use serde::{Deserialize, Serialize};

use crate::host::{Host, ServiceError, own_files};

/// Of the records. Since 2, one may have been adopted, and have no script.
const VERSION: StateVersion = StateVersion::new(2);

/// A module that was compiled or adopted here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalModule {
    /// Version of this document.
    pub schema: u32,
    pub script: ScriptName,
    /// The kernel's release.
    pub release: KernelRelease,
    /// `uname -v` of the kernel, if it was known: another build of the release doesn't get the module.
    pub uname_v: Option<String>,
    /// The module's digest.
    pub sha256: Digest,
    /// The script's digest; an adopted module may have come without.
    pub source_sha256: Option<Digest>,
    /// What it was compiled with, as NAME.opts has it (INIT-CACHE-03).
    pub opts_line: String,
    /// Run arguments for `staprun`.
    pub run: Vec<String>,
    /// What must run before it.
    pub requires: Vec<ScriptName>,
    /// When, in seconds since 1970.
    pub compiled: u64,
    /// That it came as a file, and who vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adoption>,
}

/// How a module that came as a file got its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Who asked for it. For people; nothing is decided by it.
    pub by: String,
}

impl LocalModule {
    /// The version that new records get.
    pub const SCHEMA: u32 = VERSION.number();

    fn directory(host: &Host, release: &KernelRelease) -> PathBuf {
        host.local_dir.join(release.as_str())
    }

    fn file(script: &ScriptName) -> String {
        format!("{script}.json")
    }

    /// Where a script's module is.
    #[must_use]
    pub fn module_path(host: &Host, release: &KernelRelease, script: &ScriptName) -> PathBuf {
        Self::cache(host, release).join(format!("{script}.ko"))
    }

    /// The initscript's cache of a kernel.
    pub(crate) fn cache(host: &Host, release: &KernelRelease) -> PathBuf {
        host.cache_dir.join(release.as_str())
    }

    /// Writes the record: from now on this set is the one that is loaded.
    pub(crate) fn write(&self, host: &Host) -> Result<(), ServiceError> {
        let directory = Self::directory(host, &self.release);
        own_files::write_for_good(host, &directory, &Self::file(&self.script), self)
    }

    /// The record of a script for a kernel; none where others could have written it, or a newer program has.
    #[must_use]
    pub fn read(host: &Host, release: &KernelRelease, script: &ScriptName) -> Option<Self> {
        match LocalRecord::look(host, release, script)? {
            LocalRecord::Good(record) => Some(*record),
            _ => None,
        }
    }

    /// Why nothing may take the record's place: a newer program wrote it.
    #[must_use]
    pub fn newer(host: &Host, release: &KernelRelease, script: &ScriptName) -> Option<FileError> {
        match LocalRecord::look(host, release, script)? {
            LocalRecord::Newer { path, why, .. } => {
                Some(FileError::new("understand", path, io::Error::other(why)))
            }
            _ => None,
        }
    }

    /// Scripts with an adopted module, for any kernel.
    #[must_use]
    pub fn adopted(host: &Host) -> BTreeSet<ScriptName> {
        let releases = Self::releases(host).into_iter();
        let records = releases.flat_map(|release| LocalRecord::read_all(host, &release));
        let adopted = records.filter_map(|record| match record {
            LocalRecord::Good(good) if good.adopted.is_some() => Some(good.script),
            _ => None,
        });
        adopted.collect()
    }

    /// Where a script's record is.
    pub(crate) fn record_path(host: &Host, release: &KernelRelease, script: &ScriptName) -> PathBuf {
        Self::directory(host, release).join(Self::file(script))
    }

    /// Scripts with a record for a kernel that counts.
    pub(crate) fn recorded(host: &Host, release: &KernelRelease) -> Vec<ScriptName> {
        let good = LocalRecord::read_all(host, release).into_iter().filter_map(|record| match record {
            LocalRecord::Good(good) => Some(good.script),
            _ => None,
        });
        good.collect()
    }

    /// Forgets adopted modules of these scripts, for any kernel: a bundle has them now.
    pub(crate) fn forget_adopted(host: &Host, scripts: &BTreeSet<ScriptName>) -> Result<(), ServiceError> {
        for release in Self::releases(host) {
            for record in LocalRecord::read_all(host, &release) {
                match record {
                    LocalRecord::Good(good) if good.adopted.is_some() && scripts.contains(&good.script) => {
                        Self::forget(host, &release, &good.script)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Kernels with records.
    fn releases(host: &Host) -> Vec<KernelRelease> {
        let names = host.files.open_dir(&host.local_dir).and_then(|all| all.entries()).unwrap_or_default();
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether anything is in the record's place.
    pub(crate) fn is_recorded(host: &Host, release: &KernelRelease, script: &ScriptName) -> bool {
        LocalRecord::look(host, release, script).is_some()
    }

    /// Forgets a module that was removed.
    pub(crate) fn forget(
        host: &Host,
        release: &KernelRelease,
        script: &ScriptName,
    ) -> Result<(), ServiceError> {
        own_files::remove(host, &Self::directory(host, release), &Self::file(script)).map(drop)
    }
}

/// What is in the place of a record.
#[derive(Debug, Clone)]
pub(crate) enum LocalRecord {
    /// A record that counts.
    Good(Box<LocalModule>),
    /// One that others could have written.
    Unprotected {
        /// The script that its name is of.
        script: ScriptName,
        /// Who can write where, and the command that mends it.
        why: String,
    },
    /// One that a newer program wrote.
    Newer { script: ScriptName, path: PathBuf, why: NewerState },
    /// None, but a module that came as a file.
    Absent { script: ScriptName, module: PathBuf },
}

impl LocalRecord {
    pub(crate) const fn script(&self) -> &ScriptName {
        match self {
            Self::Good(record) => &record.script,
            Self::Unprotected { script, .. } | Self::Newer { script, .. } | Self::Absent { script, .. } => {
                script
            }
        }
    }

    /// `None` for a record that isn't there, or that nobody can understand.
    fn look(host: &Host, release: &KernelRelease, script: &ScriptName) -> Option<Self> {
        let read = own_files::read(host, &LocalModule::directory(host, release), &LocalModule::file(script));
        let bytes = match read {
            Ok(bytes) => bytes?,
            Err(why) if why.is_of_others() => {
                return Some(Self::Unprotected { script: script.clone(), why: why.to_string() });
            }
            Err(_) => return None,
        };
        let record = match VERSION.read::<LocalModule>(&bytes) {
            Ok(record) => record,
            Err(error) => {
                let why = NewerState::in_error(&error)?.clone();
                let path = LocalModule::directory(host, release).join(LocalModule::file(script));
                return Some(Self::Newer { script: script.clone(), path, why });
            }
        };
        let fits = record.script == *script && record.release == *release;
        fits.then(|| Self::Good(Box::new(record)))
    }

    /// All records for a kernel, by script.
    pub(crate) fn read_all(host: &Host, release: &KernelRelease) -> Vec<Self> {
        let directory: &Path = &LocalModule::directory(host, release);
        // Names are believed by nobody: each record is judged with its directory.
        let names = host.files.open_dir(directory).and_then(|directory| directory.entries());
        let scripts = names.unwrap_or_default().into_iter();
        let scripts = scripts.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        scripts.filter_map(|script| Self::look(host, release, &script)).collect()
    }
}
