//! Which cells of the table must be green for a bundle to be written.

use std::fmt;
use std::str::FromStr;

use bundle_format::{KernelRelease, ScriptName};

use crate::inputs::glob;

/// Cells, by patterns of their script and of their kernel: `SCRIPT`, `SCRIPT@RELEASE` or `@RELEASE`, with `*` for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPattern {
    script: String,
    release: String,
}

impl CellPattern {
    /// Whether it has the cell of this script and kernel.
    #[must_use]
    pub fn matches(&self, script: &ScriptName, release: &KernelRelease) -> bool {
        glob(&self.script, script.as_str()) && glob(&self.release, release.as_str())
    }
}

impl FromStr for CellPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (script, release) = text.split_once('@').unwrap_or((text, "*"));
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+~*".contains(&byte);
        if text.is_empty() || release.is_empty() || !script.bytes().chain(release.bytes()).all(word) {
            return Err("expected SCRIPT, SCRIPT@RELEASE or @RELEASE, with `*` for anything".to_owned());
        }
        let script = if script.is_empty() { "*" } else { script };
        Ok(Self { script: script.to_owned(), release: release.to_owned() })
    }
}

impl fmt::Display for CellPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.release == "*" {
            f.write_str(&self.script)
        } else {
            write!(f, "{}@{}", self.script, self.release)
        }
    }
}

/// What is asked of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand<'p> {
    /// Without its module no bundle is written.
    Required,
    /// Without its module the bundle is written, and says why it is missing.
    BestEffort,
    /// It isn't compiled; the bundle says so.
    Skip(&'p CellPattern),
}

/// What is asked of each cell. The strictest pattern decides, whatever the order: a cell that is skipped is skipped; else one
/// that is required is required; else one for which the best is good enough is so; any other is required.
#[derive(Debug, Clone, Default)]
pub struct CellPolicy {
    /// Cells that must be green although `best_effort` has them.
    pub required: Vec<CellPattern>,
    /// Cells that may be red.
    pub best_effort: Vec<CellPattern>,
    /// Cells that aren't compiled.
    pub skip: Vec<CellPattern>,
}

impl CellPolicy {
    /// What is asked of a cell.
    #[must_use]
    pub fn of(&self, script: &ScriptName, release: &KernelRelease) -> Demand<'_> {
        let has = |patterns: &[CellPattern]| patterns.iter().any(|pattern| pattern.matches(script, release));
        if let Some(pattern) = self.skip.iter().find(|pattern| pattern.matches(script, release)) {
            return Demand::Skip(pattern);
        }
        if has(&self.best_effort) && !has(&self.required) { Demand::BestEffort } else { Demand::Required }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<CellPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_strictest_pattern_decides() {
        let policy = CellPolicy {
            required: patterns(&["disk*"]),
            best_effort: patterns(&["*@6.12.*", "net"]),
            skip: patterns(&["@5.*", "old@*"]),
        };
        for (script, release, wanted) in [
            ("cpu", "6.1.0", Demand::Required),
            ("cpu", "6.12.1", Demand::BestEffort),
            ("net", "6.1.0", Demand::BestEffort),
            ("disk_io", "6.12.1", Demand::Required),
            ("disk_io", "5.10.0", Demand::Skip(&policy.skip[0])),
            ("old", "6.12.1", Demand::Skip(&policy.skip[1])),
        ] {
            assert_eq!(
                policy.of(&script.parse().unwrap(), &release.parse().unwrap()),
                wanted,
                "{script} {release}"
            );
        }
        let nothing = CellPolicy::default();
        assert_eq!(nothing.of(&"a".parse().unwrap(), &"1.0".parse().unwrap()), Demand::Required);
    }

    #[test]
    fn a_pattern_that_can_match_nothing_is_refused() {
        for text in ["", "a@", "a b", "a@b@c", "é"] {
            assert!(text.parse::<CellPattern>().is_err(), "{text}");
        }
        assert_eq!("a*@6.*".parse::<CellPattern>().unwrap().to_string(), "a*@6.*");
        assert_eq!("@6.1".parse::<CellPattern>().unwrap().to_string(), "*@6.1");
        assert_eq!("a".parse::<CellPattern>().unwrap().to_string(), "a");
    }
}
