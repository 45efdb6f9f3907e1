//! What the configuration says of one script (README 4.2, INIT-CFG-04).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thiserror::Error;

use crate::assignments::{Environment, Value};
use crate::name::{NameError, ScriptName};
use crate::options::ScriptOptions;
use crate::problem::{ConfigProblem, Severity, has_errors};

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

/// What is wrong with a script's variables, its options apart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingsCause {
    /// A variable such as `NAME_OPT` whose `NAME` can't be a script's.
    #[error("{variable} belongs to no script: {error}")]
    Script {
        /// The variable.
        variable: String,
        /// Why the name is none.
        error: NameError,
    },
    /// A word of `NAME_REQ` that can't be a script's name.
    #[error("{script} requires what can't be a script: {error}")]
    Requirement {
        /// The script that requires it.
        script: ScriptName,
        /// Why the name is none.
        error: NameError,
    },
    /// A word of `NAME_USERS` other than `root` and `stapusr`.
    #[error("users of {script} are {text:?}, which is neither root nor stapusr")]
    Users {
        /// The script.
        script: ScriptName,
        /// The value.
        text: String,
    },
    /// A variable of a script that doesn't exist.
    #[error("{variable} is set, but there is no script {script}")]
    NoSuchScript {
        /// The variable.
        variable: String,
        /// The script.
        script: ScriptName,
        /// The script that was probably meant.
        nearest: Option<String>,
    },
    /// A script requires one that doesn't exist (INIT-DEP-04).
    #[error("{script} requires {requirement}, and there is no such script")]
    MissingRequirement {
        /// The script that requires it.
        script: ScriptName,
        /// What it requires.
        requirement: ScriptName,
    },
    /// Scripts require each other (INIT-DEP-02).
    #[error("requirements form a cycle: {}", names(path))]
    Cycle {
        /// The cycle, beginning and ending with the same script.
        path: Vec<ScriptName>,
    },
}

/// Joins names as a path of requirements.
pub(crate) fn names(path: &[ScriptName]) -> String {
    path.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(" -> ")
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

impl SettingsCause {
    pub(crate) fn id(&self) -> &'static str {
        match self {
            Self::Script { .. } => "script-name",
            Self::Requirement { .. } => "script-requirement-name",
            Self::Users { .. } => "script-users",
            Self::NoSuchScript { .. } => "script-unknown",
            Self::MissingRequirement { .. } => "requirement-missing",
            Self::Cycle { .. } => "requirement-cycle",
        }
    }

    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::NoSuchScript { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    pub(crate) fn next_step(&self) -> String {
        match self {
            Self::Script { error: NameError::TooLong { .. }, .. } => {
                "shorten the script's name, or remove the line".into()
            }
            Self::Script { .. } => "write NAME_OPT with the script's name, or remove the line".into(),
            Self::Requirement { script, .. } => {
                format!("write names of scripts separated by blanks: {script}_REQ=\"a b\"")
            }
            Self::Users { script, .. } => format!("write {script}_USERS=stapusr, or remove it"),
            Self::NoSuchScript { nearest: Some(nearest), .. } => format!("did you mean {nearest}?"),
            Self::NoSuchScript { script, nearest: None, .. } => {
                format!("add {script}.stp, or remove the line")
            }
            Self::MissingRequirement { script, requirement } => {
                format!("add {requirement}.stp, or remove {requirement} from {script}_REQ")
            }
            Self::Cycle { path } => match path.as_slice() {
                [script, requirement, ..] => format!("remove {requirement} from {script}_REQ"),
                _ => "remove one of the requirements".into(),
            },
        }
    }
}
