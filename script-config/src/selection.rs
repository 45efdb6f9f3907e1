//! Which scripts a command is about.

use std::collections::BTreeSet;

use crate::name::{ScriptName, ScriptNameError};
use crate::parameters::GlobalParameters;

/// What a start or a stop is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The scripts chosen.
    pub scripts: BTreeSet<ScriptName>,
    /// Whether it follows requirements.
    pub recursive: bool,
}

/// Returns the scripts that exist (INIT-LIST-01): `NAME.stp` in the folder of scripts, and where
/// `ALLOW_CACHEONLY` holds also `NAME.ko` in the cache. The two lists are file names.
///
/// Files with another suffix are passed over; those whose `NAME` can't be a script's are
/// returned apart, each with the reason.
#[must_use]
pub fn known_scripts<'f>(
    script_files: impl IntoIterator<Item = &'f str>,
    cache_files: impl IntoIterator<Item = &'f str>,
    allow_cache_only: bool,
) -> (BTreeSet<ScriptName>, Vec<(String, ScriptNameError)>) {
    let mut known = BTreeSet::new();
    let mut others = Vec::new();
    let sources = script_files.into_iter().filter_map(|file| Some((file, script_stem(file, ".stp")?)));
    let modules = cache_files.into_iter().filter_map(|file| Some((file, script_stem(file, ".ko")?)));
    for (file, stem) in sources.chain(modules.filter(|_| allow_cache_only)) {
        match stem.parse() {
            Ok(name) => {
                known.insert(name);
            }
            Err(error) => others.push((file.to_owned(), error)),
        }
    }
    others.sort_by(|a, b| a.0.cmp(&b.0));
    (known, others)
}

/// The part in front of the suffix; nothing for names that the shell's `*` doesn't match.
fn script_stem<'f>(file: &'f str, suffix: &str) -> Option<&'f str> {
    file.strip_suffix(suffix).filter(|_| !file.starts_with('.'))
}

/// Returns what a start is about (INIT-START-01, INIT-CLI-09, INIT-CFG-06).
///
/// Named scripts, and what they require if `-R` is given or `RECURSIVE` is set. Without names,
/// `DEFAULT_START`, or all known scripts if that is empty, always with what they require.
#[must_use]
pub fn select_to_start(
    named: &BTreeSet<ScriptName>,
    known: &BTreeSet<ScriptName>,
    parameters: &GlobalParameters,
    option_r: bool,
) -> Selection {
    if !named.is_empty() {
        let recursive = option_r || parameters.recursive;
        return Selection { scripts: named.clone(), recursive };
    }
    let default: BTreeSet<ScriptName> = parameters.default_start.iter().cloned().collect();
    let scripts = if default.is_empty() { known.clone() } else { default };
    Selection { scripts, recursive: true }
}

/// Returns what a stop is about: the named scripts, or without names all that run
/// (INIT-STOP-01), and whether it goes on to dependants and requirements.
#[must_use]
pub fn select_for_stop(
    named: &BTreeSet<ScriptName>,
    running: &BTreeSet<ScriptName>,
    parameters: &GlobalParameters,
    option_r: bool,
) -> Selection {
    if named.is_empty() {
        Selection { scripts: running.clone(), recursive: true }
    } else {
        let recursive = option_r || parameters.recursive;
        Selection { scripts: named.clone(), recursive }
    }
}

/// Returns what `status`, `compile` and `cleanup` are about: the named scripts, or without names
/// all known ones (README 2.3.2, INIT-LIST-02).
#[must_use]
pub fn select_known(named: &BTreeSet<ScriptName>, known: &BTreeSet<ScriptName>) -> BTreeSet<ScriptName> {
    if named.is_empty() { known.clone() } else { named.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<ScriptName> {
        text.split_whitespace().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn init_list_01_scripts_are_files_and_with_cacheonly_modules() {
        let scripts = ["b.stp", "a.stp", "bad-name.stp", "9.stp", ".h.stp", "x.stp~", "README"];
        let cache = ["c.ko", "a.ko", "a.opts", "uprobes", "bad-too.ko"];
        let (known, others) = known_scripts(scripts, cache, false);
        assert_eq!(known, names("a b"));
        let others: Vec<String> = others.into_iter().map(|(file, _)| file).collect();
        assert_eq!(others, ["9.stp", "bad-name.stp"]);
        let (known, others) = known_scripts(scripts, cache, true);
        assert_eq!(known, names("a b c"));
        assert_eq!(others.len(), 3);
    }

    #[test]
    fn init_list_02_a_script_without_source_can_still_be_named() {
        let known = names("a b");
        assert_eq!(select_known(&names(""), &known), known);
        assert_eq!(select_known(&names("gone"), &known), names("gone"));
    }

    #[test]
    fn init_cfg_06_option_r_turns_recursion_on_and_nothing_turns_it_off() {
        let recursive = |named: &str, recursive: bool, option_r: bool| {
            let parameters = GlobalParameters { recursive, ..GlobalParameters::default() };
            let known = names("a b");
            let start = select_to_start(&names(named), &known, &parameters, option_r);
            let stop = select_for_stop(&names(named), &known, &parameters, option_r);
            assert_eq!(start.recursive, stop.recursive);
            start.recursive
        };
        assert!(!recursive("a", false, false));
        assert!(recursive("a", false, true));
        assert!(recursive("a", true, false));
        assert!(recursive("", false, false));
    }

    #[test]
    fn init_start_01_without_names_the_default_starts_or_else_all() {
        let known = names("a b c");
        let mut parameters = GlobalParameters::default();
        let all = select_to_start(&names(""), &known, &parameters, false);
        assert_eq!(all.scripts, known);
        parameters.default_start = vec!["b".parse().unwrap()];
        let default = select_to_start(&names(""), &known, &parameters, false);
        assert_eq!(default.scripts, names("b"));
        assert_eq!(select_to_start(&names("a"), &known, &parameters, false).scripts, names("a"));
        assert_eq!(select_for_stop(&names(""), &names("c"), &parameters, false).scripts, names("c"));
    }
}
