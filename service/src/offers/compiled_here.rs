//! What was compiled or adopted on this host: candidates behind those of the bundles. In cache-only mode, modules that came as files
//! are scripts too (INIT-LIST-01): without a record each is refused.

use std::io;

use bundle_format::Digest;
use installer::HostIdentity;

use crate::host::Host;
use crate::local::{LocalModule, LocalRecord, MAX_SCRIPT, in_cache};
use crate::offers::candidate::{Candidate, Candidates, Origin};
use crate::reasons::StartRefusal;
use files::with_causes;

/// Adds every script that has a record and that no bundle offers. Reads each record, and each script that has one, once.
pub(crate) fn add(host: &Host, identity: &HostIdentity, candidates: &mut Candidates) {
    let Some(release) = &identity.release else { return };
    // What can't be listed isn't there for a start, which takes nothing of it.
    let files = if host.cache_only { in_cache(host, release).unwrap_or_default() } else { Vec::new() };
    let absent = files.into_iter().map(|script| {
        let module = LocalModule::module_path(host, release, &script);
        LocalRecord::Absent { script, module }
    });
    for record in LocalRecord::read_all(host, release).into_iter().chain(absent) {
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
        LocalRecord::Absent { module, .. } => {
            (Vec::new(), Vec::new(), Err(StartRefusal::NotAdopted { module: module.clone() }))
        }
    };
    Candidate {
        name,
        origin: Origin::Local(record),
        run,
        options_from: None,
        requires,
        other_program: None,
        cell,
    }
}

/// Whether it was compiled for this very kernel, of the script as it is now.
fn fits(host: &Host, identity: &HostIdentity, record: &LocalModule) -> Result<(), StartRefusal> {
    match (&record.uname_v, &identity.version) {
        (Some(built), Some(runs)) if built != runs => {
            let release = &record.release;
            let detail = format!("it is for the build {built} of kernel {release}, this host runs {runs}");
            Err(StartRefusal::LocalOutdated { detail })
        }
        _ => fresh(host, record),
    }
}

/// A script that is on this host must still be the one that was compiled; one that is not was brought as a module.
fn fresh(host: &Host, record: &LocalModule) -> Result<(), StartRefusal> {
    let script = host.script_dir.join(format!("{}.stp", record.script));
    let outdated =
        |what: String| Err(StartRefusal::LocalOutdated { detail: format!("{} {what}", script.display()) });
    match host.files.read_file(&script, MAX_SCRIPT) {
        Ok(text) => match record.source_sha256 {
            Some(of_record) if of_record == Digest::of(&text) => Ok(()),
            Some(_) => outdated("has changed since".to_owned()),
            None => outdated("has come since".to_owned()),
        },
        // Who may not read it starts nothing either.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            Ok(())
        }
        Err(error) => outdated(format!("can't be compared: {}", with_causes(&error))),
    }
}
