//! `NAME.opts`: by it the initscript decides whether a cached module is still good (INIT-CACHE-02).
//!
//! Line 1 is what `uname -a` prints, the last line the compile options (INIT-CACHE-03). The initscript
//! itself writes the line of the machine that compiled, which no other machine ever prints
//! (INIT-CACHE-06); ours is that of the host.

use bundle_format::{Kernel, ScriptName};
use files::{Directory, FileError};
use rustix::fs::FileType;

use crate::compat::link::{has_our_link, kind_word};
use crate::generation::module_file_name;
use crate::host::HostIdentity;

/// The whole file for one script: `opts_line` is the signed last line.
pub(super) fn opts_text(uname_a: &str, opts_line: &str) -> String {
    format!("{uname_a}\n{opts_line}\n")
}

/// What keeps a first line from being made: it must be one line, and what the host says goes into it.
pub(super) fn identity_problem(identity: &HostIdentity) -> Option<String> {
    let facts = [
        ("the host's name", Some(&identity.node)),
        ("the kernel's version", identity.version.as_ref()),
        ("the line of `uname -a`", identity.uname_a.as_ref()),
    ];
    let bad = |fact: &&String| fact.chars().any(char::is_control);
    let (what, fact) = facts.into_iter().find_map(|(what, fact)| Some((what, fact.filter(bad)?)))?;
    Some(format!("{what} is {fact:?}, with a control character: the initscript's cache stays empty"))
}

/// What `uname -a` prints while `kernel` runs on this host: known for the running kernel, put together
/// for another. Without `uname -v` of that other kernel the line is only right after a start there.
pub(super) fn uname_line(identity: &HostIdentity, kernel: &Kernel) -> String {
    let runs = identity.runs(kernel);
    if let Some(line) = identity.uname_a.as_ref().filter(|_| runs) {
        return line.clone();
    }
    let version =
        if runs { identity.version.as_ref().or(kernel.uname_v.as_ref()) } else { kernel.uname_v.as_ref() };
    let mut line = format!("Linux {} {}", identity.node, kernel.release);
    if let Some(version) = version {
        line.push(' ');
        line.push_str(version);
    }
    line.push(' ');
    line.push_str(&tail(identity, kernel));
    line
}

/// What follows the version: distributions print the machine once, twice or three times, so it is
/// taken from the running kernel's line where there is one.
fn tail(identity: &HostIdentity, kernel: &Kernel) -> String {
    let known = || {
        let release = identity.release.as_ref()?;
        let version = identity.version.as_ref()?;
        let before = format!("Linux {} {release} {version} ", identity.node);
        identity.uname_a.as_ref()?.strip_prefix(&before)
    };
    known().map_or_else(|| format!("{} GNU/Linux", kernel.machine), str::to_owned)
}

/// An `.opts` file without a module beside it is somebody's own, unless it says what ours would. Our
/// link must not come beside it, for by the link the next run would take the pair for ours.
pub(super) fn foreign_opts(
    directory: &Directory,
    script: &ScriptName,
    text: &str,
) -> Result<Option<String>, FileError> {
    let name = opts_file_name(script);
    let Some(kind) = directory.kind(&name)? else { return Ok(None) };
    let has_module = directory.kind(&module_file_name(script))?.is_some();
    let is_ours = has_our_link(directory, &name)?;
    let is_equal = || directory.read_file(&name, MAX_OPTS).is_ok_and(|found| found == text.as_bytes());
    if has_module || is_ours || (kind == FileType::RegularFile && is_equal()) {
        return Ok(None);
    }
    Ok(Some(kind_word(kind).to_owned()))
}

pub(super) fn opts_file_name(script: &ScriptName) -> String {
    format!("{script}.opts")
}

/// Most bytes of an `.opts` file that is compared before a link takes its place.
pub(super) const MAX_OPTS: u64 = 64 << 10;
