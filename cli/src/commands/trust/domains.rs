//! Domains of a host in words: which names each owns, and what a change means for bundles that are installed.

use std::collections::BTreeMap;

use bundle_format::RootChain;
use files::FileSystem;
use installer::{CurrentGeneration, Domain, DomainTrust, TrustStore};
use serde_json::{Value, json};

use crate::commands::trust::display;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host;
use crate::ui::Ui;

/// The domains that a command is about: the one that is named, or all.
pub(super) fn chosen<'s>(
    store: &'s TrustStore,
    domain: Option<&Domain>,
) -> Result<Vec<&'s DomainTrust>, Failure> {
    match domain {
        Some(domain) => Ok(vec![store.domain(domain).map_err(|error| host::trust_failure(&error))?]),
        None => Ok(store.domains().iter().collect()),
    }
}

/// A line above what is said of a domain, where the host has several.
pub(super) fn heading(ui: &mut Ui, store: &TrustStore, trust: &DomainTrust) {
    if store.domains().len() > 1 {
        ui.line(format!("domain {}, which owns {}", trust.domain(), owned(trust)));
    }
}

fn owned(trust: &DomainTrust) -> String {
    if trust.domain().is_default() {
        return "what no other domain owns".to_owned();
    }
    let patterns: Vec<String> = trust.bundles().iter().map(ToString::to_string).collect();
    patterns.join(", ")
}

/// The chain that rules, in a sentence.
pub(super) fn ruling(trust: &DomainTrust, chain: &RootChain) -> String {
    let name = &chain.newest().document().name;
    let version = chain.newest().version();
    let how = if trust.has_accepted_chain() { "accepted" } else { "pinned" };
    format!("root {version} of chain {name} ({how})")
}

/// All of a domain.
pub(super) fn as_json(trust: &DomainTrust) -> Value {
    json!({ "domain": trust.domain(), "bundles": trust.bundles(), "keys": key_ids(trust), "chain": chain_json(trust) })
}

pub(super) fn key_ids(trust: &DomainTrust) -> Vec<String> {
    trust.keys().iter().map(|key| key.id().to_string()).collect()
}

pub(super) fn chain_json(trust: &DomainTrust) -> Option<Value> {
    let newest = trust.chain()?.newest();
    let mut shown = display::json(newest.document(), &newest.signers());
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("accepted".to_owned(), json!(trust.has_accepted_chain()));
    }
    Some(shown)
}

/// Which domain owns what is installed. Where that can't be read, nothing is known to be.
pub(super) struct Installed(BTreeMap<String, Domain>);

/// An installed bundle that has changed its domain.
pub(super) struct Taken {
    name: String,
    from: Domain,
    to: Domain,
    /// Why it is refused from now on; `None` where the new domain's keys signed it too.
    refused: Option<String>,
}

impl Installed {
    pub(super) fn on(root: &FileSystem) -> Self {
        let Ok(Some(current)) = CurrentGeneration::open(root) else { return Self(BTreeMap::new()) };
        let believed =
            current.bundles().iter().map(|bundle| (bundle.name.to_string(), bundle.domain.clone()));
        let refused =
            current.refused_bundles().iter().map(|bundle| (bundle.name.clone(), bundle.domain.clone()));
        Self(believed.chain(refused).collect())
    }

    /// What changed its domain since then.
    pub(super) fn taken(self, root: &FileSystem) -> Vec<Taken> {
        let now = Self::on(root);
        let current = CurrentGeneration::open(root).ok().flatten();
        let refused = |name: &str| {
            let mut all = current.iter().flat_map(CurrentGeneration::refused_bundles);
            all.find(|bundle| bundle.name == name).map(|bundle| bundle.reason.clone())
        };
        let moved = self.0.into_iter().filter_map(|(name, from)| {
            let to = now.0.get(&name).filter(|to| **to != from)?.clone();
            Some(Taken { refused: refused(&name), name, from, to })
        });
        moved.collect()
    }
}

/// Installed bundles are judged again, so links and options for the initscript may come or go. What is said of bundles that have
/// changed their domain isn't said twice.
pub(super) fn reconcile(taken: &[Taken], global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let root = host::open_root(global)?;
    let identity = host::identity(global, &root)?;
    let mut compat = installer::reconcile(&root, &identity);
    if let Ok(report) = &mut compat {
        report.warnings.retain(|warning| {
            !taken.iter().any(|taken| warning.starts_with(&format!("bundle {} is refused: ", taken.name)))
        });
    }
    Ok(host::tell_compat(ui, &compat))
}

/// Names the installed bundles that changed their domain.
pub(super) fn tell_taken(ui: &mut Ui, taken: &[Taken]) {
    for Taken { name, from, to, refused } in taken {
        ui.warning(match refused {
            Some(reason) => {
                format!("installed bundle {name} goes from domain {from} to {to} and is refused from now on: {reason}")
            }
            None => format!("installed bundle {name} goes from domain {from} to {to}, whose keys signed it too"),
        });
    }
}

pub(super) fn taken_json(taken: &[Taken]) -> Vec<Value> {
    let of = |taken: &Taken| json!({ "bundle": taken.name, "from": taken.from, "to": taken.to, "refused": taken.refused });
    taken.iter().map(of).collect()
}
