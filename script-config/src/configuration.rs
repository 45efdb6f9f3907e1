//! The global file and the files of `conf.d`, put together.

use std::collections::{BTreeSet, HashMap};

use crate::assignments::{Environment, Owner, Value, owner, parse_assignments};
use crate::dependencies::{DependencyError, DependencyGraph};
use crate::evaluated::{self, EvaluatedFile};
use crate::name::ScriptName;
use crate::nearest::nearest;
use crate::outside::questions;
use crate::parameters::{self, GlobalParameters};
use crate::place::Place;
use crate::problem::{Cause, ConfigProblem, FileCause, ParameterCause, SettingsCause, Severity};
use crate::settings::{AllSettings, ScriptSettings, script_variable};
use crate::source_text::SourceText;

/// The effective configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    environment: Environment,
    parameters: GlobalParameters,
    settings: AllSettings,
    skipped: Vec<String>,
    without_settings: ScriptSettings,
}

impl Configuration {
    /// Puts files together: the global file first, then those of `conf.d` in the order of
    /// [`conf_d_order`](crate::conf_d_order). Later files override earlier ones, global parameters
    /// included (INIT-CFG-01).
    ///
    /// A file with anything that isn't read is skipped whole and reported; the others count.
    /// Which `conf.d` it is depends on the global file alone, so a caller loads that file first,
    /// asks [`parameters`](Self::parameters) for `config_path`, and then loads all of them.
    #[must_use]
    pub fn load(files: &[SourceText]) -> (Self, Vec<ConfigProblem>) {
        let mut environment = parameters::default_environment();
        let mut problems = Vec::new();
        let mut skipped = Vec::new();
        let mut config_path = None;
        for file in files {
            match parse_assignments(&file.path, &file.text, &mut environment) {
                Ok(warnings) => problems.extend(warnings),
                Err(errors) => {
                    problems.extend(errors);
                    skipped.push(file.path.clone());
                }
            }
            config_path.get_or_insert_with(|| environment.get("CONFIG_PATH").cloned());
        }
        keep_config_path(config_path.flatten(), &mut environment, &mut problems);
        let (mut configuration, found) = Self::from_environment(environment);
        configuration.skipped = skipped;
        problems.extend(found);
        sort_as_read(&mut problems, files);
        (configuration, problems)
    }

    /// What a host says of scripts in files of its `own`, where an install has put another one among `all` of them: the variables
    /// that its own files set, with the values that all of them have in the end, as for the initscript.
    #[must_use]
    pub fn of_host(own: &[SourceText], all: &[SourceText]) -> Self {
        let own = Self::load(own).0;
        let all = Self::load(all).0;
        let mut environment = own.environment;
        for (name, value) in all.environment.iter() {
            if script_variable(name).is_some() && environment.get(name).is_some() {
                environment.set(name, value.text.clone(), value.place.clone());
            }
        }
        Self { skipped: own.skipped, ..Self::from_environment(environment).0 }
    }

    /// Puts together what bash made of the files, in the order of [`load`](Self::load): names and values are checked as if
    /// they had been read. `complaints` is what bash had to say of the files; it is among the problems returned.
    ///
    /// A variable's place is the file that last changed its value, and the line if only one could have.
    #[must_use]
    pub fn evaluated(files: &[EvaluatedFile], complaints: Vec<ConfigProblem>) -> (Self, Vec<ConfigProblem>) {
        let mut environment = parameters::default_environment();
        let mut problems = complaints;
        let mut config_path = None;
        for file in files {
            problems.extend(evaluated::apply(file, &mut environment));
            problems.extend(questions(&file.source));
            config_path.get_or_insert_with(|| environment.get("CONFIG_PATH").cloned());
        }
        keep_config_path(config_path.flatten(), &mut environment, &mut problems);
        let (configuration, found) = Self::from_environment(environment);
        problems.extend(found);
        let sources: Vec<&SourceText> = files.iter().map(|file| &file.source).collect();
        sort_as_read(&mut problems, &sources);
        (configuration, problems)
    }

    /// Takes the configuration from variables that were evaluated elsewhere.
    #[must_use]
    pub fn from_environment(environment: Environment) -> (Self, Vec<ConfigProblem>) {
        let (parameters, mut problems) = GlobalParameters::read(&environment);
        let (settings, found) = AllSettings::read(&environment);
        problems.extend(found);
        for (name, value) in environment.iter() {
            let known = parameters::is_parameter(name) || script_variable(name).is_some();
            // A variable that another one uses is there for that; of the environment's the reader has spoken already.
            if known || environment.is_read(name) || owner(name) != Owner::Configuration {
                continue;
            }
            let cause = parameters::unknown_variable(name);
            problems.push(ConfigProblem::new(value.place.clone(), cause));
        }
        let configuration = Self { environment, parameters, settings, ..Self::default() };
        (configuration, problems)
    }

    /// Returns the global parameters.
    #[must_use]
    pub fn parameters(&self) -> &GlobalParameters {
        &self.parameters
    }

    /// Returns the settings of a script; the default for one that the files don't mention.
    ///
    /// If its settings are wrong, returns the problems: a script isn't compiled or started with
    /// half of its options.
    pub fn settings_of(&self, script: &ScriptName) -> Result<&ScriptSettings, &[ConfigProblem]> {
        match self.settings.bad.get(script) {
            Some(problems) => Err(problems),
            None => Ok(self.settings.good.get(script).unwrap_or(&self.without_settings)),
        }
    }

    /// Returns the scripts that the files mention, sorted.
    #[must_use]
    pub fn scripts_with_settings(&self) -> BTreeSet<&ScriptName> {
        self.settings.good.keys().chain(self.settings.bad.keys()).collect()
    }

    /// Returns where a variable such as `PASSALL` or `foo_OPT` was last assigned; nothing for a
    /// default and for a variable that isn't set.
    #[must_use]
    pub fn origin(&self, variable: &str) -> Option<&Place> {
        self.environment.get(variable)?.place.as_ref()
    }

    /// Returns all variables, defaults included.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the paths of the files that were skipped.
    #[must_use]
    pub fn skipped_files(&self) -> &[String] {
        &self.skipped
    }

    /// Returns of each file that counts for nothing the first of `problems`, as [`load`](Self::load) returned them, to blame for it.
    #[must_use]
    pub fn left_out<'p>(&self, problems: &'p [ConfigProblem]) -> Vec<&'p ConfigProblem> {
        let mut files = BTreeSet::new();
        let mut is_first = |problem: &&ConfigProblem| {
            let Some(place) = problem.place() else { return false };
            let is_text = !matches!(problem.cause(), Cause::File(FileCause::NotUtf8 { .. }));
            let is_skipped = self.skipped.iter().any(|path| **path == *place.file) || !is_text;
            is_skipped && problem.severity() == Severity::Error && files.insert(place.file.clone())
        };
        problems.iter().filter(|problem| is_first(problem)).collect()
    }

    /// Returns who requires whom among the scripts that exist.
    #[must_use]
    pub fn dependency_graph(&self, known: &BTreeSet<ScriptName>) -> DependencyGraph {
        let edges = known.iter().map(|script| (script.clone(), self.requirements_of(script)));
        DependencyGraph::new(edges.collect())
    }

    /// Returns what a script requires by `NAME_REQ`: also where its other settings are wrong, for wrong options don't hide
    /// what it requires.
    #[must_use]
    pub fn requirements_of(&self, script: &ScriptName) -> BTreeSet<ScriptName> {
        match self.settings_of(script) {
            Ok(settings) => settings.requires.iter().cloned().collect(),
            Err(_) => self.settings.requires_of_bad.get(script).cloned().unwrap_or_default(),
        }
    }

    /// Returns what is wrong between the configuration and the scripts that exist: settings of
    /// scripts that don't, requirements and words of `DEFAULT_START` that don't, and cycles.
    #[must_use]
    pub fn check_scripts(&self, known: &BTreeSet<ScriptName>) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for script in self.parameters.default_start.iter().filter(|script| !known.contains(*script)) {
            let nearest = nearest(script.as_str(), known.iter().map(ScriptName::as_str)).map(str::to_owned);
            let cause = ParameterCause::DefaultStartUnknown { script: script.clone(), nearest };
            problems.push(ConfigProblem::new(self.origin("DEFAULT_START").cloned(), cause));
        }
        for (variable, value) in self.environment.iter() {
            let Some((prefix, suffix)) = script_variable(variable) else { continue };
            let Ok(script) = prefix.parse::<ScriptName>() else { continue };
            if !known.contains(&script) {
                let nearest = nearest(prefix, known.iter().map(ScriptName::as_str))
                    .map(|name| format!("{name}{suffix}"));
                let variable = variable.to_owned();
                let cause = SettingsCause::NoSuchScript { variable, script, nearest };
                problems.push(ConfigProblem::new(value.place.clone(), cause));
            }
        }
        for error in self.dependency_graph(known).problems() {
            problems.extend(self.dependency_problems(error));
        }
        problems
    }

    /// One problem for each script to blame, at its `NAME_REQ`.
    fn dependency_problems(&self, error: DependencyError) -> Vec<ConfigProblem> {
        let place = |script: &ScriptName| self.origin(&format!("{script}_REQ")).cloned();
        match error {
            DependencyError::Missing { requirement, required_by } => required_by
                .into_iter()
                .map(|script| {
                    let place = place(&script);
                    let requirement = requirement.clone();
                    let cause = SettingsCause::MissingRequirement { script, requirement };
                    ConfigProblem::new(place, cause)
                })
                .collect(),
            DependencyError::Cycle { path } => {
                let place = path.first().and_then(place);
                vec![ConfigProblem::new(place, SettingsCause::Cycle { path })]
            }
            // Only a caller who names scripts gets this one.
            DependencyError::Unknown { .. } => Vec::new(),
        }
    }
}

/// `CONFIG_PATH` as the global file left it: the files that come later were found through it (INIT-CFG-01).
fn keep_config_path(chosen: Option<Value>, environment: &mut Environment, problems: &mut Vec<ConfigProblem>) {
    let (Some(chosen), Some(last)) = (chosen, environment.get("CONFIG_PATH")) else { return };
    if chosen.text != last.text {
        let cause = ParameterCause::ConfigPathTooLate { text: last.text.clone() };
        problems.push(ConfigProblem::new(last.place.clone(), cause));
        environment.set("CONFIG_PATH", chosen.text, chosen.place);
    }
}

/// Puts problems into the order in which somebody meets them who reads the files from top to bottom.
fn sort_as_read(problems: &mut [ConfigProblem], files: &[impl std::borrow::Borrow<SourceText>]) {
    let order: HashMap<&str, usize> =
        files.iter().enumerate().map(|(at, file)| (file.borrow().path.as_str(), at)).collect();
    problems.sort_by_key(|problem| {
        problem.place().map(|place| (order.get(&*place.file).copied(), place.line, place.column))
    });
}

#[cfg(test)]
mod tests;
