//! The global parameters: section 4.1 of the README, and `LOG_BOOT_ERR`.

use std::path::PathBuf;

use serde::Serialize;

use crate::assignments::{Environment, Value};
use crate::defaults::{DEFAULTS, FALSE_WORDS, TRUE_WORDS, default_of};
use crate::name::ScriptName;
use crate::nearest::nearest;
use crate::problem::{ConfigProblem, ParameterCause};

/// Variables with which the initscript itself works, and which a file could change (INIT-CFG-01).
const INTERNAL: [&str; 16] = [
    "STAP",
    "STAPRUN",
    "STAPIO",
    "UNAME",
    "LSMOD",
    "DRACUT",
    "DRACUT_SRC",
    "CONFIG",
    "SCRIPTS",
    "KRELEASE",
    "OPTS",
    "OPT_RECURSIVE",
    "OPT_SCRIPTS",
    "OPT_ASSUMEYES",
    "INITRAMFS",
    "prog",
];

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the README has five switches, none depends on another")]
pub struct GlobalParameters {
    /// `SCRIPT_PATH`: the folder of the scripts.
    pub script_path: PathBuf,
    /// `CONFIG_PATH`: the folder of the scripts' configuration.
    pub config_path: PathBuf,
    /// `CACHE_PATH`: the folder that holds one folder of modules per kernel release.
    pub cache_path: PathBuf,
    /// `TEMP_PATH`: where temporary folders are made.
    pub temp_path: PathBuf,
    /// `STAT_PATH`: the folder of the status files.
    pub stat_path: PathBuf,
    /// `LOG_FILE`: the log.
    pub log_file: PathBuf,
    /// `PASSALL`: a start fails if one of its scripts fails.
    pub pass_all: bool,
    /// `RECURSIVE`: requirements of named scripts are followed without `-R`.
    pub recursive: bool,
    /// `AUTOCOMPILE`: a start compiles what the cache lacks.
    pub auto_compile: bool,
    /// `DEFAULT_START`: what starts when no script is named; all scripts if empty.
    pub default_start: Vec<ScriptName>,
    /// `ALLOW_CACHEONLY`: modules in the cache are scripts too.
    pub allow_cache_only: bool,
    /// `LOG_BOOT_ERR`: errors of scripts started from the initramfs are kept in files.
    pub log_boot_err: bool,
}

impl Default for GlobalParameters {
    fn default() -> Self {
        Self::read(&default_environment()).0
    }
}

/// Returns an environment in which every parameter has its default.
pub(crate) fn default_environment() -> Environment {
    let mut environment = Environment::new();
    for (name, text) in DEFAULTS {
        environment.set(name, text, None);
    }
    environment
}

/// Tells whether a variable is a global parameter.
pub(crate) fn is_parameter(name: &str) -> bool {
    DEFAULTS.iter().any(|(known, _)| *known == name)
}

/// Returns what is to be said of a variable that is neither a parameter nor a script's.
pub(crate) fn unknown_variable(name: &str) -> ParameterCause {
    let name = name.to_owned();
    if INTERNAL.contains(&name.as_str()) {
        return ParameterCause::Internal { name };
    }
    let nearest = nearest(&name, DEFAULTS.iter().map(|(known, _)| *known));
    ParameterCause::Unknown { name, nearest }
}

impl GlobalParameters {
    /// Takes the parameters from an environment. A parameter whose value is wrong keeps its
    /// default and is reported.
    pub(crate) fn read(environment: &Environment) -> (Self, Vec<ConfigProblem>) {
        let mut reader = ParameterReader { environment, problems: Vec::new() };
        let parameters = Self {
            script_path: reader.path("SCRIPT_PATH"),
            config_path: reader.path("CONFIG_PATH"),
            cache_path: reader.path("CACHE_PATH"),
            temp_path: reader.path("TEMP_PATH"),
            stat_path: reader.path("STAT_PATH"),
            log_file: reader.path("LOG_FILE"),
            pass_all: reader.boolean("PASSALL"),
            recursive: reader.boolean("RECURSIVE"),
            auto_compile: reader.boolean("AUTOCOMPILE"),
            default_start: reader.default_start(),
            allow_cache_only: reader.boolean("ALLOW_CACHEONLY"),
            log_boot_err: reader.boolean("LOG_BOOT_ERR"),
        };
        (parameters, reader.problems)
    }
}

struct ParameterReader<'e> {
    environment: &'e Environment,
    problems: Vec<ConfigProblem>,
}

impl ParameterReader<'_> {
    fn value(&self, name: &str) -> Value {
        let default = || Value { text: default_of(name).to_owned(), place: None };
        self.environment.get(name).cloned().unwrap_or_else(default)
    }

    fn path(&mut self, name: &'static str) -> PathBuf {
        let Value { text, place } = self.value(name);
        if text.starts_with('/') {
            return PathBuf::from(text);
        }
        let cause = ParameterCause::NotAbsolute { name, text };
        self.problems.push(ConfigProblem::new(place, cause));
        PathBuf::from(default_of(name))
    }

    fn boolean(&mut self, name: &'static str) -> bool {
        let Value { text, place } = self.value(name);
        boolean(&text).unwrap_or_else(|| {
            let cause = ParameterCause::NotBoolean { name, text };
            self.problems.push(ConfigProblem::new(place, cause));
            boolean(default_of(name)).unwrap_or_default()
        })
    }

    fn default_start(&mut self) -> Vec<ScriptName> {
        let Value { text, place } = self.value("DEFAULT_START");
        let mut scripts = Vec::new();
        for word in text.split_whitespace() {
            match word.parse::<ScriptName>() {
                Ok(script) if !scripts.contains(&script) => scripts.push(script),
                Ok(_) => {}
                Err(error) => {
                    let cause = ParameterCause::DefaultStart(error);
                    self.problems.push(ConfigProblem::new(place.clone(), cause));
                }
            }
        }
        scripts
    }
}

fn boolean(text: &str) -> Option<bool> {
    if TRUE_WORDS.contains(&text) {
        Some(true)
    } else if FALSE_WORDS.contains(&text) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> (GlobalParameters, Vec<String>) {
        let mut environment = default_environment();
        for (name, text) in settings {
            environment.set(*name, *text, None);
        }
        let (parameters, problems) = GlobalParameters::read(&environment);
        (parameters, problems.iter().map(|p| p.id().to_owned()).collect())
    }

    #[test]
    fn init_cfg_02_the_defaults_are_those_of_the_readme() {
        let p = GlobalParameters::default();
        assert_eq!(p.script_path, PathBuf::from("/etc/systemtap/script.d"));
        assert_eq!(p.config_path, PathBuf::from("/etc/systemtap/conf.d"));
        assert_eq!(p.cache_path, PathBuf::from("/var/cache/systemtap"));
        assert_eq!(p.temp_path, PathBuf::from("/tmp"));
        assert_eq!(p.stat_path, PathBuf::from("/var/run/systemtap"));
        assert_eq!(p.log_file, PathBuf::from("/var/log/systemtap.log"));
        assert!(p.pass_all && p.auto_compile);
        assert!(!p.recursive && !p.allow_cache_only && !p.log_boot_err);
        assert_eq!(p.default_start, []);
    }

    #[test]
    fn init_cfg_03_only_the_documented_words_are_booleans() {
        for word in TRUE_WORDS {
            assert!(read(&[("RECURSIVE", word)]).0.recursive, "{word}");
        }
        for word in FALSE_WORDS {
            assert!(!read(&[("PASSALL", word)]).0.pass_all, "{word}");
        }
        for word in ["", "true", "on", "yES", "2", " yes", "yes no"] {
            let (parameters, problems) = read(&[("PASSALL", word)]);
            assert_eq!(problems, ["parameter-not-boolean"], "{word:?}");
            assert!(parameters.pass_all, "the default holds");
        }
    }

    #[test]
    fn paths_are_absolute() {
        let (parameters, problems) = read(&[("CACHE_PATH", "cache"), ("LOG_FILE", "")]);
        assert_eq!(problems, ["parameter-not-absolute", "parameter-not-absolute"]);
        assert_eq!(parameters.cache_path, PathBuf::from("/var/cache/systemtap"));
        assert_eq!(read(&[("SCRIPT_PATH", "/a b/")]).0.script_path, PathBuf::from("/a b"));
    }

    #[test]
    fn init_cfg_05_bad_words_of_default_start_are_skipped_with_a_warning() {
        let (parameters, problems) = read(&[("DEFAULT_START", " b a\tbad-name\nb 9x")]);
        let names: Vec<&str> = parameters.default_start.iter().map(ScriptName::as_str).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(problems, ["parameter-default-start", "parameter-default-start"]);
    }
}
