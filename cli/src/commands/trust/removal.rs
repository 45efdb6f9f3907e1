//! `trust remove`: a key or a domain goes; the last of what is believed only if that is said.

use std::time::Duration;

use installer::{Domain, DomainTrust, TrustStore};
use serde_json::json;

use crate::commands::trust::domains::{Installed, reconcile, taken_json, tell_taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::{self, in_domain, open_root, open_trust, trust_failure};
use crate::ui::Ui;

/// Removes a key, or without one a domain.
pub(super) fn run(
    id: Option<&str>,
    domain: Option<&Domain>,
    yes: bool,
    wait: Duration,
    global: &Global,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    if !yes {
        refuse_last(id, domain, global)?;
    }
    match id {
        Some(id) => remove(id, domain, wait, global, ui),
        None => remove_domain(&domain.cloned().unwrap_or_default(), wait, global, ui),
    }
}

/// Refuses to take away the last of what is believed. A key goes alone, without one a whole domain goes.
fn refuse_last(id: Option<&str>, domain: Option<&Domain>, global: &Global) -> Result<(), Failure> {
    let store = TrustStore::open(&open_root(global)?).map_err(|error| trust_failure(&error))?;
    let what = match id {
        Some(id) => last_key(&store, id, domain),
        None => last_domain(&store, domain),
    };
    let Some(what) = what else { return Ok(()) };
    Err(Failure::new(Exit::Conflict, what)
        .hint("to believe another key instead, pin it first: stap-bundle trust add NAME.pub")
        .hint("if that is meant: the same command with --yes"))
}

/// In words, if the key that `id` names is all that its domain believes.
fn last_key(store: &TrustStore, id: &str, domain: Option<&Domain>) -> Option<String> {
    let chosen = |trust: &&DomainTrust| domain.is_none_or(|domain| trust.domain() == domain);
    let has = |trust: &&DomainTrust| trust.keys().iter().any(|key| key.id().to_string().starts_with(id));
    let mut found = store.domains().iter().filter(chosen).filter(has);
    let trust = found.next().filter(|trust| trust.keys().len() == 1 && trust.chain().is_none())?;
    if found.next().is_some() {
        // Which one is meant isn't clear, and is asked for by the removal.
        return None;
    }
    let key = trust.keys().first()?.id().short();
    Some(format!(
        "key {key} is the last one that is believed{}: without it bundles are refused, installed ones too",
        in_domain(trust.domain())
    ))
}

/// In words, if no other domain believes anything.
fn last_domain(store: &TrustStore, domain: Option<&Domain>) -> Option<String> {
    let domain = domain.cloned().unwrap_or_default();
    let believes = |trust: &DomainTrust| !trust.keys().is_empty() || trust.chain().is_some();
    let others = store.domains().iter().filter(|trust| *trust.domain() != domain);
    let own = store.domains().iter().find(|trust| *trust.domain() == domain)?;
    (believes(own) && !others.into_iter().any(believes)).then(|| {
        format!("no domain but {domain} believes any key: without it bundles are refused, installed ones too")
    })
}

fn remove(
    id: &str,
    domain: Option<&Domain>,
    wait: Duration,
    global: &Global,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let root = open_root(global)?;
    let mut store = open_trust(global, ui)?;
    let removed = store.remove_from(&root, domain, id, host::now(global), wait);
    let removed = removed.map_err(|error| trust_failure(&error))?;
    host::tell_history(ui, removed.history.as_ref());
    // What only this key signed must not stay where stock tools would start it; if it does, that is no success.
    let exit = reconcile(&[], global, ui)?;
    if ui.json {
        ui.document(&json!({ "removed": removed.key.to_string(), "domain": removed.domain }));
        return Ok(exit);
    }
    ui.line(format!("removed{}: key {}", host::in_domain(&removed.domain), removed.key));
    let trust = store.domain(&removed.domain).map_err(|error| trust_failure(&error))?;
    ui.progress(if trust.has_accepted_chain() {
        "Bundles that this pin let in before there were roots are refused from now on; what a root let in stays."
    } else {
        "Bundles that only this key signed are refused from now on, installed ones too."
    });
    Ok(exit)
}

fn remove_domain(domain: &Domain, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let root = open_root(global)?;
    let before = Installed::on(&root);
    let unwritten = TrustStore::remove_domain(&root, domain, host::now(global), wait);
    let unwritten = unwritten.map_err(|error| trust_failure(&error))?;
    host::tell_history(ui, unwritten.as_ref());
    let taken = before.taken(&root);
    let exit = reconcile(&taken, global, ui)?;
    tell_taken(ui, &taken);
    if ui.json {
        ui.document_of(
            "trust-remove-domain",
            &json!({ "removed_domain": domain, "taken": taken_json(&taken) }),
        );
        return Ok(exit);
    }
    if domain.is_default() {
        ui.line("removed: the pins and the chain of domain default");
        ui.progress("What they let in is refused from now on, installed bundles too. To believe a farm again: stap-bundle trust add NAME.pub.");
    } else {
        ui.line(format!("removed: domain {domain}, with its pins and its chain"));
        ui.progress(
            "The names that it owned are those of default again, and only keys of default sign them.",
        );
    }
    Ok(exit)
}
