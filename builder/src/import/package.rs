//! One archive: what may stand in it, and nothing else.
//!
//! The `tar` crate splits it into raw members; every name, type and size is judged here, and nothing is unpacked to a path
//! that the archive chose. Extended headers (pax, GNU long names, sparse files) are refused: two readers may differ about
//! them, and no file of such a package needs one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use bundle_format::{KernelRelease, ScriptName, limits};

use super::bounded::{Plain, unreadable};
use super::error::PackageError;
use crate::words::quoted;

/// Most members: a module and its options for as many scripts as a bundle holds, directories and configuration files.
const MAX_MEMBERS: usize = 2 * limits::MAX_SCRIPTS + 1000;
/// Most bytes of a module: what fits a frame.
const MAX_MODULE: u64 = limits::MAX_PLAIN_FRAME - (1 << 16);
/// Most bytes of a `.opts` file: two lines.
const MAX_OPTS: u64 = 64 << 10;
/// Most bytes of a configuration file.
const MAX_CONFIGURATION: u64 = 1 << 20;
/// Longest name of a configuration file.
const MAX_CONF_NAME: usize = 64;
/// Where the initscript keeps its cache and configuration; GNU tar takes the leading `/` away.
const CACHE: &str = "var/cache/systemtap/";
const CONF_D: &str = "etc/systemtap/conf.d/";

/// What a package holds. Nobody vouches for it.
#[derive(Debug)]
pub struct ScriptsPackage {
    pub(super) release: KernelRelease,
    pub(super) modules: BTreeMap<ScriptName, Vec<u8>>,
    /// The text of each `.opts` file.
    pub(super) opts: BTreeMap<ScriptName, String>,
    /// The configuration files by name.
    pub(super) configuration: BTreeMap<String, String>,
    /// Time of the newest member, seconds since 1970.
    pub(super) modified: u64,
}

/// What a member is, by its name.
enum Place {
    Directory,
    Module(KernelRelease, ScriptName),
    Options(KernelRelease, ScriptName),
    Configuration(String),
}

impl ScriptsPackage {
    /// Reads a `.tar.gz` to its last byte, behind limits of members, bytes and growth.
    pub fn read(source: impl Read) -> Result<Self, PackageError> {
        let mut archive = tar::Archive::new(Plain::new(source));
        let mut contents = Contents::default();
        for (position, member) in archive.entries().map_err(unreadable)?.raw(true).enumerate() {
            if position >= MAX_MEMBERS {
                return Err(PackageError::over(
                    "the archive",
                    position as u64 + 1,
                    "members",
                    MAX_MEMBERS as u64,
                ));
            }
            contents.member(member.map_err(unreadable)?)?;
        }
        archive.into_inner().finish()?;
        contents.finish()
    }
}

#[derive(Default)]
struct Contents {
    seen: BTreeSet<String>,
    release: Option<KernelRelease>,
    modules: BTreeMap<ScriptName, Vec<u8>>,
    opts: BTreeMap<ScriptName, String>,
    configuration: BTreeMap<String, String>,
    modified: u64,
}

impl Contents {
    fn member<R: Read>(&mut self, mut member: tar::Entry<'_, R>) -> Result<(), PackageError> {
        let bytes = member.path_bytes().into_owned();
        let shown = quoted(&String::from_utf8_lossy(&bytes));
        let is_directory = match member.header().entry_type() {
            tar::EntryType::Regular => false,
            tar::EntryType::Directory => true,
            kind => return Err(PackageError::Kind { name: shown, kind: kind_name(kind).to_owned() }),
        };
        let misplaced = || PackageError::Name { name: shown.clone() };
        let name = std::str::from_utf8(&bytes).map_err(|_| misplaced())?;
        let name = name.strip_prefix("./").unwrap_or(name);
        let name = name.strip_suffix('/').filter(|rest| is_directory && !rest.is_empty()).unwrap_or(name);
        let place = if is_directory { directory(name) } else { file(name)? }.ok_or_else(misplaced)?;
        // A directory may be listed again; a file that replaces an earlier one would be two readers' quarrel.
        if !is_directory && !self.seen.insert(name.to_ascii_lowercase()) {
            return Err(PackageError::Twice { name: shown });
        }
        self.modified = self.modified.max(member.header().mtime().unwrap_or(0));
        match place {
            Place::Directory if member.size() == 0 => Ok(()),
            Place::Directory => Err(PackageError::over(&shown, member.size(), "bytes", 0)),
            Place::Module(release, script) => {
                self.is_for(release)?;
                let bytes = content(&mut member, &shown, MAX_MODULE)?;
                self.modules.insert(script, bytes);
                Ok(())
            }
            Place::Options(release, script) => {
                self.is_for(release)?;
                let text = text(content(&mut member, &shown, MAX_OPTS)?, &shown)?;
                self.opts.insert(script, text);
                Ok(())
            }
            Place::Configuration(conf) => {
                let text = text(content(&mut member, &shown, MAX_CONFIGURATION)?, &shown)?;
                self.configuration.insert(conf, text);
                Ok(())
            }
        }
    }

    fn is_for(&mut self, release: KernelRelease) -> Result<(), PackageError> {
        match &self.release {
            Some(first) if *first != release => {
                Err(PackageError::TwoReleases { first: first.clone(), second: release })
            }
            _ => {
                self.release = Some(release);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<ScriptsPackage, PackageError> {
        let Self { release, modules, opts, configuration, modified, .. } = self;
        let release = release.filter(|_| !modules.is_empty()).ok_or(PackageError::NoModule)?;
        if let Some(name) = opts.keys().find(|name| !modules.contains_key(*name)) {
            return Err(PackageError::OptionsAlone { name: name.clone() });
        }
        Ok(ScriptsPackage { release, modules, opts, configuration, modified })
    }
}

/// A member's bytes, no more than its header says and than `limit`.
fn content<R: Read>(member: &mut tar::Entry<'_, R>, name: &str, limit: u64) -> Result<Vec<u8>, PackageError> {
    let size = member.size();
    if size > limit {
        return Err(PackageError::over(&format!("`{name}`"), size, "bytes", limit));
    }
    let mut bytes = Vec::new();
    member.take(size).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 == size {
        return Ok(bytes);
    }
    Err(PackageError::Read(io::ErrorKind::UnexpectedEof.into()))
}

fn text(bytes: Vec<u8>, name: &str) -> Result<String, PackageError> {
    String::from_utf8(bytes).map_err(|_| PackageError::NotText { name: name.to_owned() })
}

/// Directories on the way to what is taken.
fn directory(name: &str) -> Option<Place> {
    let parents = [CACHE, CONF_D].iter().any(|path| path.starts_with(&format!("{name}/")));
    let release = name.strip_prefix(CACHE).unwrap_or(name).parse::<KernelRelease>().is_ok();
    (parents || release || matches!(name, "" | ".")).then_some(Place::Directory)
}

/// What a file is; `None` if nothing of that name has a place in a package.
fn file(name: &str) -> Result<Option<Place>, PackageError> {
    if let Some(conf) = name.strip_prefix(CONF_D) {
        return Ok(configuration(conf));
    }
    let below = name.strip_prefix(CACHE);
    let inside = below.unwrap_or(name);
    let Some((release, file)) = inside.split_once('/') else {
        // Only the layout of 5.8.2 has it beside the release.
        return Ok(if below.is_some() { None } else { configuration(name) });
    };
    if file == "uprobes/uprobes.ko" || file.ends_with(".uprobes") {
        return Err(PackageError::Uprobes);
    }
    let Ok(release) = release.parse::<KernelRelease>() else { return Ok(None) };
    let place = if let Some(stem) = file.strip_suffix(".ko") {
        stem.parse().ok().map(|script| Place::Module(release, script))
    } else if let Some(stem) = file.strip_suffix(".opts") {
        stem.parse().ok().map(|script| Place::Options(release, script))
    } else {
        None
    };
    Ok(place)
}

fn configuration(name: &str) -> Option<Place> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good = name.len() <= MAX_CONF_NAME
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    // A module that stands in no directory of a release belongs to no kernel.
    let module = name.rsplit_once('.').is_some_and(|(_, suffix)| matches!(suffix, "ko" | "opts"));
    (good && !module).then(|| Place::Configuration(name.to_owned()))
}

fn kind_name(kind: tar::EntryType) -> &'static str {
    match kind {
        tar::EntryType::Link => "hard link",
        tar::EntryType::Symlink => "symbolic link",
        tar::EntryType::Char | tar::EntryType::Block => "device",
        tar::EntryType::Fifo => "pipe",
        tar::EntryType::GNULongName | tar::EntryType::GNULongLink => "long name of GNU tar",
        tar::EntryType::GNUSparse => "sparse file",
        tar::EntryType::XGlobalHeader | tar::EntryType::XHeader => "pax header",
        _ => "member of an unknown type",
    }
}
