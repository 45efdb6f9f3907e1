//! `trust` on a host: pins, and the accepted chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::RootChain;
use clap::Subcommand;
use installer::{RootsUpdate, TrustStore};
use serde_json::{Value, json};

use crate::commands::trust::display;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::{self, open_root, open_trust, trust_failure};
use crate::trust_options::{read_public_key, read_roots_file};
use crate::ui::{Mark, Ui};

#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Believe bundles signed by this key, or judged by this chain of roots
    ///
    /// Compare the key id that is printed with the one that the farm published: whoever holds that key can load kernel
    /// modules on this host. A farm with roots is believed by its chain from the first bundle on that brings one, or
    /// from now on if its file of roots is given here.
    Add {
        /// The farm's public key, or its file of roots.
        #[arg(value_name = "NAME.pub|FILE.stapr")]
        file: PathBuf,
        #[command(flatten)]
        lock: host::LockOptions,
    },
    /// List the pinned keys, and the chain of roots that rules
    List,
    /// Show the chain of roots that rules: its keys, threshold, epoch and what it revokes
    Show,
    /// Accept newer roots without a bundle: a revocation in haste
    Update {
        /// The farm's file of roots.
        #[arg(value_name = "FILE.stapr")]
        file: PathBuf,
        /// Say what would change, and write nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        lock: host::LockOptions,
    },
    /// Stop believing a key
    Remove {
        /// The key id, or its beginning.
        #[arg(value_name = "KEY-ID")]
        id: String,
        #[command(flatten)]
        lock: host::LockOptions,
    },
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Add { file, lock } => add(&file, lock.wait(), global, ui),
            Self::List => list(global, ui),
            Self::Show => show(global, ui),
            Self::Update { file, dry_run, lock } => update(&file, dry_run, lock.wait(), global, ui),
            Self::Remove { id, lock } => remove(&id, lock.wait(), global, ui),
        }
    }
}

/// Installed bundles are judged anew, so links and options for the initscript may come or go.
fn reconcile(global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let root = open_root(global)?;
    let identity = host::identity(global, &root)?;
    Ok(host::tell_compat(ui, &installer::reconcile(&root, &identity)))
}

fn add(file: &Path, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    if file.extension().is_some_and(|suffix| suffix == "stapr") {
        return add_root(file, wait, global, ui);
    }
    let key = read_public_key(file)?;
    let id = key.id();
    let root = open_root(global)?;
    let added = open_trust(global, ui)?.add(&root, key, host::now(global), wait);
    let added = added.map_err(|error| trust_failure(&error))?;
    host::tell_history(ui, added.history.as_ref());
    // A bundle that was refused for want of this key is believed again.
    if added.changed && host::current(&root)?.is_some() {
        reconcile(global, ui)?;
    }
    if ui.json {
        ui.document(&json!({ "key_id": id.to_string(), "added": added.changed }));
        return Ok(Exit::Done);
    }
    let what = if added.changed { "pinned" } else { "was pinned already" };
    ui.line(format!("{what}: key {id}"));
    ui.progress("Compare this id with the one that your farm published.");
    Ok(Exit::Done)
}

fn add_root(file: &Path, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let bytes = read_roots_file(file)?;
    let mut store = open_trust(global, ui)?;
    let about = |error| trust_failure(&error).about(file.display());
    let root = open_root(global)?;
    let added = store.add_root(&root, &bytes, host::now(global), wait).map_err(about)?;
    host::tell_history(ui, added.history.as_ref());
    if host::current(&root)?.is_some() {
        reconcile(global, ui)?;
    }
    let Some(newest) = store.chain().map(RootChain::newest) else { return Ok(Exit::Failed) };
    if ui.json {
        let shown = display::json(newest.document(), &newest.signers());
        ui.document(&json!({ "root": shown, "added": added.changed }));
        return Ok(Exit::Done);
    }
    let what = if added.changed { "pinned" } else { "was pinned already" };
    ui.line(format!("{what}: root {} of chain {}", newest.version(), newest.document().name));
    display::show(ui, newest.document(), &newest.signers());
    ui.progress("Compare these ids with those that your farm published.");
    Ok(Exit::Done)
}

/// The chain that rules, in a sentence.
fn ruling(store: &TrustStore, chain: &RootChain) -> String {
    let name = &chain.newest().document().name;
    let version = chain.newest().version();
    let how = if store.has_accepted_chain() { "accepted" } else { "pinned" };
    format!("root {version} of chain {name} ({how})")
}

fn list(global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_trust(global, ui)?;
    let ids: Vec<String> = store.list().iter().map(|key| key.id().to_string()).collect();
    if ui.json {
        ui.document(&json!({ "keys": ids, "chain": chain_json(&store) }));
        return Ok(Exit::Done);
    }
    match store.chain() {
        Some(chain) => {
            ui.line(ruling(&store, chain));
            if !ids.is_empty() {
                ui.progress("The pinned keys count only for what they let in before; `trust show` has the chain's keys.");
            }
        }
        None if ids.is_empty() => ui.progress("no key is pinned: no bundle can be installed"),
        None => {}
    }
    for id in ids {
        ui.line(id);
    }
    Ok(Exit::Done)
}

fn chain_json(store: &TrustStore) -> Option<Value> {
    let newest = store.chain()?.newest();
    let mut shown = display::json(newest.document(), &newest.signers());
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("accepted".to_owned(), json!(store.has_accepted_chain()));
    }
    Some(shown)
}

fn show(global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_trust(global, ui)?;
    if ui.json {
        let keys: Vec<String> = store.list().iter().map(|key| key.id().to_string()).collect();
        ui.document(&json!({ "keys": keys, "chain": chain_json(&store) }));
        return Ok(Exit::Done);
    }
    let Some(chain) = store.chain() else {
        ui.line("no chain of roots was accepted; any pinned key may sign alone");
        for key in store.list() {
            ui.line(format!("  {}", key.id()));
        }
        return Ok(Exit::Done);
    };
    ui.line(ruling(&store, chain));
    let newest = chain.newest();
    display::show(ui, newest.document(), &newest.signers());
    Ok(Exit::Done)
}

fn update(file: &Path, dry_run: bool, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let bytes = read_roots_file(file)?;
    let root = open_root(global)?;
    let mut store = open_trust(global, ui)?;
    if store.trusted_keys().is_empty() {
        return Err(Failure::new(Exit::Trust, "this host pins no key, so no root can be believed")
            .hint("pin one: stap-bundle trust add NAME.pub, or trust add FILE.stapr"));
    }
    let changed = store.update(&root, &bytes, host::now(global), wait, dry_run);
    let changed = changed.map_err(|error| trust_failure(&error).about(file.display()))?;
    let Some(RootsUpdate { from, chain, history }) = changed else {
        let version = store.chain().map_or(0, |chain| chain.newest().version());
        if ui.json {
            ui.document(&json!({ "from": version, "to": version, "changed": false }));
        } else {
            ui.line(format!("nothing new: root {version} rules already"));
        }
        return Ok(Exit::Done);
    };
    host::tell_history(ui, history.as_ref());
    if !dry_run && host::current(&root)?.is_some() {
        reconcile(global, ui)?;
    }
    let newest = chain.newest();
    if ui.json {
        let shown = display::json(newest.document(), &newest.signers());
        ui.document(&json!({ "from": from, "to": newest.version(), "changed": !dry_run, "root": shown }));
        return Ok(Exit::Done);
    }
    let what = ui.mark(Mark::Good, if dry_run { "would be accepted" } else { "accepted" });
    let after = if from == 0 { String::new() } else { format!(", after root {from}") };
    ui.line(format!("{what}: root {} of chain {}{after}", newest.version(), newest.document().name));
    display::show(ui, newest.document(), &newest.signers());
    Ok(Exit::Done)
}

fn remove(id: &str, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let root = open_root(global)?;
    let mut store = open_trust(global, ui)?;
    let removed = store.remove(&root, id, host::now(global), wait).map_err(|error| trust_failure(&error))?;
    host::tell_history(ui, removed.history.as_ref());
    // What only this key signed must not stay where stock tools would start it; if it does, that is no success.
    let exit = reconcile(global, ui)?;
    if ui.json {
        ui.document(&json!({ "removed": removed.key.to_string() }));
        return Ok(exit);
    }
    ui.line(format!("removed: key {}", removed.key));
    ui.progress(if store.has_accepted_chain() {
        "Bundles that this pin let in before there were roots are refused from now on; what a root let in stays."
    } else {
        "Bundles that only this key signed are refused from now on, installed ones too."
    });
    Ok(exit)
}
