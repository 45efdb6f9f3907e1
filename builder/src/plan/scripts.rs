//! The scripts of a plan, with the tapsets that their options name.

use std::path::Path;
use std::sync::Arc;

use super::problem::PlanProblem;
use crate::inputs::{ScriptSource, Tapset, tapset};

/// Options of `stap` that name a directory of the farm; it would have to be mounted and be part of the key.
const DIRECTORY_OPTIONS: [&str; 2] = ["-R", "--sysroot"];

pub(crate) fn check_scripts(
    given: &[ScriptSource],
    problems: &mut Vec<PlanProblem>,
) -> Vec<Arc<ScriptSource>> {
    if given.is_empty() {
        problems.push(PlanProblem::NoScripts);
    }
    let mut scripts: Vec<Arc<ScriptSource>> =
        given.iter().map(|script| Arc::new(with_tapsets(script, problems))).collect();
    scripts.sort_by(|a, b| a.name().cmp(b.name()));
    for pair in scripts.windows(2) {
        if pair[0].name() == pair[1].name() {
            problems.push(PlanProblem::TwoScripts { name: pair[0].name().clone() });
        }
    }
    for script in &scripts {
        let options = script.record().compile.iter();
        problems.extend(
            options.filter(|word| DIRECTORY_OPTIONS.iter().any(|option| word.starts_with(option))).map(
                |word| PlanProblem::DirectoryOption { script: script.name().clone(), option: word.clone() },
            ),
        );
        if script.record().compile.iter().any(|word| word == "-a") {
            problems.push(PlanProblem::ArchitectureOption { script: script.name().clone() });
        }
    }
    scripts
}

/// Reads the tapset directories that a script's options name.
fn with_tapsets(script: &ScriptSource, problems: &mut Vec<PlanProblem>) -> ScriptSource {
    let mut tapsets = Vec::new();
    for directory in tapset::named_in(&script.record().compile) {
        let path = Path::new(directory);
        let read = if path.is_absolute() {
            Tapset::read(path)
        } else {
            let what = "a tapset directory is given by its whole path";
            Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
        };
        match read {
            Ok(tapset) => tapsets.push(tapset),
            Err(source) => problems.push(PlanProblem::TapsetDirectory {
                script: script.name().clone(),
                directory: path.to_owned(),
                source,
            }),
        }
    }
    script.clone().with_tapsets(tapsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::script_with;

    #[test]
    fn init_cfg_04_the_architecture_is_no_option_of_a_script() {
        let problems_of = |options: &str| {
            let mut problems = Vec::new();
            check_scripts(&[script_with("probe begin { exit() }", options)], &mut problems);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(problems_of("-g -B A=1"), Vec::<String>::new());
        for options in ["-a arm64", "-gaarm64"] {
            let problems = problems_of(options);
            assert!(problems.len() == 1 && problems[0].contains("-a in probing_OPT"), "{problems:?}");
        }
    }
}
