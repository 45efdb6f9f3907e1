//! A script to be compiled: its text, read once, and what its configuration makes of it.

use std::sync::Arc;

use bundle_format::{Digest, ScriptName, ScriptRecord};
use script_config::{ScriptOptions, ScriptUsers};

/// A script with its digest fixed and its options parsed.
#[derive(Debug, Clone)]
pub struct ScriptSource {
    record: ScriptRecord,
    text: Arc<[u8]>,
    modified: u64,
    separator: bool,
}

impl ScriptSource {
    /// Takes the text as it was read from the file, which was last modified at `modified` (seconds since 1970).
    ///
    /// `requires` are the scripts that must run first, `users` who may start it besides root.
    #[must_use]
    pub fn new(
        name: ScriptName,
        text: impl Into<Arc<[u8]>>,
        modified: u64,
        options: &ScriptOptions,
        requires: Vec<ScriptName>,
        users: ScriptUsers,
    ) -> Self {
        let text = text.into();
        let record = ScriptRecord::of_settings(name, Digest::of(&text), options, requires, users);
        Self { record, text, modified, separator: options.arguments_need_separator() }
    }

    /// The script's name, and its module's.
    #[must_use]
    pub fn name(&self) -> &ScriptName {
        &self.record.name
    }

    /// What the manifest says of it.
    #[must_use]
    pub fn record(&self) -> &ScriptRecord {
        &self.record
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// When its file was last modified, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> u64 {
        self.modified
    }

    /// The options for `stap`, with `--` at the end where an argument of the script would be taken for an option.
    pub(crate) fn compile_options(&self) -> Vec<String> {
        let mut options = self.record.compile.clone();
        if self.separator {
            options.push("--".to_owned());
        }
        options
    }
}
