//! Programs and libraries in user space that scripts probe.
//!
//! A module says itself which ones it is made for: stap puts the path and build id of each into it. So none of stap's notations is
//! read here. But the key of a result must be known before there is a module: each file that a script, its options or its arguments
//! name in so many words is an input, whether stap looks at it or not.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bundle_format::{Digest, FieldHasher};
use serde::{Deserialize, Serialize};

use super::script::ScriptSource;
use super::script_text::{Token, tokens_of};
use super::tapset::Tapset;
use super::tree_digest::TreeDigests;
use super::wildcard::glob;
use crate::sandbox::{ENVIRONMENT, Sysroot};

/// Longest path that is looked for, in bytes: the kernel's own limit.
const LONGEST_PATH: usize = 4096;

/// Most paths that a pattern is taken apart into.
const MOST_PATHS: usize = 10_000;

/// What isn't a file of the sysroot, but of the kernel that runs.
const NO_FILES: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A program or library in a sysroot: a module knows addresses in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// As seen in the sysroot, without links.
    pub path: PathBuf,
    /// Its ELF build id in hexadecimal digits.
    pub build_id: String,
    /// Digest of its bytes.
    pub sha256: Digest,
}

/// What a key says of a program: a file, or a pattern of paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProgramState {
    /// Without links, if it is there.
    pub path: PathBuf,
    /// Digest of a file's bytes and its separate debuginfo's, or of the paths that fit a pattern; `None` if there is no such program.
    pub sha256: Option<Digest>,
}

impl ProgramState {
    /// What is at `path`, or fits it.
    pub(crate) fn of(path: &Path, sysroot: &Sysroot, digests: &TreeDigests<'_>) -> Self {
        let name = path.to_string_lossy();
        if is_pattern(&name) {
            return Self { path: path.to_owned(), sha256: paths_fitting(&name, sysroot) };
        }
        match Found::at(path, sysroot, digests) {
            Some(found) => found.state(sysroot, digests),
            None => Self { path: path.to_owned(), sha256: None },
        }
    }
}

/// A program or script in a sysroot. One that can't be read is none for a compile either.
struct Found {
    path: PathBuf,
    /// Whether it is machine code.
    is_elf: bool,
    build_id: Option<String>,
    sha256: Digest,
    /// When the file came to be as it is.
    changed: SystemTime,
}

impl Found {
    fn at(path: &Path, sysroot: &Sysroot, digests: &TreeDigests<'_>) -> Option<Self> {
        let path = sysroot.resolve(path).ok()?;
        let host = sysroot.below(&path);
        let metadata = host.metadata().ok().filter(|found| found.is_file() && found.len() > 0)?;
        if is_of_the_kernel(&path) {
            return None;
        }
        let file = files::read::open(&host).ok()?;
        let mut head = Vec::new();
        file.take(kernel_module::PROGRAM_HEAD).read_to_end(&mut head).ok()?;
        let is_elf = head.starts_with(b"\x7fELF");
        // stap takes a script for its interpreter.
        if !is_elf && !head.starts_with(b"#!") {
            return None;
        }
        let build_id = kernel_module::program_build_id(&head);
        let sha256 = digests.of_bytes(sysroot, &path).ok()??;
        Some(Self { path, is_elf, build_id, sha256, changed: changed_at(&metadata) })
    }

    fn state(&self, sysroot: &Sysroot, digests: &TreeDigests<'_>) -> ProgramState {
        let debuginfo = format!("/usr/lib/debug{}.debug", self.path.display());
        let debuginfo = digests.of_bytes(sysroot, Path::new(&debuginfo)).ok().flatten();
        let with = |debuginfo: Digest| {
            FieldHasher::new().field(self.sha256.as_bytes()).field(debuginfo.as_bytes()).finish()
        };
        ProgramState { path: self.path.clone(), sha256: Some(debuginfo.map_or(self.sha256, with)) }
    }
}

fn changed_at(metadata: &fs::Metadata) -> SystemTime {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap_or_default();
    UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

fn is_of_the_kernel(path: &Path) -> bool {
    NO_FILES.iter().any(|place| path.starts_with(place))
}

/// The programs that a script names, as far as they are in the sysroot.
pub(crate) fn programs_named(
    script: &ScriptSource,
    sysroot: &Sysroot,
    digests: &TreeDigests<'_>,
) -> Vec<ProgramState> {
    let paths = paths_named(script, sysroot);
    let states = paths.iter().map(|path| ProgramState::of(path, sysroot, digests));
    let there: BTreeSet<ProgramState> = states.filter(|state| state.sha256.is_some()).collect();
    there.into_iter().collect()
}

fn paths_named(script: &ScriptSource, sysroot: &Sysroot) -> BTreeSet<PathBuf> {
    let record = script.record();
    // `-d/usr/bin/x` too.
    let words = record.compile.iter().filter_map(|word| word.get(word.find('/')?..));
    let mut names: BTreeSet<String> = words.map(str::to_owned).collect();
    // An argument may be the name of a program.
    names.extend(record.arguments.iter().filter(|word| !word.is_empty()).cloned());
    let tapsets = script.tapsets().iter().flat_map(Tapset::files);
    for text in tapsets.map(|(_, bytes)| bytes.as_slice()).chain([script.text()]) {
        names.extend(names_in(&String::from_utf8_lossy(text)));
    }
    names.iter().flat_map(|name| paths_of(name, sysroot)).collect()
}

/// The programs that the log of a failed compile names and the script doesn't: those of systemtap's own tapsets.
pub(crate) fn programs_in_log(log: &str, script: &ScriptSource, sysroot: &Sysroot) -> Vec<PathBuf> {
    let own = paths_named(script, sysroot);
    let named: BTreeSet<PathBuf> = names_in(log).iter().flat_map(|name| paths_of(name, sysroot)).collect();
    named.into_iter().filter(|path| !own.contains(path)).collect()
}

/// What could name a program: the argument of what takes one, or text in quotes that is a path, or a list of them (`@cast`).
fn names_in(text: &str) -> BTreeSet<String> {
    let tokens = tokens_of(text);
    let mut names = BTreeSet::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let begin = at;
        at += 1;
        let Token::Text(first) = token else { continue };
        // Texts beside each other are one.
        let mut whole = (*first).to_owned();
        while let Some(Token::Text(next)) = tokens.get(at) {
            whole.push_str(next);
            at += 1;
        }
        let before = begin.checked_sub(2).and_then(|from| tokens.get(from..begin));
        if matches!(before, Some([Token::Word("process" | "library"), Token::Mark('(')])) {
            names.insert(whole);
        } else {
            let paths = whole.split(':').filter(|part| part.starts_with('/') && !is_pattern(part));
            names.extend(paths.map(str::to_owned));
        }
    }
    names.retain(|name| (1..=LONGEST_PATH).contains(&name.len()));
    names
}

/// Where a program of this name would be: as stap looks for it, along PATH if it is no path.
fn paths_of(name: &str, sysroot: &Sysroot) -> Vec<PathBuf> {
    if name.contains('/') {
        return vec![name.into()];
    }
    let path = ENVIRONMENT.iter().find(|(name, _)| *name == "PATH").map_or("", |(_, path)| path);
    let along: Vec<PathBuf> = path.split(':').map(|directory| Path::new(directory).join(name)).collect();
    let found = along.iter().position(|path| sysroot.resolve(path).is_ok());
    along.into_iter().take(found.map_or(usize::MAX, |found| found + 1)).collect()
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// A digest of the paths that fit a pattern, or may: only `*` is read; `None` if there are none.
fn paths_fitting(pattern: &str, sysroot: &Sysroot) -> Option<Digest> {
    let mut fitting = BTreeSet::from([PathBuf::from("/")]);
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        if !is_pattern(component) {
            fitting = fitting.into_iter().map(|path| path.join(component)).collect();
            continue;
        }
        let fits = |name: &str| component.contains(['?', '[', '{']) || glob(component, name);
        fitting = fitting
            .iter()
            .filter(|path| !is_of_the_kernel(path))
            .flat_map(|path| names_below(path, sysroot).into_iter().map(|name| path.join(name)))
            .filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
            .take(MOST_PATHS)
            .collect();
    }
    fitting.retain(|path| sysroot.resolve(path).is_ok());
    let hash = FieldHasher::new().field("stap-bundle paths 1");
    let hash = hash.list(fitting.iter().map(|path| path.as_os_str().as_encoded_bytes()));
    (!fitting.is_empty()).then(|| hash.finish())
}

fn names_below(directory: &Path, sysroot: &Sysroot) -> Vec<OsString> {
    let entries = sysroot.host_path(directory).and_then(fs::read_dir);
    let mut names: Vec<OsString> =
        entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.sort();
    names
}

/// What a module says of programs.
#[derive(Debug, Default)]
pub(crate) struct ModulePrograms {
    /// Those for which it is made: it has their paths and build ids.
    pub(crate) probed: Vec<Program>,
    /// All whose paths it has: of one without a build id nothing else shows.
    pub(crate) states: Vec<ProgramState>,
    /// When the newest of those files came to be as it is; `None` without any.
    pub(crate) changed: Option<SystemTime>,
}

/// The programs that a module names, as they are in the sysroot.
pub(crate) fn programs_of_module(
    module: &[u8],
    sysroot: &Sysroot,
    digests: &TreeDigests<'_>,
) -> ModulePrograms {
    let texts = module.split(|byte| *byte == 0);
    let is_path = |text: &&[u8]| text.starts_with(b"/") && text.len() <= LONGEST_PATH;
    let paths: BTreeSet<&str> =
        texts.filter(is_path).filter_map(|text| std::str::from_utf8(text).ok()).collect();
    let mut probed = BTreeSet::new();
    let mut states = BTreeSet::new();
    let mut changed = None;
    let found = paths.into_iter().filter_map(|path| Found::at(Path::new(path), sysroot, digests));
    for found in found.filter(|found| found.is_elf) {
        states.insert(found.state(sysroot, digests));
        changed = changed.max(Some(found.changed));
        let Found { path, build_id: Some(build_id), sha256, .. } = found else { continue };
        let id = hex_bytes(&build_id);
        if module.windows(id.len()).any(|window| window == id) {
            probed.insert(Program { path, build_id, sha256 });
        }
    }
    ModulePrograms { probed: probed.into_iter().collect(), states: states.into_iter().collect(), changed }
}

fn hex_bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16).unwrap_or_default();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests;
