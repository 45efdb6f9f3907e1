//! What bash made of configuration files, held to the same rules as what is read without bash.
//!
//! Nothing is run here: a farm that is asked to evaluate its files runs bash in a sandbox, and hands over the variables
//! that each file changed. What comes out is a [`Configuration`](crate::Configuration) like any other, frozen: neither the
//! bundle nor a host sees where the values came from.

use std::collections::{BTreeSet, HashMap};

use crate::assignments::{Environment, Owner, owner};
use crate::limits::MAX_VALUE_LEN;
use crate::parameters::is_parameter;
use crate::place::Place;
use crate::problem::{ConfigProblem, EvaluationCause, SyntaxCause};
use crate::settings::script_variable;
use crate::source_text::SourceText;

/// A file, and the variables that are different since bash sourced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedFile {
    pub source: SourceText,
    /// What it changed, in any order.
    pub changes: Vec<VariableChange>,
}

/// A variable that isn't what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableChange {
    /// It has a new value.
    Set {
        name: String,
        array: bool,
        /// Its value, which for bash is any bytes but NUL; the first element of an array.
        text: Vec<u8>,
    },
    /// It isn't set any more.
    Unset { name: String },
}

/// Takes over what a file changed. A value that can't be used is reported, and the variable keeps the one it had.
pub(crate) fn apply(file: &EvaluatedFile, environment: &mut Environment) -> Vec<ConfigProblem> {
    let words = Words::of(&file.source.text);
    let place = |name: &str| words.place(&file.source.path, name);
    let mut problems = Vec::new();
    for change in &file.changes {
        match change {
            VariableChange::Set { name, array, text } => match owner(name) {
                Owner::Shell => {}
                Owner::Environment => {
                    let cause = SyntaxCause::NoEffect { name: name.clone() };
                    problems.push(ConfigProblem::new(Some(place(name)), cause));
                }
                Owner::Configuration => match value(name, *array, text) {
                    Ok(text) => environment.set(name, text, Some(place(name))),
                    Err(problem) => problems.extend(problem.at(place(name))),
                },
            },
            // For the original it would be empty then, not its default.
            VariableChange::Unset { name } if is_parameter(name) => {
                environment.set(name, "", Some(Place::whole_file(file.source.path.as_str())));
            }
            VariableChange::Unset { name } => environment.unset(name),
        }
    }
    for name in &words.used {
        environment.note_read(name);
    }
    problems
}

/// Why a value isn't taken; nothing is said of variables that are the files' own affair.
struct NotTaken(Option<crate::problem::Cause>);

impl NotTaken {
    fn at(self, place: Place) -> Option<ConfigProblem> {
        self.0.map(|cause| ConfigProblem::new(Some(place), cause))
    }
}

fn value(name: &str, array: bool, bytes: &[u8]) -> Result<String, NotTaken> {
    let matters = is_parameter(name) || script_variable(name).is_some();
    let refuse = |cause: crate::problem::Cause| Err(NotTaken(matters.then_some(cause)));
    if array {
        return refuse(SyntaxCause::Array { name: name.to_owned() }.into());
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse(EvaluationCause::NotUtf8 { name: name.to_owned() }.into());
    };
    if text.len() > MAX_VALUE_LEN {
        return refuse(SyntaxCause::ValueTooLong { name: name.to_owned() }.into());
    }
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some('\r') => refuse(SyntaxCause::CarriageReturn.into()),
        Some(character) => refuse(SyntaxCause::ControlCharacter { character }.into()),
        None => Ok(text.to_owned()),
    }
}

/// What the words of a text tell of its variables, without understanding it.
#[derive(Default)]
struct Words<'t> {
    /// Where a name stands in front of a `=` or `+=`; nothing if it does so several times.
    assigned: HashMap<&'t str, Option<(u32, u32)>>,
    /// Names that stand anywhere else. That decides only whether a variable is reported as one that nothing uses.
    used: BTreeSet<&'t str>,
}

impl<'t> Words<'t> {
    fn of(text: &'t str) -> Self {
        let in_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let mut words = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with('#') {
                continue;
            }
            let mut rest = line;
            while let Some(from) = rest.find(in_name).and_then(|begin| rest.get(begin..)) {
                let (word, behind) = from.split_at(from.find(|c| !in_name(c)).unwrap_or(from.len()));
                rest = behind;
                if behind.starts_with('=') || behind.starts_with("+=") {
                    let before = line.get(..line.len() - from.len()).unwrap_or_default();
                    let column = u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX);
                    let place = words.assigned.entry(word);
                    place.and_modify(|place| *place = None).or_insert(Some((number, column)));
                } else {
                    words.used.insert(word);
                }
            }
        }
        words
    }

    /// Bash says that the file changed the variable, but not where. If only one place could have, it is that.
    fn place(&self, file: &str, name: &str) -> Place {
        match self.assigned.get(name) {
            Some(Some((line, column))) => Place::new(file, *line, *column),
            _ => Place::whole_file(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Configuration;

    fn set(name: &str, text: &[u8]) -> VariableChange {
        VariableChange::Set { name: name.into(), array: false, text: text.into() }
    }

    fn evaluated(files: &[(&str, &str, &[VariableChange])]) -> (Configuration, Vec<String>) {
        let file = |(path, text, changes): &(&str, &str, &[VariableChange])| EvaluatedFile {
            source: SourceText { path: (*path).into(), text: (*text).into() },
            changes: changes.to_vec(),
        };
        let files: Vec<EvaluatedFile> = files.iter().map(file).collect();
        let (configuration, problems) = Configuration::evaluated(&files, Vec::new());
        let shown = |problem: &ConfigProblem| {
            let place = problem.place().map(ToString::to_string).unwrap_or_default();
            format!("{place} {}", problem.id())
        };
        (configuration, problems.iter().map(shown).collect())
    }

    #[test]
    fn values_are_frozen_with_the_file_that_changed_them_last() {
        let (configuration, problems) = evaluated(&[
            ("config", "", &[set("PASSALL", b"no"), set("a_OPT", b"-g"), set("b_OPT", b"-v")]),
            ("x.conf", "", &[set("a_OPT", b"-g -w"), VariableChange::Unset { name: "b_OPT".into() }]),
        ]);
        assert_eq!(problems, [""; 0]);
        assert!(!configuration.parameters().pass_all);
        assert_eq!(configuration.origin("PASSALL").unwrap().to_string(), "config");
        assert_eq!(configuration.origin("a_OPT").unwrap().to_string(), "x.conf");
        assert_eq!(configuration.origin("b_OPT"), None);
        assert_eq!(configuration.origin("LOG_FILE"), None);
    }

    #[test]
    fn names_and_values_are_held_to_the_same_rules_as_without_bash() {
        let long = vec![b'x'; MAX_VALUE_LEN + 1];
        let name = format!("{}_OPT", "x".repeat(56));
        let array = VariableChange::Set { name: "b_OPT".into(), array: true, text: b"-g".to_vec() };
        let (_, problems) = evaluated(&[(
            "config",
            "",
            &[
                set("PASSALL", b"true"),
                set("a_OPT", b"-Z"),
                set("a_REQ", b"9x"),
                set(&name, b""),
                array,
                set("c_OPT", b"caf\xe9"),
                set("d_OPT", &long),
                set("e_OPT", b"-g\r"),
                set("f_OPT", b"\x1b"),
                set("LANG", b"C"),
                set("IFS", b":"),
                VariableChange::Unset { name: "CACHE_PATH".into() },
            ],
        )]);
        let mut expected = [
            "config config-array",
            "config config-carriage-return",
            "config config-control-character",
            "config config-no-effect",
            "config config-value-not-utf8",
            "config config-value-too-long",
            "config option-unknown",
            "config parameter-not-absolute",
            "config parameter-not-boolean",
            "config script-name",
            "config script-requirement-name",
        ];
        expected.sort_unstable();
        let mut problems = problems;
        problems.sort_unstable();
        assert_eq!(problems, expected);
    }

    #[test]
    fn only_variables_that_nothing_uses_are_reported() {
        let text = "words=(-g -v)\nlevel=3\na_OPT=\"${words[*]}\"\nb_OPT+=$level\nPASALL=no\n";
        let words = VariableChange::Set { name: "words".into(), array: true, text: b"-g".to_vec() };
        let changes = [words, set("level", b"3"), set("PASALL", b"no"), set("a_OPT", b"-g -v")];
        let (_, problems) = evaluated(&[("config", text, &changes)]);
        assert_eq!(problems, ["config:5:1 parameter-unknown"]);
    }

    #[test]
    fn the_only_place_that_assigns_a_variable_is_its_place() {
        let text = "# a_OPT=-v\nif true; then\n  é=1 a_OPT=$(x)\nb_OPT=1\nelse b_OPT+=2\nfi\naa_OPT=1\n";
        let changes = ["a_OPT", "b_OPT", "c_OPT"].map(|name| set(name, b"-g"));
        let (configuration, _) = evaluated(&[("f", text, &changes)]);
        let origin = |name| configuration.origin(name).unwrap().to_string();
        assert_eq!(["a_OPT", "b_OPT", "c_OPT"].map(origin), ["f:3:7", "f", "f"]);
    }

    #[test]
    fn init_cfg_01_conf_d_can_not_move_itself_with_bash_either() {
        let (configuration, problems) = evaluated(&[
            ("config", "", &[set("CONFIG_PATH", b"/a")]),
            ("x.conf", "", &[set("CONFIG_PATH", b"/b")]),
        ]);
        assert_eq!(problems, ["x.conf parameter-config-path-too-late"]);
        assert_eq!(configuration.parameters().config_path, std::path::Path::new("/a"));
    }
}
