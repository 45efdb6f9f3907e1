//! Which tracepoints of the kernel a script may come to, and so what stap's tracepoint scan must have seen for it.
//!
//! A script says `kernel.trace("…")` itself, or it uses an alias of the tapset library that is made of one, perhaps by way
//! of other aliases. Which those are is read from the tapsets themselves: a list in this program would age. Where a name can't
//! be known (a wildcard, a macro, an argument of the script) it may be any.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::header_text::{TraceInclude, trace_includes_in};
use super::probe_points::{Component, ProbePoint, declarations, has_macro_of_points};
use super::script::ScriptSource;
use super::script_text::tokens_of;
use super::tapset::Tapset;
use super::wildcard::glob;
use crate::sandbox::Sysroot;
use crate::state::{Notes, note_use};

/// How a tracepoint is spelled where it isn't hidden in an alias.
const PLAIN: &str = "kernel.trace";

/// Where stap's own tapsets are in a sysroot, and the C of its runtime.
const LIBRARY: &str = "/usr/share/systemtap/tapset";
const RUNTIME: &str = "/usr/share/systemtap/runtime";

/// Largest tapset file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// Tracepoints that a script or an alias may come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracepoints {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) names: BTreeSet<String>,
    /// Others, by names that can't be known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) any: bool,
    /// Trace headers that its C includes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) includes: BTreeSet<TraceInclude>,
}

impl Tracepoints {
    /// Any of the kernel's.
    pub(crate) fn any() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Whether stap looks for tracepoints at all.
    #[must_use]
    pub fn are_looked_for(&self) -> bool {
        self.any || !self.names.is_empty()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.includes.extend(other.includes.iter().cloned());
        self.any |= other.any;
    }
}

/// What scripts find in the tapset library: probe aliases that lead to tracepoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TapsetLibrary {
    aliases: BTreeMap<String, Tracepoints>,
    /// What a script may come to without naming an alias, and what runtime and tapsets include.
    unnamed: Tracepoints,
}

/// The declarations of some files.
#[derive(Default)]
struct Declared {
    by_alias: BTreeMap<String, Vec<ProbePoint>>,
    unnamed: Vec<ProbePoint>,
}

impl TapsetLibrary {
    /// The library of a sysroot, remembered in the file `remembered`.
    pub(crate) fn of_sysroot(sysroot: &Sysroot, remembered: &Path, notes: &Notes) -> io::Result<Self> {
        if let Some(known) = Notes::read(remembered) {
            note_use(remembered);
            return Ok(known);
        }
        let Ok(library) = sysroot.host_path(Path::new(LIBRARY)) else { return Ok(Self::default()) };
        let runtime = sysroot.host_path(Path::new(RUNTIME)).ok();
        let found = Self::of_directories(&library, runtime.as_deref())?;
        notes.write(remembered, &found);
        Ok(found)
    }

    fn of_directories(tapsets: &Path, runtime: Option<&Path>) -> io::Result<Self> {
        let mut declared = Declared::default();
        let mut includes = BTreeSet::new();
        let mut is_all = true;
        for directory in [Some(tapsets), runtime].into_iter().flatten() {
            for entry in WalkDir::new(directory).follow_links(true) {
                // A link that leads nowhere, for one.
                let Ok(entry) = entry else {
                    is_all = false;
                    continue;
                };
                let suffix = entry.path().extension().and_then(|suffix| suffix.to_str());
                if entry.file_type().is_file() && matches!(suffix, Some("stp" | "stpm" | "c" | "h")) {
                    let text = String::from_utf8_lossy(&read_tapset(entry.path())?).into_owned();
                    includes.extend(trace_includes_in(&text));
                    if suffix.is_some_and(|suffix| suffix.starts_with("stp")) {
                        declared.add(&text);
                    }
                }
            }
        }
        let mut library = Self::of_declared(&declared);
        library.unnamed.includes = includes;
        library.unnamed.any |= !is_all;
        Ok(library)
    }

    fn of_declared(declared: &Declared) -> Self {
        let mut library = Self::default();
        // An alias of an alias is known once that one is: so until nothing new comes.
        loop {
            let mut found = library.clone();
            for (alias, points) in &declared.by_alias {
                let leads_to = library.all(points);
                if leads_to.are_looked_for() {
                    found.aliases.entry(alias.clone()).or_default().add(&leads_to);
                }
            }
            found.unnamed.add(&library.all(&declared.unnamed));
            if found == library {
                return library;
            }
            library = found;
        }
    }

    fn all(&self, points: &[ProbePoint]) -> Tracepoints {
        let mut all = Tracepoints::default();
        for point in points {
            match point {
                ProbePoint::Uncertain => all.any = true,
                ProbePoint::Read(components) => self.add_of(components, &mut all),
            }
        }
        all
    }

    /// Adds what a probe point leads to. It may be an alias with a suffix such as `.return`, so each beginning of it counts.
    fn add_of(&self, components: &[Component], all: &mut Tracepoints) {
        if begins_with(components, PLAIN) {
            let name = components.get(1).and_then(|component| component.text.as_deref());
            match name.and_then(tracepoint_named).filter(|_| !has_wildcard(components)) {
                Some(name) => _ = all.names.insert(name.to_owned()),
                None => all.any = true,
            }
        }
        if has_wildcard(components) {
            let fitting = self.aliases.iter().filter(|(alias, _)| begins_with(components, alias));
            return fitting.for_each(|(_, to)| all.add(to));
        }
        let mut name = String::new();
        for Component { name: part, .. } in components {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(part);
            if let Some(to) = self.aliases.get(&name) {
                all.add(to);
            }
        }
    }

    /// What a script may come to, by its text, options, arguments and tapsets.
    pub(crate) fn used_by(&self, script: &ScriptSource) -> Tracepoints {
        let own = String::from_utf8_lossy(script.text());
        let mut texts = vec![own];
        for (path, bytes) in script.tapsets().iter().flat_map(Tapset::files) {
            if path.extension().is_some_and(|suffix| suffix == "stp" || suffix == "stpm") {
                texts.push(String::from_utf8_lossy(bytes));
            }
        }
        // An argument may be a piece of script: stap puts it in place of `$1`.
        let words = script.record().compile.iter().chain(&script.record().arguments);
        texts.extend(words.map(|word| word.as_str().into()));
        self.used_by_texts(texts.iter().map(|text| &**text))
    }

    fn used_by_texts<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Tracepoints {
        let mut declared = Declared::default();
        let mut includes = BTreeSet::new();
        for text in texts {
            declared.add(text);
            includes.extend(trace_includes_in(text));
        }
        let mut used = self.all(&declared.unnamed);
        declared.by_alias.values().for_each(|points| used.add(&self.all(points)));
        if used.are_looked_for() {
            used.includes.extend(includes);
            used.add(&self.unnamed);
        }
        used
    }
}

impl Declared {
    fn add(&mut self, text: &str) {
        let tokens = tokens_of(text);
        for found in declarations(&tokens) {
            match found.alias {
                Some(alias) => self.by_alias.entry(alias).or_default().extend(found.points),
                None => self.unnamed.extend(found.points),
            }
        }
        if has_macro_of_points(&tokens) {
            self.unnamed.push(ProbePoint::Uncertain);
        }
    }
}

fn has_wildcard(components: &[Component]) -> bool {
    components.iter().any(|component| component.name.contains('*'))
}

/// Whether a point may be `name`, or that with a suffix. A `*` matches a part of a component, `**` any of them.
fn begins_with(components: &[Component], name: &str) -> bool {
    let is_deep = components.iter().any(|component| component.name.contains("**"));
    let fits = |(component, part): (&Component, &str)| glob(&component.name, part);
    is_deep
        || (name.split('.').count() <= components.len() && components.iter().zip(name.split('.')).all(fits))
}

/// The tracepoint in `kernel.trace("system:name")`, if that is one and no pattern.
fn tracepoint_named(text: &str) -> Option<&str> {
    let (system, name) = text.split_once(':').unwrap_or(("", text));
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    (!name.is_empty() && is_plain(system) && is_plain(name)).then_some(name)
}

/// A link in a tapset library may lead to another file of it.
fn read_tapset(path: &Path) -> io::Result<Vec<u8>> {
    files::read::read_given(path, LARGEST).map_err(files::FileError::into_source)
}

#[cfg(test)]
mod tests;
