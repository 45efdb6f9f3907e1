//! The scripts of a build: from the configured directory, by name or by path.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use builder::ScriptSource;
use script_config::{
    ConfigProblem, Configuration, ScriptName, ScriptUsers, Severity, has_errors, known_scripts,
};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;

/// Shows all problems of the configuration; errors end the build.
pub(super) fn report_problems(ui: &mut Ui, problems: &[ConfigProblem]) -> Result<(), Failure> {
    for problem in problems {
        if problem.severity() < Severity::Error {
            let shown = problem.severity() == Severity::Warning || ui.verbose;
            if shown {
                ui.warning(problem.render());
            }
        }
    }
    if !has_errors(problems) {
        return Ok(());
    }
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity() == Severity::Error)
        .map(ConfigProblem::render)
        .collect();
    let mut failure =
        Failure::new(Exit::NoBundle, format!("the configuration has {}", count(errors.len(), "error")));
    failure.because = errors;
    Err(failure)
}

/// Reads the scripts that `words` name, or all of the script directory.
pub(super) fn read(
    configuration: &Configuration,
    words: &[String],
    ui: &mut Ui,
) -> Result<Vec<ScriptSource>, Failure> {
    let directory = &configuration.parameters().script_path;
    let files = if words.is_empty() { all_of(directory, ui)? } else { named(directory, words)? };
    let known: BTreeSet<ScriptName> = files.iter().map(|(name, _)| name.clone()).collect();
    let problems = configuration.check_scripts(&known);
    // Settings of scripts that aren't part of this build are no concern of it.
    let concern = |problem: &&ConfigProblem| words.is_empty() || problem.severity() == Severity::Error;
    let problems: Vec<ConfigProblem> = problems.iter().filter(concern).cloned().collect();
    report_problems(ui, &problems)?;
    files.into_iter().map(|(name, path)| read_one(configuration, name, &path, ui)).collect()
}

fn all_of(directory: &Path, ui: &mut Ui) -> Result<Vec<(ScriptName, PathBuf)>, Failure> {
    let mut names = Vec::new();
    for entry in walkdir::WalkDir::new(directory).min_depth(1).max_depth(1).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.path().is_file() => {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
            Ok(_) => {}
            Err(error)
                if error.io_error().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound) => {}
            Err(error) => return Err(Failure::of(Exit::NoBundle, &error)),
        }
    }
    let (known, bad) = known_scripts(names.iter().map(String::as_str), [], false);
    for (file, reason) in bad {
        ui.warning(format!("{}: passed over: {reason}", directory.join(file).display()));
    }
    Ok(known.into_iter().map(|name| (name.clone(), directory.join(format!("{name}.stp")))).collect())
}

fn named(directory: &Path, words: &[String]) -> Result<Vec<(ScriptName, PathBuf)>, Failure> {
    words
        .iter()
        .map(|word| {
            let path = Path::new(word);
            let is_path = word.contains('/') || path.extension().is_some_and(|suffix| suffix == "stp");
            let stem =
                if is_path { path.file_stem().unwrap_or_default().to_string_lossy() } else { word.into() };
            let name: ScriptName = stem
                .parse()
                .map_err(|error: script_config::NameError| Failure::of(Exit::Usage, &error).about(word))?;
            let path = if is_path { path.to_owned() } else { directory.join(format!("{name}.stp")) };
            Ok((name, path))
        })
        .collect()
}

fn read_one(
    configuration: &Configuration,
    name: ScriptName,
    path: &Path,
    ui: &mut Ui,
) -> Result<ScriptSource, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::NoBundle, &error).about(path.display());
    let text = fs::read(path).map_err(failed)?;
    let modified = path.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let settings = configuration.settings_of(&name).map_err(|problems| {
        let mut failure =
            Failure::new(Exit::NoBundle, format!("the settings of script {name} can't be used"));
        failure.because = problems.iter().map(ConfigProblem::render).collect();
        failure
    })?;
    if ui.verbose {
        for note in settings.options.notes() {
            ui.progress(note.render());
        }
    }
    let users = match settings.users {
        ScriptUsers::Root => Vec::new(),
        ScriptUsers::Stapusr => vec!["stapusr".to_owned()],
    };
    Ok(ScriptSource::new(name, text, modified, &settings.options, settings.requires.clone(), users))
}
