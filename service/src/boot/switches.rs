//! What the kernel's command line says about this boot: the way out when a script keeps a machine from coming up.
//!
//! `stap_bundle.enable=0` makes a start of all scripts start nothing; `stap_bundle.skip=NAME,NAME` leaves these out, and
//! what requires them. Both are about starts without names, as at boot: who names a script means it.

use std::collections::{BTreeMap, BTreeSet};

use script_config::ScriptName;

use crate::host::Host;
use crate::offers::{Candidates, with_dependants};
use crate::reasons::StartRefusal;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BootSwitches {
    /// A start of all scripts starts nothing.
    pub(crate) disabled: bool,
    /// A start of all scripts leaves these out.
    pub(crate) skipped: BTreeSet<ScriptName>,
    /// Words that were meant for us and aren't understood.
    pub(crate) problems: Vec<String>,
}

impl BootSwitches {
    /// Reads `/proc/cmdline`. Where that can't be read, there are no switches.
    pub(crate) fn read(host: &Host) -> Self {
        let text = host.kernel_text(&host.proc_dir.join("cmdline")).unwrap_or_default();
        Self::parse(&text)
    }

    /// What a start of all these scripts does without, each with the reason: all, or some and what requires them.
    pub(crate) fn refusals(&self, candidates: &Candidates) -> BTreeMap<ScriptName, StartRefusal> {
        if self.disabled {
            return candidates.keys().map(|name| (name.clone(), StartRefusal::DisabledForThisBoot)).collect();
        }
        let left_out = with_dependants(&self.skipped, candidates, |_| false).into_iter();
        left_out.map(|(name, cause)| (name, StartRefusal::SkippedForThisBoot(cause))).collect()
    }

    fn parse(cmdline: &str) -> Self {
        let mut switches = Self::default();
        for word in cmdline.split_ascii_whitespace() {
            let word = word.trim_matches('"');
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let value = value.trim_matches('"');
            // As the kernel does with its own parameters, `-` and `_` are the same in a name.
            match name.replace('-', "_").as_str() {
                "stap_bundle.enable" => switches.disabled = !is_yes(value),
                "stap_bundle.skip" => switches.skip(value),
                other if other.starts_with("stap_bundle.") => switches.problems.push(format!(
                    "the kernel's command line has `{}`; known are stap_bundle.enable=0 and stap_bundle.skip=NAME,NAME",
                    word.escape_default()
                )),
                _ => {}
            }
        }
        switches
    }

    fn skip(&mut self, value: &str) {
        for name in value.split(',').filter(|name| !name.is_empty()) {
            match name.parse() {
                Ok(name) => {
                    self.skipped.insert(name);
                }
                Err(error) => {
                    self.problems.push(format!("stap_bundle.skip on the kernel's command line: {error}"));
                }
            }
        }
    }
}

/// Whoever types the switch in an emergency means "off" by anything that isn't plainly "on".
fn is_yes(value: &str) -> bool {
    matches!(value, "1" | "y" | "yes" | "on" | "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_enable_counts_and_anything_but_yes_is_off() {
        let disabled = |text: &str| BootSwitches::parse(text).disabled;
        assert!(!disabled("root=/dev/vda1 quiet"));
        for off in ["0", "no", "off", "", "false", "\"0\"", "maybe"] {
            assert!(disabled(&format!("quiet stap_bundle.enable={off} ro")), "{off}");
        }
        assert!(disabled("stap-bundle.enable=0") && disabled("stap_bundle.enable"));
        assert!(!disabled("stap_bundle.enable=0 stap_bundle.enable=1\n"));
    }

    #[test]
    fn skipped_names_are_checked_and_gathered() {
        let switches = BootSwitches::parse("stap_bundle.skip=a,b stap_bundle.skip=c, stap_bundle.skip=../x");
        let names: Vec<&str> = switches.skipped.iter().map(ScriptName::as_str).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(switches.problems.len(), 1);
        assert!(switches.problems[0].contains("../x"), "{:?}", switches.problems);
        assert!(BootSwitches::parse("stap_bundle.sikp=a").problems[0].contains("stap_bundle.sikp=a"));
    }
}
