//! `cleanup`: removing compiled scripts from the initscript's cache, `CACHE_PATH/REL/` (README 2.2.6).
//!
//! What goes: `NAME.ko`, `NAME.opts` and the marker `NAME.uprobes` that are plain files, and with a module the record of its compile or
//! adoption, also where the module itself is lost. What stays: files of a script
//! that runs (INIT-CLEAN-03), scripts that an installed bundle offers (`install` looks after those), links, and whatever
//! isn't named like a script's file. `uprobes/uprobes.ko`, which scripts share, goes with the last marker and not
//! before: the original always removed it, and the scripts that still had a marker couldn't be started any more
//! (INIT-CLEAN-02).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bundle_format::KernelRelease;
use files::{Directory, FileError, optional};
use installer::HostIdentity;
use rustix::fs::FileType;
use script_config::ScriptName;
use serde::Serialize;

use crate::host::{Host, ServiceError, log};
use crate::kernel::LoadedModules;
use crate::local::record::LocalModule;

/// What belongs to a script in the cache.
const SUFFIXES: [&str; 3] = ["ko", "opts", MARKER];

/// The marker of a script that needs `uprobes.ko`.
const MARKER: &str = "uprobes";

/// Where the module is that scripts of old kernels share.
const SHARED_DIRECTORY: &str = "uprobes";

const SHARED: &str = "uprobes.ko";

/// What a cleanup is about.
#[derive(Debug, Clone, Copy)]
pub struct CleanupChoice<'a> {
    /// The kernel release whose directory it is (`-r`).
    pub release: &'a KernelRelease,
    /// Scripts named; none for all.
    pub named: &'a BTreeSet<ScriptName>,
}

/// What a cleanup would remove.
#[derive(Debug, Serialize)]
pub struct CleanupPlan {
    pub directory: PathBuf,
    /// Whether it is there at all.
    pub exists: bool,
    /// Files to be removed, sorted.
    pub files: Vec<PathBuf>,
    /// Scripts with files there that stay.
    pub kept: Vec<KeptScript>,
}

/// A script whose files a cleanup leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptScript {
    pub script: ScriptName,
    /// Whether it was named, so that leaving it alone is a refusal.
    pub named: bool,
    #[serde(flatten)]
    pub reason: KeptReason,
}

/// Why a script's files stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum KeptReason {
    /// Its module is loaded.
    #[error("its module is loaded: stop it first")]
    Running,
    /// An installed bundle offers it.
    #[error("it is owned by bundle {bundle}; what `install` placed is removed with the bundle")]
    OwnedByBundle {
        /// The bundle's name.
        bundle: String,
    },
    /// It is a link or a directory, not a compiled script.
    #[error("{} is not a plain file", path.display())]
    NotAFile { path: PathBuf },
}

#[derive(Debug, Serialize)]
pub struct CleanupReport {
    pub directory: PathBuf,
    /// Files that are gone, sorted.
    pub removed: Vec<PathBuf>,
    /// Scripts with files there that stayed.
    pub kept: Vec<KeptScript>,
}

impl CleanupReport {
    /// The exit code: 1 if a script that was named stays, else 0.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.kept.iter().any(|kept| kept.named))
    }
}

impl CleanupPlan {
    /// Looks at the cache directory of a release; `owners` are the installed bundles by the scripts that they offer.
    pub(crate) fn make(
        host: &Host,
        owners: &BTreeMap<ScriptName, String>,
        identity: &HostIdentity,
        choice: &CleanupChoice<'_>,
    ) -> Result<Self, ServiceError> {
        let directory = host.cache_dir.join(choice.release.as_str());
        let opened = optional(host.files.open_dir(&directory))?;
        let mut found = opened.as_ref().map(ScriptFiles::read).transpose()?.unwrap_or_default();
        let exists = opened.is_some();
        // A module runs from a copy, but the next start of the original would take it from here. What another kernel's
        // directory holds can't run now; where no kernel is known, whatever is loaded is left alone.
        let runs_here = identity.release.as_ref().is_none_or(|release| release == choice.release);
        let modules = if runs_here { LoadedModules::read(host)? } else { LoadedModules::default() };
        let chosen = |name: &ScriptName| choice.named.is_empty() || choice.named.contains(name);
        let mut files = Vec::new();
        let mut kept = Vec::new();
        for (script, paths) in found.of_scripts.iter().filter(|(name, _)| chosen(name)) {
            let reason = match (owners.get(script), paths.iter().find(|path| !found.plain.contains(*path))) {
                (Some(bundle), _) => Some(KeptReason::OwnedByBundle { bundle: bundle.clone() }),
                (None, _) if modules.contains(script.as_str()) => Some(KeptReason::Running),
                (None, Some(path)) => Some(KeptReason::NotAFile { path: path.clone() }),
                (None, None) => None,
            };
            match reason {
                Some(reason) => {
                    let named = !choice.named.is_empty();
                    kept.push(KeptScript { script: script.clone(), named, reason });
                }
                None => files.extend(paths.iter().cloned()),
            }
        }
        let has_module = |script: &ScriptName| {
            found.of_scripts.get(script).is_some_and(|paths| paths.iter().any(|path| is_module(path)))
        };
        let lost = LocalModule::recorded(host, choice.release).into_iter();
        let lost =
            lost.filter(|script| chosen(script) && !has_module(script) && !modules.contains(script.as_str()));
        files.extend(lost.map(|script| LocalModule::record_path(host, choice.release, &script)));
        found.markers.retain(|marker| !files.contains(marker));
        let asked_for = choice.named.is_empty() || !files.is_empty();
        if asked_for && found.markers.is_empty() && found.has_shared {
            files.push(directory.join(SHARED_DIRECTORY).join(SHARED));
        }
        files.sort();
        Ok(Self { directory, exists, files, kept })
    }
}

fn is_module(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == "ko")
}

/// Removes what the plan and the plan that was agreed to have in common. The lock must be held.
pub(crate) fn carry_out(
    host: &Host,
    release: &KernelRelease,
    plan: CleanupPlan,
    agreed: &CleanupPlan,
) -> Result<CleanupReport, ServiceError> {
    let CleanupPlan { directory, mut files, kept, .. } = plan;
    files.retain(|file| agreed.files.contains(file));
    for script in LocalModule::recorded(host, release) {
        if files.contains(&LocalModule::record_path(host, release, &script)) {
            LocalModule::forget(host, release, &script)?;
            log::line(host, &format!("cleanup: forgot {script}, whose module is lost"));
        }
    }
    let Some(opened) = optional(host.files.open_dir(&directory))? else {
        return Ok(CleanupReport { directory, removed: files, kept });
    };
    let shared = opened.open_dir(SHARED_DIRECTORY).ok();
    for file in files.iter().filter(|file| file.starts_with(&directory)) {
        // The shared uprobes.ko lies deeper, and is no script's.
        let is_script = file.parent() == Some(directory.as_path());
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match (&shared, is_script) {
            (_, true) => opened.unlink_if_there(name)?,
            (Some(shared), false) => shared.unlink_if_there(name)?,
            (None, false) => {}
        }
        log::line(host, &format!("cleanup: removed {}", file.display()));
        if is_script && let Some(Ok(script)) = name.strip_suffix(".ko").map(str::parse) {
            LocalModule::forget(host, release, &script)?;
        }
    }
    // The directory that held uprobes.ko, if it is empty now; whatever else is in there stays.
    let _ = opened.remove_dir(SHARED_DIRECTORY);
    Ok(CleanupReport { directory, removed: files, kept })
}

/// The files in a cache directory that are named like a script's.
#[derive(Debug, Default)]
struct ScriptFiles {
    of_scripts: BTreeMap<ScriptName, Vec<PathBuf>>,
    markers: Vec<PathBuf>,
    /// Those that are plain files.
    plain: BTreeSet<PathBuf>,
    has_shared: bool,
}

impl ScriptFiles {
    fn read(directory: &Directory) -> Result<Self, FileError> {
        let mut found = Self { has_shared: has_shared(directory)?, ..Self::default() };
        for name in directory.entries()? {
            let path = directory.path().join(&name);
            let Some((stem, suffix)) = name.rsplit_once('.') else { continue };
            let Ok(script) = stem.parse::<ScriptName>() else { continue };
            if !SUFFIXES.contains(&suffix) {
                continue;
            }
            if suffix == MARKER {
                found.markers.push(path.clone());
            }
            if directory.kind(&name)? == Some(FileType::RegularFile) {
                found.plain.insert(path.clone());
            }
            found.of_scripts.entry(script).or_default().push(path);
        }
        found.of_scripts.values_mut().for_each(|paths| paths.sort());
        Ok(found)
    }
}

fn has_shared(directory: &Directory) -> Result<bool, FileError> {
    if directory.kind(SHARED_DIRECTORY)? != Some(FileType::Directory) {
        return Ok(false);
    }
    let shared = optional(directory.open_dir(SHARED_DIRECTORY))?;
    let kind = shared.map(|shared| shared.kind(SHARED)).transpose()?.flatten();
    Ok(kind == Some(FileType::RegularFile))
}
