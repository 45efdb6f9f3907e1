//! From statements to values.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::{Environment, Value};
use super::shell_names::{Owner, owner};
use super::statements::{Assignment, Statement};
use super::values::Part;
use crate::limits::MAX_VALUE_LEN;
use crate::place::Place;
use crate::problem::ConfigProblem;
use crate::problem::SyntaxCause;

/// What the statements of one file did, not yet in force.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) assigned: BTreeMap<String, Value>,
    pub(super) read: BTreeSet<String>,
    pub(super) problems: Vec<ConfigProblem>,
}

/// Carries out the statements on top of `environment`, which stays as it is.
pub(super) fn evaluate(statements: &[Statement], environment: &Environment) -> Outcome {
    let mut file = Evaluation { environment, outcome: Outcome::default() };
    for statement in statements {
        match statement {
            Statement::Assign(assignment) => {
                let text = file.expand(assignment);
                file.assign(assignment, text);
            }
            // Bash expands all words of a command before it runs the command.
            Statement::Export(assignments) => {
                let texts: Vec<String> = assignments.iter().map(|a| file.expand(a)).collect();
                for (assignment, text) in assignments.iter().zip(texts) {
                    file.assign(assignment, text);
                }
            }
        }
    }
    file.outcome
}

struct Evaluation<'e> {
    environment: &'e Environment,
    outcome: Outcome,
}

impl Evaluation<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let fresh = self.outcome.assigned.get(name);
        fresh.or_else(|| self.environment.get(name)).map(|value| value.text.as_str())
    }

    fn report(&mut self, place: &Place, cause: SyntaxCause) {
        self.outcome.problems.push(ConfigProblem::new(Some(place.clone()), cause));
    }

    fn assign(&mut self, assignment: &Assignment, text: String) {
        let Assignment { name, append, place, .. } = assignment;
        match owner(name) {
            Owner::Configuration => {}
            Owner::Environment => {
                self.report(place, SyntaxCause::NoEffect { name: name.clone() });
            }
            Owner::Shell => {
                self.report(place, SyntaxCause::SetsShellVariable { name: name.clone() });
                return;
            }
        }
        let text = if *append { self.text(name).unwrap_or_default().to_owned() + &text } else { text };
        if text.len() > MAX_VALUE_LEN {
            self.report(place, SyntaxCause::ValueTooLong { name: name.clone() });
            return;
        }
        let value = Value { text, place: Some(place.clone()) };
        self.outcome.assigned.insert(name.clone(), value);
    }

    fn expand(&mut self, assignment: &Assignment) -> String {
        let mut text = String::new();
        self.expand_parts(&assignment.value, &mut text);
        text
    }

    fn expand_parts(&mut self, parts: &[Part], text: &mut String) {
        for part in parts {
            // One part more than the limit is enough for `assign` to see it.
            if text.len() > MAX_VALUE_LEN {
                return;
            }
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable { name, place, default } => {
                    self.outcome.read.insert(name.clone());
                    self.expand_variable(name, place, default.as_deref(), text);
                }
            }
        }
    }

    fn expand_variable(&mut self, name: &str, place: &Place, default: Option<&[Part]>, text: &mut String) {
        let name_of = || name.to_owned();
        match (self.text(name), default) {
            (Some(value), None) => text.push_str(value),
            (Some(value), Some(_)) if !value.is_empty() => text.push_str(value),
            (Some(_), Some(default)) => self.expand_parts(default, text),
            (None, default) => match (owner(name), default) {
                (Owner::Shell, _) => {
                    self.report(place, SyntaxCause::ReadsShellVariable { name: name_of() });
                }
                (Owner::Environment, _) => {
                    self.report(place, SyntaxCause::ReadsEnvironment { name: name_of() });
                }
                (Owner::Configuration, Some(default)) => self.expand_parts(default, text),
                (Owner::Configuration, None) => {
                    self.report(place, SyntaxCause::Unset { name: name_of() });
                }
            },
        }
    }
}
