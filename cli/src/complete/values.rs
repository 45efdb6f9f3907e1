//! What an option or argument may be: known words, names of this host, or files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Arg, ValueHint};
use script_config::{GlobalParameters, known_scripts};

use super::{Offer, Rest};
use crate::config_files;

/// Where kernels are installed.
const MODULES: &str = "/lib/modules";

/// What was typed before that decides what may follow.
#[derive(Debug, Default)]
pub(super) struct Typed {
    config: Option<PathBuf>,
}

impl Typed {
    /// Remembers the value of an option.
    pub(super) fn note(&mut self, option: &Arg, value: &str) {
        if option.get_id() == "config" {
            self.config = Some(value.into());
        }
    }
}

/// What may stand for `arg`.
pub(super) fn of(arg: &Arg, typed: &Typed) -> Offer {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        let meaning =
            |help: Option<&clap::builder::StyledStr>| help.map(ToString::to_string).unwrap_or_default();
        let words = shown.map(|value| (value.get_name().to_owned(), meaning(value.get_help()))).collect();
        return Offer { rest: Rest::Nothing, words };
    }
    let named = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let name = named.unwrap_or_else(|| arg.get_id().as_str().to_ascii_uppercase());
    match name.as_str() {
        "SCRIPT" => {
            // A build takes paths of scripts too.
            let rest = if arg.get_value_hint() == ValueHint::AnyPath { Rest::Files } else { Rest::Nothing };
            Offer { rest, words: meaning_nothing(scripts(typed.config.as_deref())) }
        }
        "REL" => Offer { rest: Rest::Nothing, words: meaning_nothing(names_in(Path::new(MODULES))) },
        _ => Offer { rest: rest(arg, &name), words: Vec::new() },
    }
}

fn rest(arg: &Arg, name: &str) -> Rest {
    if name == "DIR" {
        return Rest::Directories;
    }
    let is_file = |word: &str| word == "FILE" || word.starts_with("FILE.") || word.starts_with("NAME.");
    let is_bundle = ["OLD", "NEW", "OLD.stapb", "PART"].contains(&name);
    let is_path = matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath);
    if is_path || is_bundle || is_file(name) { Rest::Files } else { Rest::Nothing }
}

fn meaning_nothing(names: BTreeSet<String>) -> Vec<(String, String)> {
    names.into_iter().map(|name| (name, String::new())).collect()
}

/// Scripts of this host: the sources in `SCRIPT_PATH`, and what is compiled for the running kernel.
fn scripts(config: Option<&Path>) -> BTreeSet<String> {
    let loaded = config_files::load(config).ok();
    let defaults = GlobalParameters::default();
    let parameters = loaded.as_ref().map_or(&defaults, |loaded| loaded.configuration.parameters());
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let sources = names_in(&parameters.script_path);
    let modules = names_in(&parameters.cache_path.join(release));
    let (known, _) =
        known_scripts(sources.iter().map(String::as_str), modules.iter().map(String::as_str), true);
    known.iter().map(ToString::to_string).collect()
}

/// The names in a directory; none of one that can't be read.
fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = walkdir::WalkDir::new(directory).min_depth(1).max_depth(1).into_iter().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn scripts_are_those_of_the_directory_that_the_configuration_names_and_of_the_cache() {
        let world = tempfile::tempdir().unwrap();
        let at = |name: &str| world.path().join(name);
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let cache = at("cache").join(release);
        fs::create_dir_all(&cache).unwrap();
        fs::create_dir(at("scripts")).unwrap();
        for path in ["scripts/net_drop.stp", "scripts/no-name.stp", "scripts/notes"] {
            fs::write(at(path), "").unwrap();
        }
        fs::write(cache.join("disk_io.ko"), "").unwrap();
        let here = world.path().display();
        let text = format!("SCRIPT_PATH={here}/scripts\nCACHE_PATH={here}/cache\nCONFIG_PATH={here}/none\n");
        fs::write(at("config"), text).unwrap();
        assert_eq!(scripts(Some(&at("config"))), ["disk_io", "net_drop"].map(str::to_owned).into());
    }
}
