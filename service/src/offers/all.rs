//! All that could be started, put together once.

use std::collections::{BTreeMap, BTreeSet};

use installer::HostIdentity;
use script_config::{Configuration, ScriptName};

use crate::host::Host;
use crate::local::LocalRecord;
use crate::offers::candidate::{Candidate, Candidates, Origin, VerifiedModule};
use crate::offers::installed::{Installed, LeftOutBundle, ReadInstalled};
use crate::offers::{compiled_here, host_settings};
use crate::reasons::StartRefusal;

/// The candidates of this host, seen from the running kernel.
pub(crate) struct Offers<'a> {
    host: &'a Host,
    candidates: Candidates,
    refused_bundles: Vec<LeftOutBundle>,
    read_installed: Box<ReadInstalled<'a>>,
}

impl<'a> Offers<'a> {
    /// Bundles first, then what was compiled here, then what `configuration`, the host's own, says of both.
    pub(crate) fn find(
        host: &'a Host,
        identity: &HostIdentity,
        installed: Installed<'a>,
        configuration: &Configuration,
    ) -> Self {
        let Installed { mut candidates, refused: refused_bundles, read: read_installed } = installed;
        compiled_here::add(host, identity, &mut candidates);
        host_settings::apply(configuration, &mut candidates);
        Self { host, candidates, refused_bundles, read_installed }
    }

    /// What was to be compiled on this host before a start, in vain: its module, if there is an old one, isn't good.
    pub(crate) fn not_compiled(&mut self, failed: &BTreeMap<ScriptName, String>) {
        for (script, reason) in failed {
            let refusal = StartRefusal::NotCompiled { reason: reason.clone() };
            let candidate = self.candidates.entry(script.clone()).or_insert_with(|| Candidate {
                name: script.clone(),
                origin: Origin::NotCompiled,
                run: Vec::new(),
                options_from: None,
                requires: Vec::new(),
                other_program: None,
                cell: Ok(()),
            });
            if candidate.bundle().is_none() {
                candidate.cell = Err(refusal);
            }
        }
    }

    pub(crate) const fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    pub(crate) fn get(&self, script: &ScriptName) -> Option<&Candidate> {
        self.candidates.get(script)
    }

    /// Installed bundles that aren't believed, by name.
    pub(crate) fn refused_bundles(&self) -> &[LeftOutBundle] {
        &self.refused_bundles
    }

    /// The ids of all bundles that offer anything.
    pub(crate) fn bundle_ids(&self) -> BTreeSet<String> {
        let id = |candidate: &Candidate| match &candidate.origin {
            Origin::Bundle(signed) => Some(signed.bundle.id.to_string()),
            // Only that there is one is known.
            Origin::RefusedBundle(_) => Some(String::new()),
            // It changes with every compile; a culprit must not come back by it.
            Origin::Local(_) | Origin::NotCompiled => None,
        };
        self.candidates.values().filter_map(id).collect()
    }

    /// Reads and verifies the module of a script that has one.
    pub(crate) fn read(&self, candidate: &Candidate) -> Result<VerifiedModule, StartRefusal> {
        match &candidate.origin {
            Origin::Local(LocalRecord::Good(record)) => {
                Ok(VerifiedModule::vouched_for(record.read_module(self.host)?, record.sha256))
            }
            _ => (self.read_installed)(&candidate.name),
        }
    }
}
