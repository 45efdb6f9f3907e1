//! A script to be compiled: its text, read once, and what its configuration makes of it.

use std::sync::Arc;

use bundle_format::{Digest, ScriptName, ScriptRecord};
use script_config::{ScriptOptions, ScriptUsers};

use super::tapset::{Tapset, place, relocated, sent_place};

/// A script with its digest fixed and its options parsed.
#[derive(Debug, Clone)]
pub struct ScriptSource {
    record: ScriptRecord,
    text: Arc<[u8]>,
    modified: u64,
    separator: bool,
    tapsets: Vec<Tapset>,
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
        Self { record, text, modified, separator: options.arguments_need_separator(), tapsets: Vec::new() }
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

    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// When its file was last modified, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> u64 {
        self.modified
    }

    /// The same, with the tapset directories that its options name.
    pub(crate) fn with_tapsets(self, tapsets: Vec<Tapset>) -> Self {
        let modified = tapsets.iter().map(|tapset| tapset.modified).fold(self.modified, u64::max);
        Self { modified, tapsets, ..self }
    }

    /// The tapset directories that its options name, in order.
    pub(crate) fn tapsets(&self) -> &[Tapset] {
        &self.tapsets
    }

    /// The options for `stap`, with the places of copies for directories, and with `--` at the end where an argument of the script would be taken for an option.
    pub(crate) fn compile_options(&self) -> Vec<String> {
        self.options_with(place)
    }

    /// The same for a compile server's client, which finds the copies elsewhere.
    pub(crate) fn sent_options(&self) -> Vec<String> {
        self.options_with(sent_place)
    }

    /// Bytes that a request to a compile server has of the script: its text, tapsets, options and arguments.
    pub(crate) fn most_sent(&self) -> u64 {
        let words = self.record.compile.iter().chain(&self.record.arguments);
        let words: usize = words.map(String::len).sum();
        let tapsets: usize = self.tapsets.iter().map(Tapset::size).sum();
        (self.text.len() + words + tapsets) as u64
    }

    fn options_with(&self, place: fn(usize) -> String) -> Vec<String> {
        let mut options = relocated(&self.record.compile, place);
        if self.separator {
            options.push("--".to_owned());
        }
        options
    }
}
