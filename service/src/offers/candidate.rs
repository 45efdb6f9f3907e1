//! A script that could be started on this host, wherever it is from.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{BundleId, BundleName, BundleVersion, Digest, ScriptRecord};
use installer::OtherProgram;
use script_config::{DependencyGraph, ScriptName};

use crate::local::LocalRecord;
use crate::reasons::StartRefusal;

pub(crate) type Candidates = BTreeMap<ScriptName, Candidate>;

/// What a start would take, seen from the running kernel.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: ScriptName,
    pub(crate) origin: Origin,
    /// Run arguments for `staprun`.
    pub(crate) run: Vec<String>,
    /// Where the host's configuration has given the run arguments; the bundle, or the compile here, has otherwise.
    pub(crate) options_from: Option<String>,
    /// What must run before it.
    pub(crate) requires: Vec<ScriptName>,
    /// A program that it probes, where this host has another build of it, or none.
    pub(crate) other_program: Option<OtherProgram>,
    /// Whether there is a module for this kernel.
    pub(crate) cell: Result<(), StartRefusal>,
}

#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// A believed bundle.
    Bundle(Box<SignedScript>),
    /// A bundle of this name that isn't believed: its refusal can be shown, and nothing more.
    RefusedBundle(String),
    /// A compile on this host.
    Local(LocalRecord),
    /// A compile on this host that has failed, and no module of an earlier one.
    NotCompiled,
}

/// A script as a believed bundle of the current generation has it.
#[derive(Debug, Clone)]
pub(crate) struct SignedScript {
    pub(crate) record: ScriptRecord,
    pub(crate) bundle: OfferedBy,
    /// That of the bundle's kernel that runs.
    pub(crate) vermagic: Option<String>,
}

/// Which bundle, in which generation.
#[derive(Debug, Clone)]
pub(crate) struct OfferedBy {
    pub(crate) name: BundleName,
    pub(crate) version: BundleVersion,
    pub(crate) id: BundleId,
    /// Counts from 1; 0 for what was compiled on this host.
    pub(crate) generation: u64,
}

impl Origin {
    /// What a record of a start names: the bundle, or in its place the compile on this host. `None` where nothing can be started.
    pub(crate) fn recorded(&self) -> Option<OfferedBy> {
        match self {
            Self::Bundle(signed) => Some(signed.bundle.clone()),
            Self::Local(LocalRecord::Good(record)) => Some(OfferedBy {
                name: BundleName::local(),
                version: record.compiled.into(),
                id: BundleId::from_bytes(*record.sha256.as_bytes()),
                generation: 0,
            }),
            Self::RefusedBundle(_) | Self::NotCompiled | Self::Local(_) => None,
        }
    }
}

impl Candidate {
    /// Refuses it; one that has no module anyway keeps the reason for that.
    pub(crate) fn refuse(&mut self, refusal: StartRefusal) {
        if self.cell.is_ok() {
            self.cell = Err(refusal);
        }
    }

    /// The installed bundle that offers it; `None` for what was compiled here.
    pub(crate) fn bundle(&self) -> Option<&str> {
        match &self.origin {
            Origin::Bundle(signed) => Some(signed.bundle.name.as_str()),
            Origin::RefusedBundle(name) => Some(name),
            Origin::Local(_) | Origin::NotCompiled => None,
        }
    }

    /// The vermagic that its module must have, as signed.
    pub(crate) fn vermagic(&self) -> Option<&str> {
        match &self.origin {
            Origin::Bundle(signed) => signed.vermagic.as_deref(),
            Origin::RefusedBundle(_) | Origin::Local(_) | Origin::NotCompiled => None,
        }
    }
}

/// Who has signed a module for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    None,
    /// By the keys of these certificates; whether the kernel has the one that it is given.
    By {
        signers: Vec<String>,
        has_key: Option<bool>,
    },
    /// It has one, and nothing is known of it.
    Unknown,
}

/// A module's bytes, found to have the digest that is accounted for. Nothing changes them any more.
#[derive(Debug)]
pub(crate) struct VerifiedModule {
    /// What the kernel is given: the body, and a kernel signature if it has one.
    bytes: Vec<u8>,
    /// Of the body.
    sha256: Digest,
    /// Whether the file had a kernel signature that no trusted key vouches for; it was dropped.
    pub(crate) had_other_trailer: bool,
    pub(crate) signature: Signature,
}

impl VerifiedModule {
    /// For those who have compared the digest of this very buffer, without its kernel signature.
    pub(crate) fn vouched_for(bytes: Vec<u8>, sha256: Digest) -> Self {
        let signature = if kernel_module::is_signed(&bytes) { Signature::Unknown } else { Signature::None };
        Self { bytes, sha256, had_other_trailer: false, signature }
    }

    pub(crate) fn signed(self, signature: Signature, had_other_trailer: bool) -> Self {
        Self { had_other_trailer, signature, ..self }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) const fn sha256(&self) -> Digest {
        self.sha256
    }
}

/// These scripts and all that require them, directly or not, each with the one of them that is the cause; without those that are
/// `spared`, and what requires only them.
pub(crate) fn with_dependants(
    scripts: &BTreeSet<ScriptName>,
    candidates: &Candidates,
    spared: impl Fn(&ScriptName) -> bool,
) -> BTreeMap<ScriptName, ScriptName> {
    let mut because: BTreeMap<ScriptName, ScriptName> =
        scripts.iter().map(|name| (name.clone(), name.clone())).collect();
    loop {
        let next = candidates.values().find_map(|candidate| {
            let cause = candidate.requires.iter().find_map(|required| because.get(required))?;
            let is_new = !because.contains_key(&candidate.name) && !spared(&candidate.name);
            is_new.then(|| (candidate.name.clone(), cause.clone()))
        });
        let Some((name, cause)) = next else { return because };
        because.insert(name, cause);
    }
}

/// The graph of all candidates. A script that is required or named and isn't offered gets a place too: it is in the order
/// and fails there, as the original has it (INIT-DEP-04).
pub(crate) fn graph_of(candidates: &Candidates, chosen: &BTreeSet<ScriptName>) -> DependencyGraph {
    let mut nodes: BTreeMap<ScriptName, BTreeSet<ScriptName>> = BTreeMap::new();
    for candidate in candidates.values() {
        for required in &candidate.requires {
            nodes.entry(required.clone()).or_default();
        }
        nodes.entry(candidate.name.clone()).or_default().extend(candidate.requires.iter().cloned());
    }
    for name in chosen {
        nodes.entry(name.clone()).or_default();
    }
    DependencyGraph::new(nodes)
}
