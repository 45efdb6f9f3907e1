//! Whether a script uses tracepoints of the kernel, and so needs stap's tracepoint scan.
//!
//! A script says `kernel.trace("…")` itself, or it uses an alias of the tapset library that is made of one, perhaps by way
//! of other aliases. Which those are is read from the tapsets themselves: a list in this program would age. A script that
//! is taken for one and isn't costs a scan that nobody needed; one that is overlooked would do its scan unasked, beside
//! others. So where the text leaves a doubt (a name in a comment, a wildcard), the answer is yes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::wildcard::glob;
use crate::sandbox::Sysroot;
use crate::state::{Notes, note_use};

/// How a tracepoint is spelled where it isn't hidden in an alias.
const PLAIN: &str = "kernel.trace";

/// Where stap's own tapsets are in a sysroot.
const LIBRARY: &str = "/usr/share/systemtap/tapset";

/// Largest tapset file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// Names of probe aliases that lead to tracepoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TracepointAliases(BTreeSet<String>);

impl TracepointAliases {
    /// Reads the aliases of all tapset files below `directories`; a directory that isn't there has none.
    pub(crate) fn of_directories<'p>(directories: impl IntoIterator<Item = &'p Path>) -> io::Result<Self> {
        let mut texts = Vec::new();
        for directory in directories.into_iter().filter(|directory| directory.is_dir()) {
            for entry in WalkDir::new(directory).follow_links(true) {
                let entry = entry?;
                let is_tapset = entry.path().extension().is_some_and(|suffix| suffix == "stp");
                if is_tapset && entry.file_type().is_file() {
                    texts.push(String::from_utf8_lossy(&read_tapset(entry.path())?).into_owned());
                }
            }
        }
        Ok(Self::of_texts(texts.iter().map(String::as_str)))
    }

    /// The aliases of a sysroot's tapset library, remembered in the file `remembered`.
    pub(crate) fn of_sysroot(sysroot: &Sysroot, remembered: &Path, notes: &Notes) -> io::Result<Self> {
        if let Some(known) = Notes::read(remembered) {
            note_use(remembered);
            return Ok(known);
        }
        let Ok(library) = sysroot.host_path(Path::new(LIBRARY)) else { return Ok(Self::default()) };
        let aliases = Self::of_directories([library.as_path()])?;
        notes.write(remembered, &aliases);
        Ok(aliases)
    }

    fn of_texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut definitions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, points) in texts.into_iter().flat_map(definitions_in) {
            definitions.entry(name).or_default().push(points);
        }
        let mut known = Self::default();
        loop {
            let more: Vec<&str> = definitions
                .iter()
                .filter(|(name, points)| {
                    !known.0.contains(**name) && points.iter().any(|points| known.are_used_by(points))
                })
                .map(|(name, _)| *name)
                .collect();
            if more.is_empty() {
                return known;
            }
            known.0.extend(more.into_iter().map(str::to_owned));
        }
    }

    /// Whether `text` uses a tracepoint, by itself or through one of the aliases.
    pub(crate) fn are_used_by(&self, text: &str) -> bool {
        text.contains(PLAIN)
            || names_in(text).any(|name| {
                let wild = name.contains(['*', '?']);
                if wild { self.matches_any(name) || glob(name, PLAIN) } else { self.holds(name) }
            })
    }

    /// `name` is an alias, or one with a suffix such as `.return`.
    fn holds(&self, name: &str) -> bool {
        let mut name = name;
        loop {
            if self.0.contains(name) {
                return true;
            }
            let Some((shorter, _)) = name.rsplit_once('.') else { return false };
            name = shorter;
        }
    }

    fn matches_any(&self, pattern: &str) -> bool {
        self.0.iter().any(|alias| glob(pattern, alias))
    }
}

/// The aliases that a tapset file defines: name, and the probe points between `=` and the body.
fn definitions_in(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices("probe").filter_map(|(at, word)| {
        let rest = text.get(at + word.len()..)?;
        if !rest.starts_with(char::is_whitespace) {
            return None;
        }
        let rest = rest.trim_start();
        let (name, rest) = rest.split_at(rest.find(|c: char| !is_name(c))?);
        let rest = rest.trim_start();
        let points = rest.strip_prefix("+=").or_else(|| rest.strip_prefix('='))?;
        Some((name, points.split_once('{').map_or(points, |(points, _)| points)))
    })
}

/// Words with a dot or a wildcard in them: what may be a probe point.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(is_name(c) || c == '*'));
    words.map(|word| word.trim_matches('.')).filter(|word| word.contains(['.', '*']))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// A link in a tapset library may lead to another file of it.
fn read_tapset(path: &Path) -> io::Result<Vec<u8>> {
    files::read::read_given(path, LARGEST).map_err(files::FileError::into_source)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TAPSET: &str = "/* probe in words */\nprobe ioblock_trace.request = kernel.trace(\"block_rq_issue\") { x = 1 }\n\
                          probe sched.switch = kernel.trace(\"sched_switch\") !, kernel.function(\"x\") {}\n\
                          probe top.one = sched.switch,\n  nothing.else {}\nprobe timer.mine = timer.s(1) {}\n";

    #[test]
    fn aliases_are_followed_to_the_tracepoint() {
        let aliases = TracepointAliases::of_texts([TAPSET]);
        let names: Vec<&str> = aliases.0.iter().map(String::as_str).collect();
        assert_eq!(names, ["ioblock_trace.request", "sched.switch", "top.one"]);
        for script in [
            "probe kernel.trace(\"x\") {}",
            "probe top.one {}",
            "probe ioblock_trace.* { }",
            "probe sched.switch.return {}",
            "probe *.request {}",
            "probe kernel.* {}",
        ] {
            assert!(aliases.are_used_by(script), "{script}");
        }
        for script in
            ["probe timer.mine {}", "probe timer.s(1) { print(a.b) }", "probe top.ones {}", "x = 2*3"]
        {
            assert!(!aliases.are_used_by(script), "{script}");
        }
    }

    #[test]
    fn files_are_read_below_their_directory() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("linux")).unwrap();
        fs::write(directory.path().join("linux/a.stp"), TAPSET).unwrap();
        fs::write(directory.path().join("README"), "probe x.y = kernel.trace(\"z\") {}").unwrap();
        let missing = directory.path().join("missing");
        let aliases = TracepointAliases::of_directories([directory.path(), missing.as_path()]).unwrap();
        assert_eq!(aliases.0.len(), 3);
    }
}
