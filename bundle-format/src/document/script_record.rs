//! A script in the manifest: how it was compiled, and how it is run.

use script_config::{ScriptOptions, ScriptUsers};
use serde::{Deserialize, Serialize};

use crate::document::program_record::ProgramRecord;
use crate::names::{Digest, GroupName, ScriptName};

/// One script and how it is compiled and run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRecord {
    /// The name, of the module too.
    pub name: ScriptName,
    /// Digest of the script's text.
    pub source_sha256: Digest,
    /// `NAME_OPT` as it stood in the configuration, after expansion.
    pub options: String,
    /// Compile arguments, in the order given to `stap`.
    pub compile: Vec<String>,
    /// Arguments of the script, after its file name.
    pub arguments: Vec<String>,
    /// Run arguments for `staprun`.
    pub run: Vec<String>,
    /// Last line of the initscript's `.opts` file (INIT-CACHE-03).
    pub opts_line: String,
    /// Scripts that must run before this one, by name.
    pub requires: Vec<ScriptName>,
    /// Who besides root may start it: groups, by name.
    pub users: Vec<GroupName>,
    /// Programs and libraries that it probes; not part of [`crate::Manifest::content_digest`], since its modules follow from them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramRecord>,
}

impl ScriptRecord {
    /// A script as its configuration has it; `requires` in any order. The digest is that of its text.
    #[must_use]
    pub fn of_settings(
        name: ScriptName,
        source_sha256: Digest,
        options: &ScriptOptions,
        mut requires: Vec<ScriptName>,
        users: ScriptUsers,
    ) -> Self {
        requires.sort();
        requires.dedup();
        let users = match users {
            ScriptUsers::Root => Vec::new(),
            ScriptUsers::Stapusr => vec![GroupName::stapusr()],
        };
        Self {
            name,
            source_sha256,
            options: options.given().to_owned(),
            compile: options.compile_args(),
            arguments: options.script_args().to_vec(),
            run: options.staprun_args(),
            opts_line: options.opts_line(),
            requires,
            users,
            programs: Vec::new(),
        }
    }

    /// A script without options and requirements, run as a flight recorder in memory.
    #[must_use]
    pub fn plain(name: ScriptName, source_sha256: Digest) -> Self {
        Self {
            name,
            source_sha256,
            options: String::new(),
            compile: Vec::new(),
            arguments: Vec::new(),
            run: vec!["-L".to_owned()],
            opts_line: "--".to_owned(),
            requires: Vec::new(),
            users: Vec::new(),
            programs: Vec::new(),
        }
    }
}
