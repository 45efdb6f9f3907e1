//! What the configuration says of one script (README 4.2, INIT-CFG-04).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::assignments::{Environment, Value};
use crate::name::ScriptName;
use crate::options::ScriptOptions;
use crate::problem::{ConfigProblem, SettingsCause, has_errors};

/// Who may load a script's module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptUsers {
    /// Root alone.
    #[default]
    Root,
    /// Members of the group stapusr as well.
    Stapusr,
}

/// The settings of one script. A script without any has the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptSettings {
    /// `NAME_OPT`.
    pub options: ScriptOptions,
    /// `NAME_REQ`, in the order given, each name once.
    pub requires: Vec<ScriptName>,
    /// `NAME_USERS`, which the original doesn't have.
    pub users: ScriptUsers,
}

/// The kinds of variables that a script has.
const SUFFIXES: [&str; 3] = ["_OPT", "_REQ", "_USERS"];

/// Splits a variable such as `foo_OPT` into the script's part and the suffix.
pub(crate) fn script_variable(variable: &str) -> Option<(&str, &'static str)> {
    SUFFIXES.iter().find_map(|suffix| Some((variable.strip_suffix(suffix)?, *suffix)))
}

/// The settings of all scripts, and for those whose settings are wrong, what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllSettings {
    pub(crate) good: BTreeMap<ScriptName, ScriptSettings>,
    pub(crate) bad: BTreeMap<ScriptName, Vec<ConfigProblem>>,
    /// What the latter require all the same.
    pub(crate) requires_of_bad: BTreeMap<ScriptName, BTreeSet<ScriptName>>,
}

impl AllSettings {
    /// Takes all scripts' settings from an environment, with every problem and note.
    pub(crate) fn read(environment: &Environment) -> (Self, Vec<ConfigProblem>) {
        let mut all = Self::default();
        let mut problems = Vec::new();
        for (variable, value) in environment.iter() {
            let Some((prefix, suffix)) = script_variable(variable) else { continue };
            let script = match prefix.parse::<ScriptName>() {
                Ok(script) => script,
                // `_OPT` alone, or a name too long.
                Err(error) => {
                    let variable = variable.to_owned();
                    let cause = SettingsCause::Script { variable, error };
                    problems.push(ConfigProblem::new(value.place.clone(), cause));
                    continue;
                }
            };
            let settings = all.good.entry(script.clone()).or_default();
            let found = settings.apply(&script, suffix, value);
            if has_errors(&found) {
                all.bad.entry(script).or_default().extend(found.clone());
            }
            problems.extend(found);
        }
        for script in all.bad.keys() {
            if let Some(settings) = all.good.remove(script) {
                all.requires_of_bad.insert(script.clone(), settings.requires.into_iter().collect());
            }
        }
        (all, problems)
    }
}

impl ScriptSettings {
    /// Takes one variable.
    fn apply(&mut self, script: &ScriptName, suffix: &str, value: &Value) -> Vec<ConfigProblem> {
        match suffix {
            "_OPT" => match ScriptOptions::parse(&value.text, value.place.as_ref()) {
                Ok(options) => {
                    let notes = options.notes().to_vec();
                    self.options = options;
                    notes
                }
                Err(problems) => problems,
            },
            "_REQ" => self.apply_requirements(script, value),
            _ => match value.text.trim() {
                "" | "root" => Vec::new(),
                "stapusr" => {
                    self.users = ScriptUsers::Stapusr;
                    Vec::new()
                }
                text => {
                    let cause = SettingsCause::Users { script: script.clone(), text: text.into() };
                    vec![ConfigProblem::new(value.place.clone(), cause)]
                }
            },
        }
    }

    fn apply_requirements(&mut self, script: &ScriptName, value: &Value) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for word in value.text.split_whitespace() {
            match word.parse::<ScriptName>() {
                Ok(name) if self.requires.contains(&name) => {}
                Ok(name) => self.requires.push(name),
                Err(error) => {
                    let cause = SettingsCause::Requirement { script: script.clone(), error };
                    problems.push(ConfigProblem::new(value.place.clone(), cause));
                }
            }
        }
        problems
    }
}
