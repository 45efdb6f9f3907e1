//! The grammar of all of `stap-server`'s files (SRV-CFG-01, -02): one assignment a line, never a shell script.
//!
//! `#` in the first column begins a comment; an empty line is nothing; everything else is `NAME=VALUE` or `NAME+=VALUE`,
//! where VALUE is the rest of the line as it stands: no quotes, no trimming, no expansion.

use std::path::{Path, PathBuf};

/// A line that isn't of the grammar, or a name or value that the file can't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {problem}", path.display())]
pub struct GrammarError {
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What was found, and what is expected.
    pub problem: String,
}

/// One assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assignment<'t> {
    pub(crate) name: &'t str,
    pub(crate) value: &'t str,
    /// `+=`
    pub(crate) adds: bool,
}

/// Hands each assignment of `text` to `take`; what it refuses, and what isn't of the grammar, is an error with its place.
pub(crate) fn assignments(
    path: &Path,
    text: &str,
    mut take: impl FnMut(Assignment<'_>) -> Result<(), String>,
) -> Result<(), GrammarError> {
    for (index, line) in text.split('\n').enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        assignment(line).and_then(&mut take).map_err(|problem| GrammarError {
            path: path.to_owned(),
            line: index + 1,
            problem,
        })?;
    }
    Ok(())
}

fn assignment(line: &str) -> Result<Assignment<'_>, String> {
    if line.ends_with('\r') {
        return Err("the line ends as on Windows; convert the file: sed -i 's/\\r$//' FILE".into());
    }
    if let Some(control) = line.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!("a control character ({})", control.escape_default()));
    }
    let (name, value) = line.split_once('=').ok_or_else(|| not_an_assignment(line))?;
    let (name, adds) = name.strip_suffix('+').map_or((name, false), |name| (name, true));
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if plain { Ok(Assignment { name, value, adds }) } else { Err(not_an_assignment(line)) }
}

fn not_an_assignment(line: &str) -> String {
    let shown: String = line.chars().take(60).collect();
    let why = if line.starts_with([' ', '\t']) { "; blanks at the start count" } else { "" };
    format!("`{shown}` is neither NAME=VALUE nor a comment with # in the first column{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String, bool)>, GrammarError> {
        let mut all = Vec::new();
        assignments(Path::new("f"), text, |one| {
            all.push((one.name.to_owned(), one.value.to_owned(), one.adds));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn srv_cfg_01_a_value_is_the_rest_of_the_line_as_it_stands() {
        let text = "# comment\n\nLOG_FILE=/a b/'c' \"d\" # e \nX= \nBUILD+=V=1 -k\nY=";
        let expected = [
            ("LOG_FILE", "/a b/'c' \"d\" # e ", false),
            ("X", " ", false),
            ("BUILD", "V=1 -k", true),
            ("Y", "", false),
        ];
        let expected: Vec<_> = expected.map(|(n, v, adds)| (n.to_owned(), v.to_owned(), adds)).into();
        assert_eq!(parsed(text).unwrap(), expected);
    }

    #[test]
    fn srv_cfg_01_what_is_no_assignment_is_named_with_its_place() {
        for (text, place, part) in [
            ("A=1\n B=2\n", 2, "blanks at the start count"),
            ("\nexport A=1", 2, "`export A=1` is neither NAME=VALUE"),
            ("if true; then", 1, "is neither"),
            ("=x", 1, "is neither"),
            ("A=1\r\n", 1, "Windows"),
            ("A=\u{1b}[31m", 1, "control character"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.line == place && error.problem.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn nothing_is_expanded() {
        let text = "LOG_FILE=$(touch /tmp/x)`id`$HOME\\";
        assert_eq!(parsed(text).unwrap()[0].1, "$(touch /tmp/x)`id`$HOME\\");
    }
}
