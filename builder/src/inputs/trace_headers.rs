//! The headers of a kernel in which stap looks for tracepoints, and which of them a script needs.
//!
//! stap compiles each of them, some 200, to see what tracepoints there are. A compile for which only some are in sight makes the
//! same module, as long as those are there that have its tracepoints, and those that anything else includes: other headers,
//! systemtap's runtime, a tapset. Where that can't be known for certain, the view is the whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::header_text::{TraceInclude, is_header, names_in, trace_includes_of};
use super::tracepoints::Tracepoints;
use super::wildcard::glob;
use crate::sandbox::{NarrowedDirectory, Sysroot};
use crate::state::{Notes, note_use};
use crate::warm::TraceView;

/// Where stap looks in a build tree (tapsets.cxx, up to 5.6), as far as packages of headers have it.
const NARROWED: [(&str, &str); 5] = [
    ("include/trace/events", "*.h"),
    ("include/trace", "*.h"),
    ("include/ras", "*_event.h"),
    ("arch/*/include/asm", "*trace*.h"),
    ("arch/*/include/asm/trace", "*.h"),
];

/// And in the source of a kernel. Headers there include others from anywhere, so such a tree is left whole.
const OF_SOURCES: [(&str, &str); 13] = [
    ("arch/x86/kernel", "*trace.h"),
    ("arch/*/kvm", "*trace.h"),
    ("arch/x86/entry/vsyscall", "*trace.h"),
    ("fs/*", "*trace*.h"),
    ("fs/*", "xfs_tr*.h"),
    ("net/*", "*trace*.h"),
    ("sound/core", "*_trace.h"),
    ("sound/hda", "*trace*.h"),
    ("drivers/base/regmap", "*trace*.h"),
    ("drivers/gpu/drm", "*_trace.h"),
    ("drivers/gpu/drm/*", "*_trace.h"),
    ("drivers/usb/host", "*trace*.h"),
    ("virt/kvm/*", "*trace*.h"),
];

/// What stap passes over.
const PASSED_OVER: [&str; 4] = ["define_trace.h", "trace_events.h", "ftrace.h", "*_event_types.h"];

/// Most entries of a directory that are mounted one by one: the time that a mount takes grows with their number.
const MOST_MOUNTED: usize = 128;

/// Longest header that is read, in bytes. Register lists of graphics drivers have some 20 MB, and are not in `include`.
const LONGEST: u64 = 8 << 20;

/// The trace headers of a kernel.
#[derive(Debug, Default)]
pub(crate) struct TraceHeaders {
    /// By their paths in the sysroot; none where the tree must be left whole.
    headers: BTreeMap<String, Header>,
    /// Those that other headers include.
    included: BTreeSet<String>,
    /// The number of entries in their directories.
    entries: HashMap<String, usize>,
}

#[derive(Debug)]
struct Header {
    names: HashSet<String>,
    includes: Vec<TraceInclude>,
}

impl TraceHeaders {
    /// Those of the build trees `trees` as seen in `root`. What their other headers include is remembered in `remembered`.
    pub(crate) fn of_trees(
        root: &Sysroot,
        trees: &BTreeSet<PathBuf>,
        remembered: &Path,
        notes: &Notes,
    ) -> Self {
        // Unknown is everything: a header that can't be read is in sight.
        Self::read(root, trees, remembered, notes).ok().flatten().unwrap_or_default()
    }

    fn read(
        root: &Sysroot,
        trees: &BTreeSet<PathBuf>,
        remembered: &Path,
        notes: &Notes,
    ) -> io::Result<Option<Self>> {
        let mut found = Self::default();
        for tree in trees {
            let host = root.below(tree);
            let has_sources = |(directory, file): &(&str, &str)| {
                directories_of(&host, directory).iter().any(|found| {
                    entries_of(found).is_ok_and(|entries| entries.iter().any(|(name, _)| glob(file, name)))
                })
            };
            if OF_SOURCES.iter().any(has_sources) {
                return Ok(None);
            }
            for (directory, file) in NARROWED {
                for directory in directories_of(&host, directory) {
                    if !found.add_directory(root, &directory, file)? {
                        return Ok(None);
                    }
                }
            }
        }
        let includes: BTreeSet<TraceInclude> = if let Some(known) = Notes::read(remembered) {
            note_use(remembered);
            known
        } else {
            let Some(includes) = found.includes_of_others(root, trees)? else { return Ok(None) };
            notes.write(remembered, &includes);
            includes
        };
        found.included = found.meant_by(&includes);
        Ok(Some(found))
    }

    /// Whether all that is there are files.
    fn add_directory(&mut self, root: &Sysroot, host: &Path, pattern: &str) -> io::Result<bool> {
        let entries = entries_of(host)?;
        let inside = inside_of(root, host);
        self.entries.insert(inside.clone(), entries.len());
        for (name, is_file) in entries {
            if !glob(pattern, &name) || PASSED_OVER.iter().any(|passed| glob(passed, &name)) {
                continue;
            }
            if !is_file {
                return Ok(false);
            }
            let text = read_header(&host.join(&name))?;
            let names = names_in(&text).into_iter().map(str::to_owned).collect();
            let includes = trace_includes_of(&text).collect();
            self.headers.insert(format!("{inside}/{name}"), Header { names, includes });
        }
        Ok(true)
    }

    /// What the headers of the trees include that are none of these; `None` where a link leads to a directory of more.
    fn includes_of_others(
        &self,
        root: &Sysroot,
        trees: &BTreeSet<PathBuf>,
    ) -> io::Result<Option<BTreeSet<TraceInclude>>> {
        let mut includes = BTreeSet::new();
        for tree in trees {
            let host = root.below(tree);
            if ["include", "arch"].iter().any(|name| host.join(name).is_symlink()) {
                return Ok(None);
            }
            let places = ["include", "arch/*/include"].map(|place| directories_of(&host, place));
            for entry in places.iter().flatten().flat_map(WalkDir::new) {
                let entry = entry?;
                let inside = inside_of(root, entry.path());
                let is_other = is_header(&inside) && !self.headers.contains_key(&inside);
                if entry.path_is_symlink() {
                    let target = root.host_path(Path::new(&inside)).ok();
                    match target.filter(|target| target.exists()) {
                        Some(target) if target.is_dir() => return Ok(None),
                        Some(target) if is_other => {
                            includes.extend(trace_includes_of(&read_header(&target)?));
                        }
                        _ => {}
                    }
                } else if is_other && entry.file_type().is_file() {
                    includes.extend(trace_includes_of(&read_header(entry.path())?));
                }
            }
        }
        Ok(Some(includes))
    }

    fn meant_by<'i>(&self, includes: impl IntoIterator<Item = &'i TraceInclude>) -> BTreeSet<String> {
        let meant = |include: &'i TraceInclude| self.headers.keys().filter(move |path| include.means(path));
        includes.into_iter().flat_map(meant).cloned().collect()
    }

    /// What a script with these tracepoints needs to have in sight.
    pub(crate) fn view(&self, wanted: &Tracepoints) -> TraceView {
        if wanted.any {
            return TraceView::Whole;
        }
        let mut seen = self.included.clone();
        seen.extend(self.meant_by(&wanted.includes));
        for name in &wanted.names {
            let mut having = self.headers.iter().filter(|(_, header)| header.names.contains(name)).peekable();
            if having.peek().is_none() {
                // A name that is put together, or none of this kernel's: stap says which ones are like it.
                return TraceView::Whole;
            }
            seen.extend(having.map(|(path, _)| path.clone()));
        }
        self.close(&mut seen);
        if seen.len() == self.headers.len() { TraceView::Whole } else { TraceView::Only(seen) }
    }

    /// Adds what must be in sight with `seen`.
    fn close(&self, seen: &mut BTreeSet<String>) {
        loop {
            let mut more = BTreeSet::new();
            for header in seen.iter().filter_map(|path| self.headers.get(path)) {
                more.extend(self.meant_by(&header.includes));
            }
            let groups: HashSet<&str> = seen.iter().map(|path| group_of(path)).collect();
            let is_grouped = |path: &&String| groups.contains(group_of(path));
            more.extend(self.headers.keys().filter(is_grouped).cloned());
            for (directory, entries) in &self.entries {
                let mut of_directory: BTreeSet<String> =
                    self.headers.keys().filter(|path| directory_of(path) == directory).cloned().collect();
                let hidden = of_directory.difference(seen).count();
                if hidden > 0 && entries - hidden > MOST_MOUNTED {
                    more.append(&mut of_directory);
                }
            }
            let before = seen.len();
            seen.append(&mut more);
            if seen.len() == before {
                return;
            }
        }
    }

    /// The directories in which something isn't in sight.
    pub(crate) fn narrowed_by(&self, root: &Sysroot, view: &TraceView) -> Vec<NarrowedDirectory> {
        let TraceView::Only(seen) = view else { return Vec::new() };
        let mut hidden: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for path in self.headers.keys().filter(|path| !seen.contains(*path)) {
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
            hidden.entry(directory).or_default().insert(name.to_owned());
        }
        let narrowed = |(inside, hidden): (&str, BTreeSet<String>)| NarrowedDirectory {
            host: root.below(Path::new(inside)),
            inside: PathBuf::from(inside),
            hidden,
        };
        hidden.into_iter().map(narrowed).collect()
    }
}

/// Headers that stap takes for one: of those it looks at the first, so they are in sight together.
fn group_of(path: &str) -> &str {
    path.rfind("/include/").and_then(|at| path.get(at..)).unwrap_or(path)
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn inside_of(root: &Sysroot, host: &Path) -> String {
    root.inside_of(host).display().to_string()
}

fn read_header(path: &Path) -> io::Result<String> {
    let bytes = files::read::read(path, LONGEST).map_err(files::FileError::into_source)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in a directory, and which of them are files.
fn entries_of(directory: &Path) -> io::Result<Vec<(String, bool)>> {
    let entry = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), entry.file_type()?.is_file()))
    };
    std::fs::read_dir(directory)?.map(entry).collect()
}

/// The directories below `base` whose path fits a pattern; links are none.
fn directories_of(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![base.to_owned()];
    for part in pattern.split('/') {
        let below = |directory: &PathBuf| -> Vec<PathBuf> {
            if !part.contains('*') {
                return vec![directory.join(part)];
            }
            let entries = entries_of(directory).unwrap_or_default();
            let fitting = entries.into_iter().filter(|(name, _)| glob(part, name));
            fitting.map(|(name, _)| directory.join(name)).collect()
        };
        found = found.iter().flat_map(below).collect();
        found.retain(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests;
