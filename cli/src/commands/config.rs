//! `config check`: what the initscript's configuration means, and everything that is wrong with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use script_config::{ConfigProblem, Configuration, GlobalParameters, Place, ScriptName, has_errors};
use serde_json::{Value, json};

use crate::config_evaluation::EvaluationOption;
use crate::config_files::{DEFAULT_CONFIG, Loaded};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::script_directory;
use crate::tables;
use crate::ui::{Mark, Ui};
use crate::words::count;

/// Look at the initscript's configuration
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Print the effective configuration, where each value comes from, and every problem
    ///
    /// Nothing from a configuration file is executed, unless --eval-config says so. Ends with 1 if there is an error.
    Check {
        /// The global configuration file.
        #[arg(short, long, value_name = "FILE", help = format!("The global configuration file [default: {DEFAULT_CONFIG}]"))]
        config: Option<PathBuf>,
        #[command(flatten)]
        evaluation: EvaluationOption,
    },
}

/// A script with its settings, or with what is wrong with them.
struct Script<'a> {
    name: &'a ScriptName,
    compile: Vec<String>,
    arguments: Vec<String>,
    run: Vec<String>,
    requires: Vec<&'a ScriptName>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self::Check { config, evaluation } = self;
        if global.root.is_some() {
            return Err(
                Failure::new(Exit::Usage, "`config check` takes no --root").hint("name the file: -c FILE")
            );
        }
        let Loaded { configuration, mut problems, unreadable, .. } = evaluation.load(config.as_deref())?;
        if let Some(failure) = unreadable.into_iter().next() {
            return Err(failure);
        }
        let known = scripts_in(&configuration, ui)?;
        problems.extend(configuration.check_scripts(&known));
        let scripts: Vec<Script<'_>> = known.iter().filter_map(|name| script(&configuration, name)).collect();
        let order = configuration.dependency_graph(&known).order().unwrap_or_default();
        let exit = if has_errors(&problems) { Exit::Failed } else { Exit::Done };
        if ui.json {
            ui.document(&as_json(&configuration, &scripts, &order, &problems));
            return Ok(exit);
        }
        show_parameters(ui, &configuration);
        show_scripts(ui, &scripts, &order);
        for problem in &problems {
            ui.line(problem.render());
        }
        let word =
            if exit == Exit::Done { ui.mark(Mark::Good, "good") } else { ui.mark(Mark::Bad, "not good") };
        ui.line(format!("{word}: {}, {}", count(known.len(), "script"), count(problems.len(), "problem")));
        Ok(exit)
    }
}

/// The scripts of the script directory (INIT-LIST-01).
fn scripts_in(configuration: &Configuration, ui: &mut Ui) -> Result<BTreeSet<ScriptName>, Failure> {
    let directory = &configuration.parameters().script_path;
    let (known, passed_over) = script_directory::read(directory)?;
    if !directory.is_dir() {
        let from = origin(configuration, "SCRIPT_PATH");
        ui.warning(format!("there is no directory {} (SCRIPT_PATH, {from})", directory.display()));
    }
    for reason in passed_over {
        ui.warning(reason);
    }
    Ok(known)
}

/// Nothing for a script whose settings are wrong: its problems are in the list of all.
fn script<'a>(configuration: &'a Configuration, name: &'a ScriptName) -> Option<Script<'a>> {
    let settings = configuration.settings_of(name).ok()?;
    Some(Script {
        name,
        compile: settings.options.compile_args(),
        arguments: settings.options.script_args().to_vec(),
        run: settings.options.staprun_args(),
        requires: settings.requires.iter().collect(),
    })
}

/// Each parameter's name and value, as a configuration file would say it.
fn parameters(parameters: &GlobalParameters) -> Vec<(&'static str, String)> {
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

fn origin(configuration: &Configuration, variable: &str) -> String {
    configuration.origin(variable).map_or_else(|| "default".to_owned(), Place::to_string)
}

fn show_parameters(ui: &mut Ui, configuration: &Configuration) {
    let mut table = tables::plain(["PARAMETER", "VALUE", "FROM"]);
    for (name, value) in parameters(configuration.parameters()) {
        let value = if value.is_empty() { "\"\"".to_owned() } else { value };
        table.add_row([name.to_owned(), value, origin(configuration, name)]);
    }
    ui.line(table.trim_fmt());
    ui.line("");
}

fn show_scripts(ui: &mut Ui, scripts: &[Script<'_>], order: &[ScriptName]) {
    if scripts.is_empty() {
        return;
    }
    let mut table = tables::plain(["SCRIPT", "COMPILE", "RUN", "REQUIRES"]);
    for script in scripts {
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let separator = if script.arguments.is_empty() { "" } else { " -- " };
        let compile = format!("{}{separator}{}", words(&script.compile), words(&script.arguments));
        let requires: Vec<&str> = script.requires.iter().map(|name| name.as_str()).collect();
        table.add_row([
            script.name.to_string(),
            dash(compile),
            dash(words(&script.run)),
            dash(requires.join(" ")),
        ]);
    }
    ui.line(table.trim_fmt());
    let order: Vec<&str> = order.iter().map(ScriptName::as_str).collect();
    if !order.is_empty() {
        ui.line("");
        ui.line(format!("order: {}", order.join(" ")));
    }
    ui.line("");
}

/// Words as a shell would need them.
fn words(words: &[String]) -> String {
    words.iter().map(|word| script_config::quote_word(word)).collect::<Vec<_>>().join(" ")
}

fn as_json(
    configuration: &Configuration,
    scripts: &[Script<'_>],
    order: &[ScriptName],
    problems: &[ConfigProblem],
) -> Value {
    let parameters: Vec<Value> = parameters(configuration.parameters())
        .into_iter()
        .map(|(name, value)| json!({ "name": name, "value": value, "from": configuration.origin(name) }))
        .collect();
    let scripts: Vec<Value> = scripts
        .iter()
        .map(|script| {
            json!({
                "script": script.name, "compile": script.compile, "arguments": script.arguments,
                "run": script.run, "requires": script.requires,
                "options_from": configuration.origin(&format!("{}_OPT", script.name)),
                "requires_from": configuration.origin(&format!("{}_REQ", script.name)),
            })
        })
        .collect();
    json!({
        "schema": 1, "parameters": parameters, "scripts": scripts, "order": order, "problems": problems,
        "skipped_files": configuration.skipped_files(),
    })
}
