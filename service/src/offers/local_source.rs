//! What was compiled on this host, as a source of offers behind the bundles.

use std::collections::BTreeMap;
use std::io;

use bundle_format::{Digest, limits};
use installer::HostIdentity;
use script_config::ScriptName;

use crate::host::Host;
use crate::local::{LocalModule, LocalRecord};
use crate::offers::offer::{CompiledWith, Offer, OfferedBy, RefusedBundle, Source, VerifiedModule};
use crate::reasons::Refusal;

/// What `status` and records call the bundle of such a module.
const LOCAL: &str = "local";

/// Most bytes of a script that are read, as an install reads them.
const MAX_SCRIPT: u64 = limits::MAX_PLAIN_FRAME;

/// Another source, and behind it what was compiled here.
pub(crate) struct WithLocal<'s> {
    host: &'s Host,
    bundles: Box<dyn Source + 's>,
    local: BTreeMap<ScriptName, LocalModule>,
    offers: Vec<Offer>,
}

impl<'s> WithLocal<'s> {
    /// Reads every record, and every script that has one, once.
    pub(crate) fn new(host: &'s Host, identity: &HostIdentity, bundles: Box<dyn Source + 's>) -> Self {
        let mut local = BTreeMap::new();
        let mut offers: BTreeMap<ScriptName, Offer> =
            bundles.offers().iter().map(|offer| (offer.name.clone(), offer.clone())).collect();
        let records = identity.release.as_ref().map(|release| LocalRecord::read_all(host, release));
        for record in records.unwrap_or_default() {
            if offers.contains_key(record.script()) {
                continue;
            }
            match record {
                LocalRecord::Good(record) => {
                    offers.insert(record.script.clone(), offer(host, identity, &record));
                    local.insert(record.script.clone(), *record);
                }
                LocalRecord::Unprotected { script, why } => {
                    offers.insert(script.clone(), disbelieved(script, why));
                }
            }
        }
        Self { host, bundles, local, offers: offers.into_values().collect() }
    }
}

fn offer(host: &Host, identity: &HostIdentity, record: &LocalModule) -> Offer {
    let built = record.uname_v.as_ref().filter(|built| identity.version.as_ref() != Some(built));
    let cell = match built {
        Some(built) => Err(Refusal::LocalOutdated {
            detail: format!(
                "it is for the build {built} of kernel {}, this host runs {}",
                record.release,
                identity.version.as_deref().unwrap_or("another")
            ),
        }),
        None => fresh(host, record),
    };
    Offer {
        name: record.script.clone(),
        compiled_with: CompiledWith::Line(record.opts_line.clone()),
        run: record.run.clone(),
        options_from: None,
        requires: record.requires.clone(),
        bundle: OfferedBy {
            name: LOCAL.into(),
            version: record.compiled.to_string(),
            id: record.sha256.to_string(),
            generation: OfferedBy::NO_GENERATION,
        },
        vermagic: None,
        cell,
    }
}

/// A script that is on this host must still be the one that was compiled; one that is not was brought as a module.
fn fresh(host: &Host, record: &LocalModule) -> Result<(), Refusal> {
    let script = host.script_dir.join(format!("{}.stp", record.script));
    let outdated =
        |what: String| Err(Refusal::LocalOutdated { detail: format!("{} {what}", script.display()) });
    match host.files.read_file(&script, MAX_SCRIPT) {
        Ok(text) if Digest::of(&text) != record.source_sha256 => outdated("has changed since".to_owned()),
        Ok(_) => Ok(()),
        // Who may not read it starts nothing either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(())
        }
        Err(error) => outdated(format!("can't be compared: {}", crate::host::error_chain(&error))),
    }
}

/// A record that others could have written offers nothing, and says so.
fn disbelieved(script: ScriptName, why: String) -> Offer {
    Offer {
        name: script,
        compiled_with: CompiledWith::Line(String::new()),
        run: Vec::new(),
        options_from: None,
        requires: Vec::new(),
        bundle: OfferedBy {
            name: LOCAL.into(),
            version: String::new(),
            id: String::new(),
            generation: OfferedBy::NO_GENERATION,
        },
        vermagic: None,
        cell: Err(Refusal::LocalUnprotected { detail: why }),
    }
}

impl Source for WithLocal<'_> {
    fn offers(&self) -> &[Offer] {
        &self.offers
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        self.bundles.refused_bundles()
    }

    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal> {
        match self.local.get(&offer.name).filter(|_| offer.bundle.is_local()) {
            Some(record) => {
                let bytes = record.read_module(self.host)?;
                Ok(VerifiedModule::vouched_for(bytes, record.sha256.to_string()))
            }
            None => self.bundles.read(offer),
        }
    }
}
