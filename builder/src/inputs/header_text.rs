//! The text of C headers, as far as it says which tracepoints they may have and which headers they need.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// The path of a header as it is included, of one in which stap may look for tracepoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct TraceInclude(String);

impl TraceInclude {
    /// A path with one of the words that the paths of all such headers have.
    fn of(path: &str) -> Option<Self> {
        let path = path.trim_start_matches("./").trim_start_matches("../");
        let may_be = ["trace", "ras/", "xfs_tr"].iter().any(|word| path.contains(word));
        (may_be && is_header(path)).then(|| Self(path.to_owned()))
    }

    #[cfg(test)]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it may mean the header at `path`.
    pub(crate) fn means(&self, path: &str) -> bool {
        path.strip_suffix(&self.0).is_some_and(|before| before.ends_with('/'))
    }
}

/// Whether a path is that of a header.
pub(super) fn is_header(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, suffix)| suffix == "h")
}

/// The paths of such headers in a text, wherever they are in it.
pub(crate) fn trace_includes_in(text: &str) -> impl Iterator<Item = TraceInclude> {
    let lines = text.lines().filter(|line| line.contains(".h") || line.contains("TRACE_INCLUDE_FILE"));
    lines.flat_map(|line| {
        let is_of_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+');
        // `#define TRACE_INCLUDE_FILE name`: such a header includes itself by that name.
        let named = line.split_once("TRACE_INCLUDE_FILE").map(|(_, name)| name.trim());
        let named = named.filter(|name| !name.is_empty() && name.chars().all(is_of_path));
        let by_macro = named.and_then(|name| TraceInclude::of(&format!("trace/events/{name}.h")));
        line.split(move |c| !is_of_path(c)).filter_map(TraceInclude::of).chain(by_macro)
    })
}

/// The same of what a header includes itself.
pub(crate) fn trace_includes_of(header: &str) -> impl Iterator<Item = TraceInclude> {
    let directives = header.lines().filter(|line| line.trim_start().starts_with('#'));
    directives.flat_map(trace_includes_in)
}

/// All names in C, without comments. Those in strings count.
pub(crate) fn names_in(text: &str) -> HashSet<&str> {
    let mut names = HashSet::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let two = rest.get(..2).unwrap_or_default();
        let length = match first {
            _ if two == "/*" => behind(rest, 2, "*/"),
            _ if two == "//" => behind(rest, 2, "\n"),
            '"' | '\'' => {
                let length = quoted(rest, first);
                names.extend(words_in(rest.get(..length).unwrap_or_default()));
                length
            }
            _ => {
                let length = rest.find(['/', '"', '\'']).unwrap_or(rest.len()).max(first.len_utf8());
                names.extend(words_in(rest.get(..length).unwrap_or_default()));
                length
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    names
}

fn words_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

fn behind(text: &str, begin: usize, end: &str) -> usize {
    let rest = text.get(begin..).unwrap_or_default();
    rest.find(end).map_or(text.len(), |at| begin + at + end.len())
}

/// The length of a string or character; it ends with its line at the latest.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !is_escaped && (c == quote || c == '\n') {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_trace_headers_are_found_wherever_they_stand() {
        let text = "#include <trace/events/sched.h>\n# include \"../trace/a-b.h\"\n#include <linux/fs.h>\n\
                    @cast(x, \"y\", \"kernel<trace/events/z.h><ras/ras_event.h>\")\n#define TRACE_INCLUDE_FILE qla\n\
                    #undef TRACE_INCLUDE_FILE\n#include TRACE_INCLUDE(TRACE_INCLUDE_FILE)\n";
        let found: Vec<TraceInclude> = trace_includes_in(text).collect();
        let found: Vec<&str> = found.iter().map(TraceInclude::as_str).collect();
        let expected = [
            "trace/events/sched.h",
            "trace/a-b.h",
            "trace/events/z.h",
            "ras/ras_event.h",
            "trace/events/qla.h",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_include_means_a_header_by_its_last_names() {
        let include = TraceInclude::of("trace/events/sched.h").unwrap();
        assert!(include.means("/usr/src/linux/include/trace/events/sched.h"));
        assert!(!include.means("/usr/src/linux/include/linux/sched.h"));
        assert!(!TraceInclude::of("trace.h").unwrap().means("/x/pm-trace.h"));
    }

    #[test]
    fn names_in_comments_are_no_names() {
        let names =
            names_in("/* one */ TRACE_EVENT(two, // three\n four) \"five // six\" '\"' seven /* \" */ eight");
        for (name, is_there) in [
            ("one", false),
            ("two", true),
            ("three", false),
            ("four", true),
            ("six", true),
            ("seven", true),
            ("eight", true),
        ] {
            assert_eq!(names.contains(name), is_there, "{name}");
        }
        // An apostrophe in words ends with its line.
        let names = names_in("#error don't\nTRACE_EVENT(nine) // x");
        assert!(names.contains("nine") && !names.contains("x"));
        assert!(names_in("/*").is_empty() && names_in("\"").is_empty() && names_in("a/").contains("a"));
    }
}
