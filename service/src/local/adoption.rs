//! `adopt`: modules of the initscript's cache that came as files (README 5.8.2), recorded by an administrator who vouches for them.
//!
//! What counts is what a descriptor read once: owner and mode of the file and of the whole path, the module's own name and
//! vermagic, its `.opts`. The bytes that were judged are written as a new file beside a record with their digest, as a compile
//! does ([`crate::local::switch`]); from then on a start takes them by it. Between the look that is shown and the adoption,
//! nothing may change.

use std::path::{Path, PathBuf};

use bundle_format::{Digest, KernelRelease, limits};
use files::{Directory, FileError, Unprotected, file_type, optional, with_causes};
use installer::HostIdentity;
use rustix::fs::FileType;
use script_config::{Configuration, ScriptName, quote_word};
use serde::Serialize;

use crate::host::{Host, ServiceError};
use crate::local::record::{Adoption, LocalModule};
use crate::local::switch::{MAX_MODULE, MAX_OPTS, Names};
use crate::reasons::{ModuleMismatch, check_module};

/// Most bytes of a script that are read, as an install reads them.
pub(crate) const MAX_SCRIPT: u64 = limits::MAX_PLAIN_FRAME;

/// What an adoption would record.
#[derive(Debug, Serialize)]
pub struct AdoptionPlan {
    pub kernel: KernelRelease,
    pub modules: Vec<FoundModule>,
    /// Scripts that get no record.
    pub refused: Vec<RefusedAdoption>,
}

/// A module in the cache that could be adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundModule {
    pub script: ScriptName,
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: Digest,
    pub vermagic: String,
    /// What it was compiled with, by its `.opts`.
    pub opts_line: String,
    /// `uname -a` where it was compiled, by its `.opts`: of another kernel if the original compiled it with `-r` (INIT-CACHE-06).
    pub compiled_on: String,
    /// The script that is on this host, if it is: another text of it will need another module.
    pub source_sha256: Option<Digest>,
}

#[derive(Debug, Serialize)]
pub struct RefusedAdoption {
    pub script: ScriptName,
    #[serde(serialize_with = "as_text")]
    pub reason: AdoptionRefusal,
}

/// What was adopted.
#[derive(Debug, Serialize)]
pub struct AdoptionReport {
    pub kernel: KernelRelease,
    pub adopted: Vec<FoundModule>,
    pub refused: Vec<RefusedAdoption>,
}

/// Why a module isn't adopted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptionRefusal {
    #[error("it is owned by bundle {bundle}")]
    OwnedByBundle { bundle: String },
    #[error("{} is not there", path.display())]
    Absent { path: PathBuf },
    #[error("{} is a link or no plain file", path.display())]
    NotAFile { path: PathBuf },
    /// Others could have put it there.
    #[error("{}{}", with_causes(why), command.as_ref().map(|command| format!(": if it is right all the same, {command}")).unwrap_or_default())]
    Unprotected {
        why: Unprotected,
        /// What takes the others' right away.
        command: Option<String>,
    },
    #[error("{}: {why}", path.display())]
    WrongModule { path: PathBuf, why: ModuleMismatch },
    #[error(
        "{} isn't there: what it was compiled with isn't known; bring the file along, as the compiling machine has it",
        path.display()
    )]
    NoOptions { path: PathBuf },
    #[error("{}: expected two lines, `uname -a` and the compiler's options", path.display())]
    BadOptions { path: PathBuf },
    /// This host's configuration would compile with others.
    #[error("{place}: {variable} compiles with `{configured}`, the module was made with `{made_with}`")]
    OtherOptions { place: String, variable: String, configured: String, made_with: String },
    #[error("{place}: the settings of this host for it are wrong: {problem}")]
    WrongSettings { place: String, problem: String },
    #[error("{} is newer than its module, as if it had been changed since", path.display())]
    OlderThanScript { path: PathBuf },
    #[error("{} has changed since it was shown", path.display())]
    Changed { path: PathBuf },
    #[error("{}", with_causes(.0))]
    Storage(#[from] FileError),
    /// It couldn't be recorded.
    #[error("{}", with_causes(.0))]
    NotRecorded(#[from] ServiceError),
}

impl FoundModule {
    /// As a start will: a line of this host's configuration must compile with what the module was made with.
    pub(crate) fn check_options(&self, configuration: &Configuration) -> Result<(), AdoptionRefusal> {
        let variable = format!("{}_OPT", self.script);
        if configuration.environment().get(&variable).is_none() {
            return Ok(());
        }
        let place = configuration.origin(&variable).map_or_else(|| variable.clone(), ToString::to_string);
        let settings = configuration.settings_of(&self.script).map_err(|problems| {
            let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
            AdoptionRefusal::WrongSettings { place: place.clone(), problem: said.join("; ") }
        })?;
        let configured = settings.options.opts_line();
        if configured == self.opts_line {
            return Ok(());
        }
        let made_with = self.opts_line.clone();
        Err(AdoptionRefusal::OtherOptions { place, variable, configured, made_with })
    }
}

fn as_text<S: serde::Serializer>(reason: &AdoptionRefusal, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(reason)
}

/// The cache of the kernel that runs, and what its modules must fit.
pub(crate) struct Adopter<'h> {
    pub(crate) host: &'h Host,
    pub(crate) identity: &'h HostIdentity,
    pub(crate) release: &'h KernelRelease,
    /// That of the kernel's own modules, where one could be read.
    pub(crate) vermagic: Option<String>,
}

impl Adopter<'_> {
    /// Looks at one script's module, and reads it.
    pub(crate) fn look(&self, script: &ScriptName) -> Result<(FoundModule, Vec<u8>), AdoptionRefusal> {
        let path = LocalModule::module_path(self.host, self.release, script);
        let names = Names::of(script);
        let cache = LocalModule::cache(self.host, self.release);
        let cache = match self.host.files.open_protected_through_links(cache) {
            Ok(cache) => cache,
            Err(Unprotected::Storage(error)) if error.is_not_found() => {
                return Err(AdoptionRefusal::Absent { path });
            }
            Err(why) => return Err(self.unprotected(why)),
        };
        let kind = cache.stat(&names.module)?.as_ref().map(file_type);
        match kind {
            None => return Err(AdoptionRefusal::Absent { path }),
            Some(FileType::RegularFile) => {}
            Some(_) => return Err(AdoptionRefusal::NotAFile { path }),
        }
        let module = cache.read_protected(&names.module, MAX_MODULE).map_err(|why| self.unprotected(why))?;
        let fields = check_module(&module, script, self.release, self.vermagic.as_deref())
            .map_err(|why| AdoptionRefusal::WrongModule { path: path.clone(), why })?;
        let vermagic = fields.vermagic().unwrap_or_default().to_owned();
        let [compiled_on, opts_line] = self.options(&cache, &names)?;
        let source_sha256 = self.source(script, &cache, &names)?;
        let found = FoundModule {
            script: script.clone(),
            path,
            bytes: module.len() as u64,
            sha256: Digest::of(&module),
            vermagic,
            opts_line,
            compiled_on,
            source_sha256,
        };
        Ok((found, module))
    }

    /// Records it, if it is what was shown.
    pub(crate) fn adopt(&self, shown: &FoundModule, by: &str) -> Result<(), AdoptionRefusal> {
        let (found, module) = self.look(&shown.script)?;
        if found != *shown {
            return Err(AdoptionRefusal::Changed { path: found.path });
        }
        let record = LocalModule {
            schema: LocalModule::SCHEMA,
            script: found.script,
            release: self.release.clone(),
            uname_v: self.identity.version.clone(),
            sha256: found.sha256,
            source_sha256: found.source_sha256,
            opts_line: found.opts_line,
            run: script_config::ScriptOptions::default().staprun_args(),
            requires: Vec::new(),
            compiled: self.host.now(),
            adopted: Some(Adoption { by: by.to_owned() }),
        };
        // Of the running kernel, as the genuine initscript compares it.
        let uname_a = self.identity.uname_a.clone().unwrap_or(found.compiled_on);
        Ok(record.store(self.host, &module, &uname_a)?)
    }

    fn unprotected(&self, why: Unprotected) -> AdoptionRefusal {
        match why {
            Unprotected::Storage(error) => error.into(),
            why => {
                let command = why.mended_by(self.host.files.path());
                AdoptionRefusal::Unprotected { why, command }
            }
        }
    }

    /// Both lines of `.opts` (INIT-CACHE-03).
    fn options(&self, cache: &Directory, names: &Names) -> Result<[String; 2], AdoptionRefusal> {
        let path = cache.path().join(&names.opts);
        let bytes = match cache.read_protected(&names.opts, MAX_OPTS) {
            Ok(bytes) => bytes,
            Err(Unprotected::Storage(error)) if error.is_not_found() => {
                return Err(AdoptionRefusal::NoOptions { path });
            }
            Err(why) => return Err(self.unprotected(why)),
        };
        let text = String::from_utf8(bytes).unwrap_or_default();
        match text.lines().collect::<Vec<_>>()[..] {
            [uname, options] => Ok([uname.to_owned(), options.to_owned()]),
            _ => Err(AdoptionRefusal::BadOptions { path }),
        }
    }

    /// The digest of the script, if it is on this host; one that is newer than the module has been changed since (INIT-CACHE-02).
    fn source(
        &self,
        script: &ScriptName,
        cache: &Directory,
        names: &Names,
    ) -> Result<Option<Digest>, AdoptionRefusal> {
        let Some(scripts) = optional(self.host.files.open_dir(&self.host.script_dir))? else {
            return Ok(None);
        };
        let name = format!("{script}.stp");
        let Some(text) = optional(scripts.read_file(&name, MAX_SCRIPT))? else { return Ok(None) };
        let written = |directory: &Directory, name: &str| {
            Ok::<_, FileError>(directory.stat(name)?.map(|stat| (stat.st_mtime, stat.st_mtime_nsec)))
        };
        if written(&scripts, &name)? > written(cache, &names.module)? {
            return Err(AdoptionRefusal::OlderThanScript { path: scripts.path().join(name) });
        }
        Ok(Some(Digest::of(&text)))
    }
}

/// The commands that bring to their places what tar has unpacked into the cache with its whole path, as README 5.8.2 has it: the
/// modules of a kernel, and files of conf.d. None where nothing of that is there.
#[must_use]
pub fn unpacked_too_deep(host: &Host, release: &KernelRelease, conf_d: &Path) -> Vec<String> {
    let mut commands = Vec::new();
    let cache = LocalModule::cache(host, release);
    for (place, is_whole) in [(cache.as_path(), true), (conf_d, false)] {
        let Ok(inside) = place.strip_prefix("/") else { continue };
        let below = host.cache_dir.join(inside);
        let names = host.files.open_dir(&below).and_then(|directory| directory.entries());
        if names.unwrap_or_default().is_empty() {
            continue;
        }
        let is_free = is_whole && host.files.open_dir(place).is_err();
        let (what, to) = if is_free { ("", &*host.cache_dir) } else { ("/*", place) };
        let word = |path: &Path| quote_word(&path.to_string_lossy());
        commands.push(format!("mv {}{what} {}/", word(&below), word(to)));
    }
    commands
}

/// Scripts with a plain file `NAME.ko` in the cache of a kernel.
pub(crate) fn in_cache(host: &Host, release: &KernelRelease) -> Result<Vec<ScriptName>, FileError> {
    let Some(cache) = optional(host.files.open_dir(LocalModule::cache(host, release)))? else {
        return Ok(Vec::new());
    };
    let mut scripts = Vec::new();
    for name in cache.entries()? {
        let Some(Ok(script)) = name.strip_suffix(".ko").map(str::parse) else { continue };
        if cache.kind(&name)? == Some(FileType::RegularFile) {
            scripts.push(script);
        }
    }
    scripts.sort();
    Ok(scripts)
}
