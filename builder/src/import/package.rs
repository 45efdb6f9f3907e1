//! One archive: what may stand in it, and nothing else.
//!
//! The `tar` crate splits it into raw members; every name, type and size is judged here, and nothing is unpacked to a path
//! that the archive chose. Extended headers (pax, GNU long names, sparse files) are refused: two readers may differ about
//! them, and no file of such a package needs one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use bundle_format::{KernelRelease, ScriptName, limits};
use flate2::bufread::GzDecoder;

use crate::assembly::AssemblyError;
use crate::module_info::ModuleError;

/// Most members: a module and its options for as many scripts as a bundle holds, directories and configuration files.
const MAX_MEMBERS: usize = 2 * limits::MAX_SCRIPTS + 1000;
/// Most bytes of a module: what fits a frame.
const MAX_MODULE: u64 = limits::MAX_PLAIN_FRAME - (1 << 16);
/// Most bytes of a `.opts` file: two lines.
const MAX_OPTS: u64 = 64 << 10;
/// Most bytes of a configuration file.
const MAX_CONFIGURATION: u64 = 1 << 20;
/// Most plain bytes of a package; all of it is in memory.
const MAX_TOTAL: u64 = 1 << 30;
/// Most plain bytes for each compressed one: modules give 4 to 8, zeros 1000.
const MAX_RATIO: u64 = 100;
/// Plain bytes that no ratio is asked of: padding of a small archive.
const RATIO_FREE: u64 = 1 << 20;
/// Longest name of a configuration file.
const MAX_CONF_NAME: usize = 64;
/// Where the initscript keeps its cache and configuration; GNU tar takes the leading `/` away.
const CACHE: &str = "var/cache/systemtap/";
const CONF_D: &str = "etc/systemtap/conf.d/";

/// Why packages don't make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// One of them can't be taken.
    #[error("{path}")]
    Package {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: PackageError,
    },
    /// Two packages have one release.
    #[error("{first} and {second} are both for {release}")]
    ReleaseTwice {
        /// The release.
        release: KernelRelease,
        /// One package.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Two packages disagree about a script.
    #[error("{first} and {second} disagree about {what}")]
    Disagree {
        /// About what.
        what: String,
        /// One package.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The settings of a script can't be used.
    #[error("{path}: {problem}")]
    Settings {
        /// The package.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The version or the date.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
}

/// Why an archive isn't a package of compiled scripts.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// It can't be read, or isn't gzip or tar.
    #[error("it can't be read as tar.gz")]
    Read(#[source] io::Error),
    /// More of something than is allowed.
    #[error("{what} has {found} {unit}, at most {limit} are allowed")]
    OverLimit {
        /// Of what.
        what: String,
        /// How much.
        found: u64,
        /// Of which unit.
        unit: &'static str,
        /// The limit.
        limit: u64,
    },
    /// It grows too much.
    #[error("it unpacks to more than {MAX_RATIO} times its size, as no package of modules does")]
    Bomb,
    /// A name that has no place in a package.
    #[error(
        "`{name}` has no place in it: expected REL/NAME.ko, REL/NAME.opts and one configuration file, or the same below var/cache/systemtap/ and etc/systemtap/conf.d/"
    )]
    Name {
        /// The name, escaped.
        name: String,
    },
    /// A member that is neither a file nor a directory.
    #[error(
        "`{name}` is a {kind}; only plain files and directories are taken (pack with tar --format=ustar --hard-dereference)"
    )]
    Kind {
        /// The name, escaped.
        name: String,
        /// What it is.
        kind: String,
    },
    /// One name, two members.
    #[error("`{name}` stands in it twice")]
    Twice {
        /// The name, escaped.
        name: String,
    },
    /// Modules for two kernels.
    #[error("it is for {first} and for {second}; make a package for each release")]
    TwoReleases {
        /// One.
        first: KernelRelease,
        /// The other.
        second: KernelRelease,
    },
    /// No module at all.
    #[error("there is no REL/NAME.ko in it")]
    NoModule,
    /// Options for no module.
    #[error("it has {name}.opts but no {name}.ko")]
    OptionsAlone {
        /// The script.
        name: ScriptName,
    },
    /// A file that must be text.
    #[error("`{name}` is not UTF-8 text")]
    NotText {
        /// The name, escaped.
        name: String,
    },
    /// Bytes behind the archive.
    #[error("bytes follow the end of the archive")]
    TrailingBytes,
    /// A module that a kernel before 3.5 needs and that bundles of this version don't carry.
    #[error("it has uprobes/uprobes.ko, for kernels before 3.5, which this version doesn't put into bundles")]
    Uprobes,
    /// A module with a kernel signature at its end.
    #[error(
        "module {name} carries a kernel signature, which this version doesn't put into bundles: take it off (strip --strip-debug does)"
    )]
    Signed {
        /// The script.
        name: ScriptName,
    },
    /// A module that isn't what its place says.
    #[error("module {name}")]
    Module {
        /// The script.
        name: ScriptName,
        /// Why.
        #[source]
        source: ModuleError,
    },
}

/// What a package holds.
#[derive(Debug)]
pub(super) struct Package {
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

/// Reads a package to its last byte.
pub(super) fn read(source: impl Read) -> Result<Package, PackageError> {
    let compressed = Counted { source: BufReader::new(source), consumed: 0 };
    let mut archive = tar::Archive::new(Plain { decoder: GzDecoder::new(compressed), plain: 0 });
    let mut contents = Contents::default();
    for (position, member) in archive.entries().map_err(unreadable)?.raw(true).enumerate() {
        if position >= MAX_MEMBERS {
            return Err(over("the archive", position as u64 + 1, "members", MAX_MEMBERS as u64));
        }
        contents.member(member.map_err(unreadable)?)?;
    }
    // GNU tar fills up its last record with zeros.
    let mut rest = archive.into_inner();
    let mut buffer = [0; 4096];
    loop {
        let read = rest.read(&mut buffer).map_err(unreadable)?;
        if read == 0 {
            break;
        }
        if buffer.iter().take(read).any(|byte| *byte != 0) {
            return Err(PackageError::TrailingBytes);
        }
    }
    if !rest.decoder.get_mut().fill_buf().map_err(unreadable)?.is_empty() {
        return Err(PackageError::TrailingBytes);
    }
    contents.finish()
}

fn over(what: &str, found: u64, unit: &'static str, limit: u64) -> PackageError {
    PackageError::OverLimit { what: what.to_owned(), found, unit, limit }
}

/// What the limits below say travels through the tar reader as an I/O error.
fn unreadable(error: io::Error) -> PackageError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Growth>()) {
        Some(Growth::Bomb) => PackageError::Bomb,
        Some(Growth::Total(found)) => over("the archive", *found, "bytes", MAX_TOTAL),
        None => PackageError::Read(error),
    }
}

#[derive(Debug, thiserror::Error)]
enum Growth {
    #[error("it grows too much")]
    Bomb,
    #[error("{0} bytes")]
    Total(u64),
}

/// The plain bytes of the archive, counted against its compressed ones.
struct Plain<R> {
    decoder: GzDecoder<R>,
    plain: u64,
}

impl<R: BufRead> Read for Plain<Counted<R>> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.plain += read as u64;
        if self.plain > MAX_TOTAL {
            return Err(io::Error::other(Growth::Total(self.plain)));
        }
        if self.plain > RATIO_FREE + MAX_RATIO * self.decoder.get_ref().consumed {
            return Err(io::Error::other(Growth::Bomb));
        }
        Ok(read)
    }
}

/// A source that knows how much of it was used.
struct Counted<R> {
    source: R,
    consumed: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.consumed += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount as u64;
        self.source.consume(amount);
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
        let shown = escaped(&bytes);
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
            Place::Directory => Err(over(&shown, member.size(), "bytes", 0)),
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

    fn finish(self) -> Result<Package, PackageError> {
        let Self { release, modules, opts, configuration, modified, .. } = self;
        let release = release.filter(|_| !modules.is_empty()).ok_or(PackageError::NoModule)?;
        if let Some(name) = opts.keys().find(|name| !modules.contains_key(*name)) {
            return Err(PackageError::OptionsAlone { name: name.clone() });
        }
        Ok(Package { release, modules, opts, configuration, modified })
    }
}

/// A member's bytes, no more than its header says and than `limit`.
fn content<R: Read>(member: &mut tar::Entry<'_, R>, name: &str, limit: u64) -> Result<Vec<u8>, PackageError> {
    let size = member.size();
    if size > limit {
        return Err(over(&format!("`{name}`"), size, "bytes", limit));
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

fn escaped(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(100).collect();
    text.escape_default().to_string()
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
