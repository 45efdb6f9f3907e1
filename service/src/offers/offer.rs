//! What the current generation offers, as a start and a status need it.

use std::collections::{BTreeMap, BTreeSet};

use script_config::{DependencyGraph, ScriptName};
use serde::Serialize;

use crate::reasons::{Reason, Refusal};

/// Where offers and their modules come from. Outside tests there is one: `installer`'s current generation, which gives
/// out bytes only after it has followed the whole chain from a trusted key to them.
pub(crate) trait Source: Sync {
    /// All scripts of all installed bundles, by name, seen from the running kernel. Found out once, when the source was made.
    fn offers(&self) -> &[Offer];

    /// Installed bundles that aren't believed, by name.
    fn refused_bundles(&self) -> Vec<RefusedBundle>;

    /// Reads and verifies the module of a script that has one.
    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal>;
}

/// An installed bundle that isn't believed, so that nothing of it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedBundle {
    /// Its name.
    pub bundle: String,
    /// Why.
    pub reason: Reason,
}

/// One script of an installed bundle, seen from the running kernel.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    /// Its name.
    pub(crate) name: ScriptName,
    /// What the module was compiled with.
    pub(crate) compiled_with: CompiledWith,
    /// Run arguments for `staprun`.
    pub(crate) run: Vec<String>,
    /// Where the host's configuration has given the run arguments; the bundle, or the compile here, has otherwise.
    pub(crate) options_from: Option<String>,
    /// What must run before it.
    pub(crate) requires: Vec<ScriptName>,
    /// The bundle that it is from.
    pub(crate) bundle: OfferedBy,
    /// The kernel's vermagic, by the manifest.
    pub(crate) vermagic: Option<String>,
    /// Whether there is a module for this kernel.
    pub(crate) cell: Result<(), Refusal>,
}

/// Compile options.
#[derive(Debug, Clone)]
pub(crate) enum CompiledWith {
    /// As they are signed.
    Options {
        /// For `stap`.
        compile: Vec<String>,
        /// For the script.
        arguments: Vec<String>,
        /// Both as the last line of an `.opts` file has them (INIT-CACHE-03), for messages.
        opts_line: String,
    },
    /// As that line alone, which is all that a record of this host has.
    Line(String),
}

/// Which bundle, in which generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfferedBy {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) id: String,
    /// The generation, or [`OfferedBy::NO_GENERATION`].
    pub(crate) generation: u64,
}

impl OfferedBy {
    /// The generation of what was compiled on this host; generations count from 1.
    pub(crate) const NO_GENERATION: u64 = 0;

    /// Whether it was compiled on this host, and no bundle has it.
    pub(crate) const fn is_local(&self) -> bool {
        self.generation == Self::NO_GENERATION
    }
}

/// A module's bytes, as a [`Source`] found them to have the digest that is accounted for. Nothing changes them any more.
#[derive(Debug)]
pub(crate) struct VerifiedModule {
    bytes: Vec<u8>,
    sha256: String,
}

impl VerifiedModule {
    /// For a [`Source`], which has compared the digest of this very buffer.
    pub(crate) const fn vouched_for(bytes: Vec<u8>, sha256: String) -> Self {
        Self { bytes, sha256 }
    }

    /// The module.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its digest.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The graph of all offers. A script that is required or named and isn't offered gets a place too: it is in the order
/// and fails there, as the original has it (INIT-DEP-04).
pub(crate) fn graph_of<'o>(
    offers: impl IntoIterator<Item = &'o Offer>,
    chosen: &BTreeSet<ScriptName>,
) -> DependencyGraph {
    let mut nodes: BTreeMap<ScriptName, BTreeSet<ScriptName>> = BTreeMap::new();
    for offer in offers {
        for required in &offer.requires {
            nodes.entry(required.clone()).or_default();
        }
        nodes.entry(offer.name.clone()).or_default().extend(offer.requires.iter().cloned());
    }
    for name in chosen {
        nodes.entry(name.clone()).or_default();
    }
    DependencyGraph::new(nodes)
}
