//! Our links: relative, through `current`, and told from everybody else's by that.

use std::path::{Component, Path};

use files::{Directory, FileError};
use rustix::fs::FileType;

use crate::compat::report::{Foreign, ForeignFile, Work};
use crate::host::paths::{CURRENT, STATE};

/// What is put behind the name of a foreign file that is moved aside: neither the initscript nor our start
/// looks at such a name.
const ASIDE: &str = ".before-stap-bundle";

/// The relative text of a link in directory `from` to `inside` the current generation. `from` is where
/// the directory really is, without links on the way.
pub(super) fn link_text(from: &Path, inside: &str) -> String {
    let depth = from.components().filter(|part| matches!(part, Component::Normal(_))).count();
    format!("{}{}/{CURRENT}/{inside}", "../".repeat(depth), STATE.trim_start_matches('/'))
}

/// Whether a link with this text is one of ours: it leads through `current`.
pub(super) fn is_ours(text: &str) -> bool {
    let mut rest = text;
    while let Some(shorter) = rest.strip_prefix("../") {
        rest = shorter;
    }
    let through = rest.trim_start_matches('/').strip_prefix(STATE.trim_start_matches('/'));
    through
        .and_then(|rest| rest.strip_prefix('/')?.strip_prefix(CURRENT))
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether one of our links stands at `name`.
pub(super) fn has_our_link(directory: &Directory, name: &str) -> Result<bool, FileError> {
    Ok(directory.kind(name)? == Some(FileType::Symlink) && is_ours(&directory.read_link(name)?))
}

/// Makes or changes our link at `name`; returns whether it is there now. Somebody else's file is
/// reported and left.
pub(super) fn put_link(
    directory: &Directory,
    name: &str,
    text: &str,
    work: &mut Work,
) -> Result<bool, FileError> {
    let path = directory.path().join(name);
    let what = match directory.kind(name)? {
        None => None,
        Some(FileType::Symlink) => {
            let found = directory.read_link(name)?;
            if found == text {
                return Ok(true);
            }
            (!is_ours(&found)).then(|| format!("link to {found}"))
        }
        Some(other) => Some(kind_word(other).to_owned()),
    };
    if let Some(what) = what
        && !move_aside(directory, name, what, work)?
    {
        return Ok(false);
    }
    put_text(directory, name, text)?;
    work.report.written.push(path);
    Ok(true)
}

/// Makes a link with this text at `name`, over what is there.
pub(super) fn put_text(directory: &Directory, name: &str, text: &str) -> Result<(), FileError> {
    let temporary = format!(".{name}.new");
    directory.unlink_if_there(&temporary)?;
    directory.symlink(text, &temporary)?;
    directory.rename(&temporary, name)
}

/// Moves a foreign file aside if that was asked for, and returns whether its name is free now. What is
/// no file and no link is left in any case.
pub(super) fn move_aside(
    directory: &Directory,
    name: &str,
    what: String,
    work: &mut Work,
) -> Result<bool, FileError> {
    let path = directory.path().join(name);
    let movable = matches!(directory.kind(name)?, Some(FileType::RegularFile | FileType::Symlink));
    if work.foreign == Foreign::Leave || !movable {
        work.report.foreign.push(ForeignFile { path, what });
        return Ok(false);
    }
    let mut aside = format!("{name}{ASIDE}");
    let mut number = 1_u32;
    while directory.kind(&aside)?.is_some() {
        number += 1;
        aside = format!("{name}{ASIDE}.{number}");
    }
    directory.rename(name, &aside)?;
    work.report.moved.push((path, directory.path().join(aside)));
    Ok(true)
}

/// What a kind of file is called.
pub(super) const fn kind_word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        _ => "special file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_climbs_to_the_root_and_goes_through_current() {
        let text = link_text(Path::new("/var/cache/systemtap/6.12.1"), "kernels/0123/a.ko");
        assert_eq!(text, "../../../../var/lib/stap-bundle/current/kernels/0123/a.ko");
        assert!(is_ours(&text));
    }

    #[test]
    fn other_links_are_not_ours() {
        for text in [
            "a.ko",
            "../../var/lib/stap-bundle/inbox/a",
            "../var/lib/stap-bundle/current",
            "x/../var/lib/stap-bundle/current/a",
        ] {
            assert!(!is_ours(text), "{text}");
        }
    }
}
