//! `stap-bundle.conf`: what the unmodified initscript must know to start a bundle's scripts.

use bundle_format::{Manifest, ScriptName};
use script_config::write_assignment;

/// The options and requirements of all scripts of `bundles`, in the initscript's own syntax.
/// `cache_only` also turns compiling off.
pub(crate) fn configuration_text<'m>(
    bundles: impl Iterator<Item = &'m Manifest>,
    cache_only: bool,
) -> String {
    let mut bundles: Vec<&Manifest> = bundles.collect();
    bundles.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    let head = "# Written by stap-bundle and replaced by it: put local settings into another file.";
    let mut lines = vec![head.to_owned()];
    if cache_only {
        lines.push(write_assignment("AUTOCOMPILE", "no"));
        lines.push(write_assignment("ALLOW_CACHEONLY", "yes"));
    }
    for bundle in bundles {
        lines.push(String::new());
        lines.push(format!("# {} {}", bundle.name, bundle.version));
        for script in &bundle.scripts {
            if !script.options.is_empty() {
                lines.push(write_assignment(&format!("{}_OPT", script.name), &script.options));
            }
            if !script.requires.is_empty() {
                let names: Vec<&str> = script.requires.iter().map(ScriptName::as_str).collect();
                lines.push(write_assignment(&format!("{}_REQ", script.name), &names.join(" ")));
            }
        }
    }
    lines.join("\n") + "\n"
}
