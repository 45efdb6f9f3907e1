//! `trust`: which farms this host believes.

use std::path::PathBuf;

use clap::Subcommand;
use installer::PinChange;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::{self, open_root, open_trust, trust_failure};
use crate::trust_options::read_public_key;
use crate::ui::Ui;

/// Pin the keys of the farms that this host believes
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Believe bundles signed by this key
    ///
    /// Compare the key id that is printed with the one that the farm published: whoever holds that key can load kernel
    /// modules on this host.
    Add {
        /// The farm's public key.
        #[arg(value_name = "NAME.pub")]
        file: PathBuf,
    },
    /// List the pinned keys
    List,
    /// Stop believing a key
    Remove {
        /// The key id, or its beginning.
        #[arg(value_name = "KEY-ID")]
        id: String,
    },
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Add { file } => {
                let key = read_public_key(&file)?;
                let id = key.id();
                let change = open_trust(global, ui)?
                    .add(&open_root(global)?, key)
                    .map_err(|error| trust_failure(&error))?;
                // A bundle that was refused for want of this key is believed again.
                let root = open_root(global)?;
                let identity = host::identity(global, &root)?;
                if change == PinChange::Added && host::current(&root)?.is_some() {
                    host::tell_compat(ui, &installer::reconcile(&root, &identity));
                }
                if ui.json {
                    ui.document(&json!({ "key_id": id.to_string(), "added": change == PinChange::Added }));
                    return Ok(Exit::Done);
                }
                let what = if change == PinChange::Added { "pinned" } else { "was pinned already" };
                ui.line(format!("{what}: key {id}"));
                ui.progress("Compare this id with the one that your farm published.");
            }
            Self::List => {
                let store = open_trust(global, ui)?;
                let ids: Vec<String> = store.list().iter().map(|key| key.id().to_string()).collect();
                if ui.json {
                    ui.document(&json!({ "keys": ids }));
                } else if ids.is_empty() {
                    ui.progress("no key is pinned: no bundle can be installed");
                }
                if !ui.json {
                    for id in ids {
                        ui.line(id);
                    }
                }
            }
            Self::Remove { id } => {
                let root = open_root(global)?;
                let removed =
                    open_trust(global, ui)?.remove(&root, &id).map_err(|error| trust_failure(&error))?;
                // What only this key signed must not stay where stock tools would start it.
                let identity = host::identity(global, &root)?;
                host::tell_compat(ui, &installer::reconcile(&root, &identity));
                if ui.json {
                    ui.document(&json!({ "removed": removed.to_string() }));
                } else {
                    ui.line(format!("removed: key {removed}"));
                    ui.progress(
                        "Bundles that only this key signed are refused from now on, installed ones too.",
                    );
                }
            }
        }
        Ok(Exit::Done)
    }
}
