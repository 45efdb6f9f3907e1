//! A configuration held against the scripts that exist: what `config check` tells, before it becomes words.

use std::collections::BTreeSet;
use std::path::Path;

use script_config::{
    Cause, ConfigProblem, Configuration, GlobalParameters, ParameterCause, Place, ScriptName, ScriptOptions,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::script_directory;
use crate::ui::Ui;

/// A configuration and everything that is wrong with it.
pub(super) struct Checked {
    configuration: Configuration,
    /// In the order in which somebody meets them who reads the files.
    problems: Vec<ConfigProblem>,
    known: BTreeSet<ScriptName>,
    /// The scripts that can start, in order.
    order: Vec<ScriptName>,
    evaluated: bool,
}

/// A global parameter, as a configuration file would say it.
pub(super) struct Parameter<'c> {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) from: Option<&'c Place>,
    /// What `from` says isn't usable, so this is the default.
    pub(super) is_wrong: bool,
}

/// A script with its settings.
pub(super) struct Script<'c> {
    pub(super) name: &'c ScriptName,
    /// Nothing if the settings are wrong: a script isn't compiled or started with half of its options.
    pub(super) options: Option<&'c ScriptOptions>,
    pub(super) options_from: Option<&'c Place>,
    pub(super) requires: Vec<ScriptName>,
    pub(super) requires_from: Option<&'c Place>,
}

impl Checked {
    /// Looks for the scripts and what is wrong between them and the configuration.
    pub(super) fn new(
        configuration: Configuration,
        mut problems: Vec<ConfigProblem>,
        evaluated: bool,
        ui: &mut Ui,
    ) -> Result<Self, Failure> {
        let directory = &configuration.parameters().script_path;
        let (known, passed_over) = script_directory::read(directory)?;
        if known.is_empty() {
            let from = configuration
                .origin("SCRIPT_PATH")
                .map_or_else(|| "the default".to_owned(), |place| format!("from {place}"));
            let is = if directory.is_dir() { "no script NAME.stp in" } else { "no directory" };
            ui.warning(format!("there is {is} {} (SCRIPT_PATH, {from})", directory.display()));
        }
        problems.extend(configuration.check_scripts(&known));
        problems.extend(passed_over);
        sort_as_read(&mut problems, &configuration.parameters().config_path);
        let (graph, _) = configuration.dependency_graph(&known).without_blocked();
        let wrong: BTreeSet<ScriptName> =
            known.iter().filter(|name| configuration.settings_of(name).is_err()).cloned().collect();
        let order = graph.remaining_after(&graph.order().unwrap_or_default(), &wrong, false);
        Ok(Self { configuration, problems, known, order, evaluated })
    }

    pub(super) fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    pub(super) fn has_scripts(&self) -> bool {
        !self.known.is_empty()
    }

    pub(super) fn order(&self) -> &[ScriptName] {
        &self.order
    }

    /// Scripts that can't start as things are; the problems say why.
    pub(super) fn without_place(&self) -> Vec<&ScriptName> {
        let placed: BTreeSet<&ScriptName> = self.order.iter().collect();
        self.known.iter().filter(|name| !placed.contains(name)).collect()
    }

    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        let wrong: BTreeSet<&str> = self.problems.iter().filter_map(wrong_parameter).collect();
        let row = |(name, value)| Parameter {
            name,
            value,
            from: self.configuration.origin(name),
            is_wrong: wrong.contains(name),
        };
        values(self.configuration.parameters()).into_iter().map(row).collect()
    }

    pub(super) fn scripts(&self) -> Vec<Script<'_>> {
        let graph = self.configuration.dependency_graph(&self.known);
        let script = |name| Script {
            name,
            options: self.configuration.settings_of(name).ok().map(|settings| &settings.options),
            options_from: self.configuration.origin(&format!("{name}_OPT")),
            requires: graph.direct_requirements_of(name).cloned().collect(),
            requires_from: self.configuration.origin(&format!("{name}_REQ")),
        };
        self.known.iter().map(script).collect()
    }

    pub(super) fn as_json(&self) -> Value {
        let parameters: Vec<Value> = self
            .parameters()
            .into_iter()
            .map(|row| {
                let from = row.from.filter(|_| !row.is_wrong);
                json!({ "name": row.name, "value": row.value, "from": from })
            })
            .collect();
        let scripts: Vec<Value> = self
            .scripts()
            .into_iter()
            .map(|script| {
                json!({
                    "script": script.name, "usable": script.options.is_some(),
                    "compile": script.options.map(ScriptOptions::compile_args),
                    "arguments": script.options.map(ScriptOptions::script_args),
                    "run": script.options.map(ScriptOptions::staprun_args),
                    "options_from": script.options_from,
                    "requires": script.requires, "requires_from": script.requires_from,
                })
            })
            .collect();
        json!({
            "evaluated": self.evaluated, "parameters": parameters, "scripts": scripts,
            "order": self.order, "cannot_start": self.without_place(), "problems": self.problems,
            "skipped_files": self.configuration.skipped_files(),
        })
    }
}

/// The global file first, then conf.d by name, then the scripts; what has no place comes last.
fn sort_as_read(problems: &mut [ConfigProblem], conf_d: &Path) {
    problems.sort_by_key(|problem| {
        let Some(place) = problem.place() else { return (3, None) };
        let room = match (problem.id(), Path::new(&*place.file).parent()) {
            ("script-file-name", _) => 2,
            (_, Some(folder)) if folder == conf_d => 1,
            _ => 0,
        };
        (room, Some(place.clone()))
    });
}

fn wrong_parameter(problem: &ConfigProblem) -> Option<&'static str> {
    match problem.cause() {
        Cause::Parameter(
            ParameterCause::NotBoolean { name, .. } | ParameterCause::NotAbsolute { name, .. },
        ) => Some(name),
        _ => None,
    }
}

fn values(parameters: &GlobalParameters) -> Vec<(&'static str, String)> {
    let word = |value: bool| if value { "yes" } else { "no" }.to_owned();
    let path = |path: &Path| path.display().to_string();
    let start: Vec<&str> = parameters.default_start.iter().map(ScriptName::as_str).collect();
    vec![
        ("SCRIPT_PATH", path(&parameters.script_path)),
        ("CONFIG_PATH", path(&parameters.config_path)),
        ("CACHE_PATH", path(&parameters.cache_path)),
        ("TEMP_PATH", path(&parameters.temp_path)),
        ("STAT_PATH", path(&parameters.stat_path)),
        ("LOG_FILE", path(&parameters.log_file)),
        ("PASSALL", word(parameters.pass_all)),
        ("RECURSIVE", word(parameters.recursive)),
        ("AUTOCOMPILE", word(parameters.auto_compile)),
        ("DEFAULT_START", start.join(" ")),
        ("ALLOW_CACHEONLY", word(parameters.allow_cache_only)),
        ("LOG_BOOT_ERR", word(parameters.log_boot_err)),
    ]
}
