//! `inspect`: what is in a bundle, and who says so.

pub(crate) mod contents;

use std::collections::BTreeSet;

use bundle_format::{Extent, KeyId};
use contents::{Presence, Seen};
use kernel_module::KeyCertificate;
use serde_json::json;

use crate::bundle_path::BundlePath;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::trust_options::{TrustOptions, open_raw};
use crate::ui::{Mark, Ui};
use crate::words::bytes;

/// Show what is in a bundle
///
/// With a key (--key, --trust or this host's pins) the signed manifest is shown, and how many of its frames the file has;
/// `verify` also reads them. Without one, only sizes and the ids of the keys that claim to have signed; --unverified shows
/// everything, as somebody claims it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: BundlePath,
    /// Show the content without any proof of who wrote it.
    #[arg(long, conflicts_with_all = ["key", "trust"])]
    unverified: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let raw = open_raw(&self.file)?;
        let claimed = raw.claimed_signers();
        let about = |error| Failure::from(error).about(self.file.display());
        if self.unverified {
            let manifest = raw.unverified_manifest().map_err(about)?.0;
            return self.show(
                ui,
                &Seen {
                    id: raw.claimed_id(),
                    manifest: &manifest,
                    signers: &claimed,
                    judge: None,
                    domain: None,
                    present: Presence::Unknown,
                    module_keys: Vec::new(),
                },
            );
        }
        // Keys that were named must fit; this host's pins are used if they do.
        let keys = match self.trust.keys(&[&self.file], global, ui) {
            Ok(keys) => keys,
            Err(failure) if self.trust.is_given() => return Err(failure),
            Err(_) => return self.show_sizes(ui, &claimed, raw.manifest_len()),
        };
        let (mut bundle, domain) = keys.verify(raw).map_err(|failure| failure.about(self.file.display()))?;
        let manifest = bundle.manifest().clone();
        let id = bundle.id();
        let signers = bundle.signers().to_vec();
        let judge = bundle.judge().clone();
        let mut module_keys = Vec::new();
        let present = bundle.take_module_certificates().and_then(|certificates| {
            module_keys = certificates.values().filter_map(|der| KeyCertificate::read(der)).collect();
            bundle.read_content(&BTreeSet::new(), Extent::Wanted, &mut |_, _| Ok(()))
        });
        let present = match present {
            Ok(present) => Presence::Known(present),
            Err(error) => Presence::Damaged(Failure::from(error).one_line()),
        };
        self.show(
            ui,
            &Seen {
                id,
                manifest: &manifest,
                signers: &signers,
                judge: Some(&judge),
                domain,
                present,
                module_keys,
            },
        )
    }

    fn show_sizes(&self, ui: &mut Ui, signers: &[KeyId], manifest: usize) -> Result<Exit, Failure> {
        let size = self.size()?;
        let ids: Vec<String> = signers.iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document_of("inspect-unverified", &json!({
                "file": self.file, "verified": false, "bytes": size, "manifest_bytes": manifest, "claimed_signers": ids
            }));
            return Ok(Exit::Done);
        }
        let mark = ui.mark(Mark::Attention, "NOT VERIFIED");
        ui.line(format!("{mark}: no key was given and this host pins none"));
        let shown = size.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        ui.line(format!("  file              {}{shown}", self.file.display()));
        ui.line(format!("  manifest          {}", bytes(manifest as u64)));
        for id in ids {
            ui.line(format!("  claims a signer   {id}"));
        }
        ui.progress("To see the content: --key NAME.pub, or --unverified.");
        Ok(Exit::Done)
    }

    fn show(&self, ui: &mut Ui, seen: &Seen<'_>) -> Result<Exit, Failure> {
        seen.show(ui, &self.file, self.size()?);
        Ok(Exit::Done)
    }

    /// Bytes of the file; a pipe has none.
    fn size(&self) -> Result<Option<u64>, Failure> {
        if self.file.is_input() {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(self.file.display());
        Ok(Some(self.file.metadata().map_err(failed)?.len()))
    }
}
