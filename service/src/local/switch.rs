//! How a module that was compiled here takes the place of an older one: at each moment, whatever happens, the old set or the new
//! one is what a start loads.
//!
//! 1. The new module and its `.opts` are written beside the old ones, as `.NAME.ko.next` and `.NAME.opts.next`, and are on the disk.
//! 2. The record, which has digest and options, is replaced: that is the switch. A start takes whichever file has the
//!    record's digest.
//! 3. Both get their names. The module comes first: the original compiles again, or refuses, what it finds beside other options.
//!
//! Cut before the switch, what was written is removed by the next compile, start or cleanup; cut after it, that gives it its names.

use std::path::PathBuf;

use bundle_format::{Digest, KernelRelease, limits};
use files::{Directory, FileError, optional};
use script_config::ScriptName;

use crate::host::{Host, ServiceError};
use crate::local::record::LocalModule;
use crate::reasons::StartRefusal;
use files::with_causes;

/// Most bytes of a module: no frame and its reference, together, have more.
pub(super) const MAX_MODULE: u64 = limits::MAX_REFERENCE_AND_FRAME;

/// Most bytes of an `.opts` file.
pub(super) const MAX_OPTS: u64 = 1 << 20;

/// The names of a script's files in the cache.
pub(super) struct Names {
    pub(super) module: String,
    pub(super) opts: String,
    next_module: String,
    next_opts: String,
}

impl Names {
    pub(super) fn of(script: &ScriptName) -> Self {
        Self {
            module: format!("{script}.ko"),
            opts: format!("{script}.opts"),
            next_module: format!(".{script}{NEXT_MODULE}"),
            next_opts: format!(".{script}{NEXT_OPTS}"),
        }
    }
}

/// What the names of files end with that have no names of their own yet.
const NEXT_MODULE: &str = ".ko.next";
const NEXT_OPTS: &str = ".opts.next";

impl LocalModule {
    /// Stores module, `.opts` and record as one step. The lock must be held.
    pub(crate) fn store(&self, host: &Host, module: &[u8], uname_a: &str) -> Result<(), ServiceError> {
        if let Some(newer) = Self::newer(host, &self.release, &self.script) {
            return Err(newer.into());
        }
        let cache = host.files.ensure_dir(Self::cache(host, &self.release))?;
        finish(host, &cache, &self.release, &self.script)?;
        let names = Names::of(&self.script);
        cache.write_synced(&names.next_module, module)?;
        cache.write_synced(&names.next_opts, format!("{uname_a}\n{}\n", self.opts_line).as_bytes())?;
        cache.sync()?;
        self.write(host)?;
        take_names(&cache, &names)?;
        Ok(())
    }

    /// The module's bytes, if they are those of the record.
    ///
    /// # Errors
    /// Why they aren't.
    pub fn read_module(&self, host: &Host) -> Result<Vec<u8>, StartRefusal> {
        let path = Self::module_path(host, &self.release, &self.script);
        let outdated =
            |why: String| StartRefusal::LocalOutdated { detail: format!("{}: {why}", path.display()) };
        let unreadable = |error: FileError| outdated(with_causes(&error));
        let cache = host.files.open_dir(Self::cache(host, &self.release)).map_err(unreadable)?;
        let names = Names::of(&self.script);
        // There only while a compile is at work, or where one was cut.
        let next = optional(cache.read_file(&names.next_module, MAX_MODULE)).ok().flatten();
        if let Some(bytes) = next.filter(|bytes| Digest::of(bytes) == self.sha256) {
            return Ok(bytes);
        }
        let bytes = cache.read_file(&names.module, MAX_MODULE).map_err(unreadable)?;
        let found = Digest::of(&bytes);
        if found == self.sha256 {
            return Ok(bytes);
        }
        Err(outdated(format!("expected SHA-256 {}, found {found}", self.sha256)))
    }

    /// The files of a script in the cache of a kernel that a compile replaces; a link counts itself.
    pub fn existing(
        host: &Host,
        release: &KernelRelease,
        script: &ScriptName,
    ) -> Result<Vec<PathBuf>, ServiceError> {
        let Some(cache) = optional(host.files.open_dir(Self::cache(host, release)))? else {
            return Ok(Vec::new());
        };
        let names = Names::of(script);
        let mut there = Vec::new();
        for name in [names.module, names.opts] {
            if cache.kind(&name)?.is_some() {
                there.push(cache.path().join(name));
            }
        }
        Ok(there)
    }
}

/// Ends what compiles that were cut have begun. The lock must be held.
pub(crate) fn finish_all(host: &Host, release: &KernelRelease) -> Result<(), ServiceError> {
    let Some(cache) = optional(host.files.open_dir(LocalModule::cache(host, release)))? else {
        return Ok(());
    };
    for name in cache.entries()? {
        let stem = name.strip_suffix(NEXT_MODULE).or_else(|| name.strip_suffix(NEXT_OPTS));
        let Some(Ok(script)) = stem.and_then(|stem| stem.strip_prefix('.')).map(str::parse) else { continue };
        finish(host, &cache, release, &script)?;
    }
    Ok(())
}

/// Ends what a compile of this script has begun, if it was cut: forwards if the record was replaced, else back.
fn finish(
    host: &Host,
    cache: &Directory,
    release: &KernelRelease,
    script: &ScriptName,
) -> Result<(), FileError> {
    // Which of the files its record means, only the newer program knows.
    if LocalModule::newer(host, release, script).is_some() {
        return Ok(());
    }
    let names = Names::of(script);
    let record = LocalModule::read(host, release, script);
    let switched = match optional(cache.read_file(&names.next_module, MAX_MODULE))? {
        Some(module) => record.is_some_and(|record| record.sha256 == Digest::of(&module)),
        // The module has its name, its options don't.
        None => match optional(cache.read_file(&names.next_opts, MAX_OPTS))? {
            None => return Ok(()),
            Some(opts) => record.is_some_and(|record| has_line(&opts, &record.opts_line)),
        },
    };
    if switched {
        return take_names(cache, &names);
    }
    // In this order: options alone would look like those of a module that has its name.
    cache.unlink_if_there(&names.next_opts)?;
    cache.unlink_if_there(&names.next_module)
}

fn has_line(opts: &[u8], line: &str) -> bool {
    String::from_utf8_lossy(opts).lines().nth(1) == Some(line)
}

/// Gives what is next its names.
fn take_names(cache: &Directory, names: &Names) -> Result<(), FileError> {
    optional(cache.rename(&names.next_module, &names.module))?;
    optional(cache.rename(&names.next_opts, &names.opts))?;
    cache.sync()
}
