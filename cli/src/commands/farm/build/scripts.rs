//! The scripts of a build: from the configured directory, by name or by path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use builder::ScriptSource;
use files::read::read_given;
use script_config::{ConfigProblem, Configuration, ScriptName, Severity, has_errors};

use crate::config_files::in_words;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::script_directory;
use crate::ui::Ui;
use crate::words::count;

/// Shows all problems of the configuration; errors end the build.
pub(super) fn report_problems(ui: &mut Ui, problems: &[ConfigProblem]) -> Result<(), Failure> {
    for problem in problems {
        if problem.severity() < Severity::Error {
            let shown = problem.severity() == Severity::Warning || ui.verbose;
            if shown {
                ui.warning(in_words(problem));
            }
        }
    }
    if !has_errors(problems) {
        return Ok(());
    }
    let errors: Vec<String> =
        problems.iter().filter(|problem| problem.severity() == Severity::Error).map(in_words).collect();
    let mut failure =
        Failure::new(Exit::NoBundle, format!("the configuration has {}", count(errors.len(), "error")));
    failure.because = errors;
    Err(failure)
}

/// Reads the scripts that `words` name, or all of the script directory.
pub(crate) fn read(
    configuration: &Configuration,
    words: &[String],
    ui: &mut Ui,
) -> Result<Vec<ScriptSource>, Failure> {
    let directory = &configuration.parameters().script_path;
    let (known, passed_over) = script_directory::read(directory)?;
    let path_of = |name: &ScriptName| directory.join(format!("{name}.stp"));
    let files: BTreeMap<ScriptName, PathBuf> = if words.is_empty() {
        report_problems(ui, &passed_over)?;
        known.iter().map(|name| (name.clone(), path_of(name))).collect()
    } else {
        let named = named(directory, &known, words)?;
        with_requirements(configuration, named, &known, path_of, ui)
    };
    let present: BTreeSet<ScriptName> = files.keys().cloned().collect();
    let problems = configuration.check_scripts(&present);
    // Settings of scripts that aren't part of this build are no concern of it.
    let concern = |problem: &&ConfigProblem| words.is_empty() || problem.severity() == Severity::Error;
    let problems: Vec<ConfigProblem> = problems.iter().filter(concern).cloned().collect();
    report_problems(ui, &problems)?;
    files.into_iter().map(|(name, path)| read_one(configuration, name, &path, ui)).collect()
}

/// Adds what the named scripts require and the script directory has: without it a host could start none of them.
fn with_requirements(
    configuration: &Configuration,
    mut files: BTreeMap<ScriptName, PathBuf>,
    known: &BTreeSet<ScriptName>,
    path_of: impl Fn(&ScriptName) -> PathBuf,
    ui: &mut Ui,
) -> BTreeMap<ScriptName, PathBuf> {
    let graph =
        configuration.dependency_graph(&known.union(&files.keys().cloned().collect()).cloned().collect());
    let named: Vec<ScriptName> = files.keys().cloned().collect();
    for script in named {
        for required in graph.requirements_of(&script) {
            if known.contains(&required) && !files.contains_key(&required) {
                ui.progress(format!("{required} is taken in too: {script} requires it"));
                files.insert(required.clone(), path_of(&required));
            }
        }
    }
    files
}

fn named(
    directory: &Path,
    known: &BTreeSet<ScriptName>,
    words: &[String],
) -> Result<BTreeMap<ScriptName, PathBuf>, Failure> {
    words
        .iter()
        .map(|word| {
            let path = Path::new(word);
            let is_path = word.contains('/') || path.extension().is_some_and(|suffix| suffix == "stp");
            let stem =
                if is_path { path.file_stem().unwrap_or_default().to_string_lossy() } else { word.into() };
            let name: ScriptName = stem.parse().map_err(|error: script_config::ScriptNameError| {
                Failure::of(Exit::Usage, &error).about(word)
            })?;
            if is_path && path.try_exists().is_ok_and(|exists| !exists) {
                return Err(no_such_file(directory, known, path, &name));
            }
            if is_path {
                return Ok((name, path.to_owned()));
            }
            if !known.contains(&name) {
                return Err(no_such_script(directory, known, &name));
            }
            let path = directory.join(format!("{name}.stp"));
            Ok((name, path))
        })
        .collect()
}

fn no_such_script(directory: &Path, known: &BTreeSet<ScriptName>, name: &ScriptName) -> Failure {
    let what = format!("there is no script {name} in {}", directory.display());
    let failure = Failure::new(Exit::NoBundle, what);
    let near = script_config::nearest(name.as_str(), known.iter().map(ScriptName::as_str));
    match near {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => match existing(known) {
            Some(names) => failure.hint(format!("its scripts: {names}; or give the path of a `.stp` file")),
            None => failure.hint("name a script of that directory, or the path of a `.stp` file"),
        },
    }
}

/// A path was typed, and no file is there: another beside it may be meant, or a script of the configured directory.
fn no_such_file(directory: &Path, known: &BTreeSet<ScriptName>, path: &Path, name: &ScriptName) -> Failure {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failure = Failure::new(Exit::NoBundle, format!("{}: No such file or directory", path.display()));
    let near = |names: &BTreeSet<ScriptName>| {
        script_config::nearest(name.as_str(), names.iter().map(ScriptName::as_str)).map(str::to_owned)
    };
    let names = script_directory::read(beside).map(|(names, _)| names).unwrap_or_default();
    if let Some(near) = near(&names) {
        return failure.hint(format!("did you mean {}?", path.with_file_name(near + ".stp").display()));
    }
    if let Some(near) = near(known) {
        return failure.hint(format!(
            "did you mean {near} of {}? Scripts there are named without .stp",
            directory.display()
        ));
    }
    match existing(&names) {
        Some(names) => failure.hint(format!("the scripts of {}: {names}", beside.display())),
        None => failure.hint(format!("there is no script in {}", beside.display())),
    }
}

/// Some of the scripts of a directory; `None` if it has none.
fn existing(names: &BTreeSet<ScriptName>) -> Option<String> {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(ScriptName::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!shown.is_empty()).then(|| shown.join(", ") + &more)
}

/// Most bytes of a script: as many as a bundle may bring of it.
const MAX_SCRIPT: u64 = bundle_format::limits::MAX_PLAIN_FRAME;

fn read_one(
    configuration: &Configuration,
    name: ScriptName,
    path: &Path,
    ui: &mut Ui,
) -> Result<ScriptSource, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::NoBundle, &error).about(path.display());
    let text = read_given(path, MAX_SCRIPT).map_err(|error| failed(error.into_source()))?;
    let modified = path.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    let modified = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let settings = configuration.settings_of(&name).map_err(|problems| {
        let mut failure =
            Failure::new(Exit::NoBundle, format!("the settings of script {name} can't be used"));
        failure.because = problems.iter().map(in_words).collect();
        failure
    })?;
    if ui.verbose {
        for note in settings.options.notes() {
            ui.progress(note.render());
        }
    }
    Ok(ScriptSource::new(name, text, modified, &settings.options, settings.requires.clone(), settings.users))
}
