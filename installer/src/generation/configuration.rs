//! What the unmodified initscript must know to start a bundle's scripts: their options and requirements, and that it compiles nothing.

use bundle_format::{Manifest, ScriptName};
use script_config::{quote_word, write_assignment};

const HEAD: &str = "# Written by stap-bundle and replaced by it: put local settings into another file.";

/// A generation's two files for the initscript's conf.d.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConfigurationTexts {
    /// Options and requirements of all scripts. What the host itself has set before them, or sets behind them, counts.
    pub(crate) options: String,
    /// Whether the initscript compiles; behind the host's own words.
    pub(crate) switches: String,
}

impl ConfigurationTexts {
    /// The texts for `bundles`; `cache_only` turns compiling off.
    pub(crate) fn of<'m>(bundles: impl Iterator<Item = &'m Manifest>, cache_only: bool) -> Self {
        Self { options: options_text(bundles), switches: switches_text(cache_only) }
    }
}

/// The options and requirements of all scripts, each unless `/etc/systemtap/config` has set it.
pub(crate) fn options_text<'m>(bundles: impl Iterator<Item = &'m Manifest>) -> String {
    let unless_set = |variable: &str, text: &str| format!("{variable}=${{{variable}:-{}}}", quote_word(text));
    text(vec![HEAD.to_owned()], bundles, &unless_set)
}

/// What keeps the initscript from compiling.
pub(crate) fn switches_text(cache_only: bool) -> String {
    switches(cache_only).join("\n") + "\n"
}

/// What versions up to 0.1.0 wrote, both in one file.
pub(crate) fn text_in_one<'m>(bundles: impl Iterator<Item = &'m Manifest>, cache_only: bool) -> String {
    text(switches(cache_only), bundles, &write_assignment)
}

fn switches(cache_only: bool) -> Vec<String> {
    let mut lines = vec![HEAD.to_owned()];
    if cache_only {
        lines.push(write_assignment("AUTOCOMPILE", "no"));
        lines.push(write_assignment("ALLOW_CACHEONLY", "yes"));
    }
    lines
}

fn text<'m>(
    mut lines: Vec<String>,
    bundles: impl Iterator<Item = &'m Manifest>,
    assignment: &dyn Fn(&str, &str) -> String,
) -> String {
    let mut bundles: Vec<&Manifest> = bundles.collect();
    bundles.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    for bundle in bundles {
        lines.push(String::new());
        lines.push(format!("# {} {}", bundle.name, bundle.version));
        for script in &bundle.scripts {
            if !script.options.is_empty() {
                lines.push(assignment(&format!("{}_OPT", script.name), &script.options));
            }
            if !script.requires.is_empty() {
                let names: Vec<&str> = script.requires.iter().map(ScriptName::as_str).collect();
                lines.push(assignment(&format!("{}_REQ", script.name), &names.join(" ")));
            }
        }
    }
    lines.join("\n") + "\n"
}
