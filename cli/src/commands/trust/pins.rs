//! `trust` on a host: pins, and the accepted chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use installer::policy::Pattern;
use installer::{Domain, Pin, PinPlace, RootsUpdate, TrustStore};
use serde_json::json;

use crate::commands::trust::domains::{
    Installed, as_json, chain_json, chosen, heading, key_ids, reconcile, ruling, taken_json, tell_taken,
};
use crate::commands::trust::{display, removal};
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
    ///
    /// Where several teams bring bundles, each gets a domain: a key or chain signs only bundles whose names its domain owns.
    /// `default` owns what no other domain owns. A new domain takes its names, and what is installed of them, from `default`.
    #[command(
        after_help = "Examples:\n  stap-bundle trust add farm.pub\n  stap-bundle trust add team-a.pub --domain team-a --bundles 'team-a-*'"
    )]
    Add {
        /// The farm's public key, or its file of roots.
        #[arg(value_name = "NAME.pub|FILE.stapr")]
        file: PathBuf,
        /// Believe it in this domain, which is made if it isn't there.
        #[arg(long, value_name = "NAME", default_value_t)]
        domain: Domain,
        /// Names of bundles that the domain owns from now on, `*` for any characters; may be given several times. No name may
        /// be another domain's.
        #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
        bundles: Vec<Pattern>,
        #[command(flatten)]
        lock: host::LockOptions,
    },
    /// List the pinned keys, and the chain of roots that rules, by domain
    List,
    /// Show the chain of roots that rules: its keys, threshold, epoch and what it revokes
    Show {
        /// Only that of this domain.
        #[arg(long, value_name = "NAME")]
        domain: Option<Domain>,
    },
    /// Accept newer roots without a bundle: a revocation in haste
    Update {
        /// The farm's file of roots.
        #[arg(value_name = "FILE.stapr")]
        file: PathBuf,
        /// Accept them in this domain [default: the one whose keys or chain lead to them].
        #[arg(long, value_name = "NAME")]
        domain: Option<Domain>,
        /// Say what would change, and write nothing.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        lock: host::LockOptions,
    },
    /// Stop believing a key, or a whole domain
    ///
    /// Without KEY-ID the domain goes: its pins, its accepted chain of roots with all that it revokes, and what it owned, which is
    /// `default`'s again. Of `default` the pins and the chain go, so that another farm can be believed.
    #[command(group = clap::ArgGroup::new("what").args(["id", "domain"]).required(true).multiple(true))]
    Remove {
        /// The key id, or its beginning.
        #[arg(value_name = "KEY-ID")]
        id: Option<String>,
        /// Of this domain only.
        #[arg(long, value_name = "NAME")]
        domain: Option<Domain>,
        /// Also if nothing is believed any more then, neither what is installed nor what comes.
        #[arg(short = 'y', long)]
        yes: bool,
        #[command(flatten)]
        lock: host::LockOptions,
    },
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Add { file, domain, bundles, lock } => {
                add(&file, &PinPlace { domain, bundles }, lock.wait(), global, ui)
            }
            Self::List => list(global, ui),
            Self::Show { domain } => show(domain.as_ref(), global, ui),
            Self::Update { file, domain, dry_run, lock } => {
                update(&file, domain, dry_run, lock.wait(), global, ui)
            }
            Self::Remove { id, domain, yes, lock } => {
                removal::run(id.as_deref(), domain.as_ref(), yes, lock.wait(), global, ui)
            }
        }
    }
}

fn add(file: &Path, place: &PinPlace, wait: Duration, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let is_roots = file.extension().is_some_and(|suffix| suffix == "stapr");
    let pin = if is_roots { Pin::Roots(read_roots_file(file)?) } else { Pin::Key(read_public_key(file)?) };
    let root = open_root(global)?;
    let mut store = open_trust(global, ui)?;
    let before = Installed::on(&root);
    let added = store.add_to(&root, place, &pin, host::now(global), wait);
    let added = added.map_err(|error| match &pin {
        Pin::Key(_) => trust_failure(&error),
        Pin::Roots(_) => trust_failure(&error).about(file.display()),
    })?;
    host::tell_history(ui, added.history.as_ref());
    let taken = before.taken(&root);
    // A bundle that was refused for want of this key is believed again, or one changes its domain.
    if added.changed && host::current(&root)?.is_some() {
        reconcile(&taken, global, ui)?;
    }
    tell_taken(ui, &taken);
    let PinPlace { domain, .. } = place;
    let what = if added.changed { "pinned" } else { "was pinned already" };
    let whose = host::in_domain(domain);
    match &pin {
        Pin::Key(key) => {
            let id = key.id().to_string();
            if ui.json {
                let taken = taken_json(&taken);
                ui.document(
                    &json!({ "key_id": id, "domain": domain, "bundles": owned(&store, domain)?, "added": added.changed, "taken": taken }),
                );
                return Ok(Exit::Done);
            }
            ui.line(format!("{what}{whose}: key {id}"));
            tell_owned(ui, &store, domain)?;
            ui.progress("Compare this id with the one that your farm published.");
        }
        Pin::Roots(_) => {
            let trust = store.domain(domain).map_err(|error| trust_failure(&error))?;
            let Some(newest) = trust.chain().map(bundle_format::RootChain::newest) else {
                return Ok(Exit::Failed);
            };
            if ui.json {
                let shown = display::json(newest.document(), &newest.signers());
                let taken = taken_json(&taken);
                ui.document(
                    &json!({ "root": shown, "domain": domain, "bundles": owned(&store, domain)?, "added": added.changed, "taken": taken }),
                );
                return Ok(Exit::Done);
            }
            ui.line(format!("{what}{whose}: root {} of chain {}", newest.version(), newest.document().name));
            display::show(ui, newest.document(), &newest.signers());
            tell_owned(ui, &store, domain)?;
            ui.progress("Compare these ids with those that your farm published.");
        }
    }
    Ok(Exit::Done)
}

/// What a domain beside `default` owns.
fn tell_owned(ui: &mut Ui, store: &TrustStore, domain: &Domain) -> Result<(), Failure> {
    if !domain.is_default() {
        let owned = owned(store, domain)?.join(", ");
        ui.line(format!("  owns {owned}: only keys of this domain sign bundles of these names"));
    }
    Ok(())
}

/// The patterns of the names that a domain owns; none of `default`, which owns the rest.
fn owned(store: &TrustStore, domain: &Domain) -> Result<Vec<String>, Failure> {
    let trust = store.domain(domain).map_err(|error| trust_failure(&error))?;
    Ok(trust.bundles().iter().map(ToString::to_string).collect())
}

fn list(global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_trust(global, ui)?;
    if ui.json {
        all_as_json(ui, &store);
        return Ok(Exit::Done);
    }
    for trust in store.domains() {
        heading(ui, &store, trust);
        let ids = key_ids(trust);
        match trust.chain() {
            Some(chain) => {
                ui.line(ruling(trust, chain));
                if !ids.is_empty() {
                    ui.progress("The pinned keys count only for what they let in before; `trust show` has the chain's keys.");
                }
            }
            None if ids.is_empty() => {
                ui.progress(format!(
                    "no key is pinned{}: no bundle can be installed",
                    host::in_domain(trust.domain())
                ));
            }
            None => {}
        }
        for id in ids {
            ui.line(id);
        }
    }
    Ok(Exit::Done)
}

/// `default` as ever, and all domains.
fn all_as_json(ui: &mut Ui, store: &TrustStore) {
    let domains: Vec<_> = store.domains().iter().map(as_json).collect();
    let default = store.domains().first();
    ui.document(&json!({
        "keys": default.map(key_ids), "chain": default.and_then(chain_json), "domains": domains,
    }));
}

fn show(domain: Option<&Domain>, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_trust(global, ui)?;
    if ui.json {
        all_as_json(ui, &store);
        return Ok(Exit::Done);
    }
    for trust in chosen(&store, domain)? {
        heading(ui, &store, trust);
        let Some(chain) = trust.chain() else {
            ui.line("no chain of roots was accepted; any pinned key may sign alone");
            for key in trust.keys() {
                ui.line(format!("  {}", key.id()));
            }
            continue;
        };
        ui.line(ruling(trust, chain));
        let newest = chain.newest();
        display::show(ui, newest.document(), &newest.signers());
    }
    Ok(Exit::Done)
}

fn update(
    file: &Path,
    domain: Option<Domain>,
    dry_run: bool,
    wait: Duration,
    global: &Global,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let bytes = read_roots_file(file)?;
    let root = open_root(global)?;
    let mut store = open_trust(global, ui)?;
    if store.is_empty() {
        return Err(Failure::new(Exit::Trust, "this host pins no key, so no root can be believed")
            .hint("pin one: stap-bundle trust add NAME.pub, or trust add FILE.stapr"));
    }
    let about = |error| trust_failure(&error).about(file.display());
    let domain = domain.map_or_else(|| store.domain_of(&bytes), Ok).map_err(about)?;
    let changed = store.update(&root, &domain, &bytes, host::now(global), wait, dry_run).map_err(about)?;
    let whose = host::in_domain(&domain);
    let Some(RootsUpdate { from, chain, history, .. }) = changed else {
        let rules = store.domain(&domain).map_err(about)?.chain();
        let version = rules.map_or(0, |chain| chain.newest().version());
        if ui.json {
            ui.document(&json!({ "domain": domain, "from": version, "to": version, "changed": false }));
        } else {
            ui.line(format!("nothing new: root {version} rules already{whose}"));
        }
        return Ok(Exit::Done);
    };
    host::tell_history(ui, history.as_ref());
    if !dry_run && host::current(&root)?.is_some() {
        reconcile(&[], global, ui)?;
    }
    let newest = chain.newest();
    if ui.json {
        let shown = display::json(newest.document(), &newest.signers());
        ui.document(&json!({
            "domain": domain, "from": from, "to": newest.version(), "changed": !dry_run, "root": shown,
        }));
        return Ok(Exit::Done);
    }
    let what = ui.mark(Mark::Good, if dry_run { "would be accepted" } else { "accepted" });
    let after = if from == 0 { String::new() } else { format!(", after root {from}") };
    ui.line(format!("{what}{whose}: root {} of chain {}{after}", newest.version(), newest.document().name));
    display::show(ui, newest.document(), &newest.signers());
    Ok(Exit::Done)
}
