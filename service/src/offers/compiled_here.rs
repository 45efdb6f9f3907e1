//! What was compiled on this host: candidates behind those of the bundles.

use std::io;

use bundle_format::{Digest, limits};
use installer::HostIdentity;

use crate::host::Host;
use crate::local::{LocalModule, LocalRecord};
use crate::offers::candidate::{Candidate, Candidates, Origin};
use crate::reasons::StartRefusal;
use files::with_causes;

/// Most bytes of a script that are read, as an install reads them.
const MAX_SCRIPT: u64 = limits::MAX_PLAIN_FRAME;

/// Adds every script that has a record and that no bundle offers. Reads each record, and each script that has one, once.
pub(crate) fn add(host: &Host, identity: &HostIdentity, candidates: &mut Candidates) {
    let records = identity.release.as_ref().map(|release| LocalRecord::read_all(host, release));
    for record in records.unwrap_or_default() {
        let name = record.script().clone();
        candidates.entry(name).or_insert_with(|| candidate(host, identity, record));
    }
}

fn candidate(host: &Host, identity: &HostIdentity, record: LocalRecord) -> Candidate {
    let name = record.script().clone();
    let (run, requires, cell) = match &record {
        LocalRecord::Good(good) => (good.run.clone(), good.requires.clone(), fits(host, identity, good)),
        // A record that others could have written offers nothing, and says so.
        LocalRecord::Unprotected { why, .. } => {
            (Vec::new(), Vec::new(), Err(StartRefusal::LocalUnprotected { detail: why.clone() }))
        }
        LocalRecord::Newer { path, why, .. } => {
            let detail = format!("{}: {why}", path.display());
            (Vec::new(), Vec::new(), Err(StartRefusal::LocalNewer { detail }))
        }
    };
    Candidate { name, origin: Origin::Local(record), run, options_from: None, requires, cell }
}

/// Whether it was compiled for this very kernel, of the script as it is now.
fn fits(host: &Host, identity: &HostIdentity, record: &LocalModule) -> Result<(), StartRefusal> {
    let built = record.uname_v.as_ref().filter(|built| identity.version.as_ref() != Some(built));
    let Some(built) = built else { return fresh(host, record) };
    let detail = format!(
        "it is for the build {built} of kernel {}, this host runs {}",
        record.release,
        identity.version.as_deref().unwrap_or("another")
    );
    Err(StartRefusal::LocalOutdated { detail })
}

/// A script that is on this host must still be the one that was compiled; one that is not was brought as a module.
fn fresh(host: &Host, record: &LocalModule) -> Result<(), StartRefusal> {
    let script = host.script_dir.join(format!("{}.stp", record.script));
    let outdated =
        |what: String| Err(StartRefusal::LocalOutdated { detail: format!("{} {what}", script.display()) });
    match host.files.read_file(&script, MAX_SCRIPT) {
        Ok(text) if Digest::of(&text) != record.source_sha256 => outdated("has changed since".to_owned()),
        Ok(_) => Ok(()),
        // Who may not read it starts nothing either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(())
        }
        Err(error) => outdated(format!("can't be compared: {}", with_causes(&error))),
    }
}
