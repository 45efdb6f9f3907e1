//! The variables that a configuration has set.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::place::Place;

/// The value of a variable and where it was last assigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Value {
    /// The text after expansion.
    pub text: String,
    /// The last assignment, or nothing for a built-in default.
    pub place: Option<Place>,
}

/// The variables set so far, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    values: BTreeMap<String, Value>,
    read: BTreeSet<String>,
}

impl Environment {
    /// Returns an environment without variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable, for values that don't come from [`parse_assignments`].
    ///
    /// [`parse_assignments`]: crate::parse_assignments
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>, place: Option<Place>) {
        self.values.insert(name.into(), Value { text: text.into(), place });
    }

    /// Returns a variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Returns a variable's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|value| value.text.as_str())
    }

    /// Returns the variables in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Tells whether some assignment used the variable in its value.
    #[must_use]
    pub fn is_read(&self, name: &str) -> bool {
        self.read.contains(name)
    }

    /// Removes a variable.
    pub(crate) fn unset(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Notes that some assignment uses the variable.
    pub(crate) fn note_read(&mut self, name: &str) {
        self.read.insert(name.to_owned());
    }

    pub(super) fn adopt(&mut self, assigned: BTreeMap<String, Value>, read: BTreeSet<String>) {
        self.values.extend(assigned);
        self.read.extend(read);
    }
}
