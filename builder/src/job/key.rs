//! The name of a result in the cache: a digest of everything that may change a module's bytes.

use std::fmt;
use std::path::PathBuf;

use bundle_format::{Digest, FieldHasher};
use serde::{Deserialize, Serialize};

use super::recipe::RECIPE_VERSION;
use crate::inputs::{KernelTarget, ProgramState};
use crate::sandbox::ENVIRONMENT;

/// Digest of everything that may change a module's bytes: the name of a result in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CacheKey(Digest);

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What identifies a server in the key of what it compiled.
///
/// It can't state the digest of its toolchain, so its results have keys of their own: those of another server, or of this
/// machine, are never taken for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// Serial number of its certificate.
    pub certificate: String,
    /// What its `stap` says of its version.
    pub systemtap: String,
}

/// The parts of a cache key; recorded beside a result, so that two builds that differ can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyParts {
    /// [`RECIPE_VERSION`] of the command.
    pub recipe: u32,
    pub argv: Vec<String>,
    /// The environment, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Digest of the script's text.
    pub script: Digest,
    /// Digests of the tapset directories that its options name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tapsets: Vec<Digest>,
    pub toolchain: Digest,
    /// Where the build tree is inside the sysroot: paths of headers are in the module.
    pub build_tree: PathBuf,
    pub tree: Digest,
    /// Digest of the kernel's debuginfo, if the sysroot has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debuginfo: Option<Digest>,
    /// The programs that the script names, as far as they are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<ProgramState>,
    /// Further ones: its module is made for them, or fails for want of one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_programs: Vec<ProgramState>,
    /// The compile had one processor only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_processor: bool,
    /// The compile saw all of the kernel's trace headers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub full_scan: bool,
    /// The compile server that made the module, if it wasn't this machine. Toolchain and tree above are the farm's then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerIdentity>,
}

impl KeyParts {
    /// The parts for this recipe and environment.
    #[must_use]
    pub fn new(argv: Vec<String>, script: Digest, toolchain: Digest, kernel: &KernelTarget) -> Self {
        let environment = ENVIRONMENT.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self {
            recipe: RECIPE_VERSION,
            argv,
            environment,
            script,
            tapsets: Vec::new(),
            toolchain,
            build_tree: kernel.build_tree.clone(),
            tree: kernel.tree_digest,
            debuginfo: kernel.debuginfo,
            programs: Vec::new(),
            further_programs: Vec::new(),
            one_processor: false,
            full_scan: false,
            server: None,
        }
    }

    /// The same, made by a compile server, which has its own processors and sees all headers.
    #[must_use]
    pub fn made_by(self, server: ServerIdentity) -> Self {
        Self { server: Some(server), one_processor: false, full_scan: false, ..self }
    }

    /// The same, on one processor or on all.
    #[must_use]
    pub fn on_one_processor(self, one_processor: bool) -> Self {
        Self { one_processor, ..self }
    }

    /// The same, with all trace headers in sight, or with those that are needed.
    #[must_use]
    pub fn by_full_scan(self, full_scan: bool) -> Self {
        Self { full_scan, ..self }
    }

    /// The same, with tapset directories.
    #[must_use]
    pub fn with_tapsets(self, tapsets: Vec<Digest>) -> Self {
        Self { tapsets, ..self }
    }

    /// The same, with the programs that the script names.
    #[must_use]
    pub fn with_programs(self, programs: Vec<ProgramState>) -> Self {
        Self { programs, ..self }
    }

    /// The same, with those that only a compile has shown.
    #[must_use]
    pub fn with_further_programs(self, further_programs: Vec<ProgramState>) -> Self {
        Self { further_programs, ..self }
    }

    #[must_use]
    pub fn key(&self) -> CacheKey {
        let hash = FieldHasher::new()
            .field("stap-bundle artifact")
            .field(self.recipe.to_be_bytes())
            .list(self.argv.iter())
            .list(self.environment.iter())
            .field(self.script.as_bytes())
            .field(self.toolchain.as_bytes())
            .field(self.build_tree.as_os_str().as_encoded_bytes())
            .field(self.tree.as_bytes());
        let hash = match &self.tapsets[..] {
            // As it was before there were any.
            [] => hash,
            tapsets => hash.list(tapsets.iter().map(Digest::as_bytes)),
        };
        let hash = match &self.debuginfo {
            None => hash,
            Some(digest) => hash.field("debuginfo").field(digest.as_bytes()),
        };
        let hash = [("programs", &self.programs), ("further programs", &self.further_programs)]
            .into_iter()
            .filter(|(_, programs)| !programs.is_empty())
            .fold(hash, |hash, (name, programs)| programs.iter().fold(hash.field(name), with_program));
        let hash = if self.one_processor { hash.field("one processor") } else { hash };
        let hash = if self.full_scan { hash.field("full scan") } else { hash };
        let hash = match &self.server {
            None => hash,
            Some(server) => hash.field("stap-server").field(&server.certificate).field(&server.systemtap),
        };
        CacheKey(hash.finish())
    }
}

fn with_program(hash: FieldHasher, program: &ProgramState) -> FieldHasher {
    let digest = program.sha256.as_ref().map_or(&[][..], |digest| digest.as_bytes());
    hash.field(program.path.as_os_str().as_encoded_bytes()).field(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_job;

    #[test]
    fn each_tapset_directory_is_part_of_the_key() {
        let parts = fake_job("a", "1.0").parts;
        let key = |tapsets: &[&[u8]]| {
            let tapsets = tapsets.iter().map(|text| Digest::of(text)).collect();
            parts.clone().with_tapsets(tapsets).key()
        };
        assert_eq!(key(&[]), parts.key());
        let keys = [key(&[]), key(&[b"one"]), key(&[b"two"]), key(&[b"one", b"two"]), key(&[b"two", b"one"])];
        let different: std::collections::BTreeSet<CacheKey> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn each_program_is_part_of_the_key_and_so_is_one_that_is_not_there() {
        let parts = fake_job("a", "1.0").parts;
        let state = |path: &str, text: Option<&[u8]>| ProgramState {
            path: path.into(),
            sha256: text.map(Digest::of),
        };
        let keys = [
            parts.clone(),
            parts.clone().with_programs(vec![state("/one", Some(b"1"))]),
            parts.clone().with_programs(vec![state("/one", Some(b"2"))]),
            parts.clone().with_programs(vec![state("/two", Some(b"1"))]),
            parts.clone().with_further_programs(vec![state("/one", Some(b"1"))]),
            parts.clone().with_further_programs(vec![state("/one", None)]),
        ]
        .map(|parts| parts.key());
        assert_eq!(keys[0], parts.key());
        let different: std::collections::BTreeSet<CacheKey> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
        assert!(!serde_json::to_string(&parts).unwrap().contains("programs"));
    }

    /// Who doubts the view of trace headers compiles again, and a server sees all of them in any case.
    #[test]
    fn results_of_a_full_scan_have_keys_of_their_own() {
        let parts = fake_job("a", "1.0").parts;
        let full = parts.clone().by_full_scan(true);
        assert_ne!(full.key(), parts.key());
        let server = ServerIdentity { certificate: "00".to_owned(), systemtap: "5.6".to_owned() };
        assert_eq!(full.made_by(server.clone()).key(), parts.clone().made_by(server).key());
        assert!(!serde_json::to_string(&parts).unwrap().contains("full_scan"));
    }
}
