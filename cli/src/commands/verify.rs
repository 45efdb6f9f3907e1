//! `verify`: does a bundle hold what a trusted farm signed?

use std::collections::BTreeSet;
use std::path::PathBuf;

use bundle_format::Extent;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::trust_options::{TrustOptions, open_verified};
use crate::ui::{Mark, Ui};
use crate::words::{count, date};

/// Verify signatures and every byte of a bundle
///
/// Checks the signatures over the manifest, every header, and the digest of every frame. With --deep the frames
/// are decoded too and each module is compared with its digest.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bundle.
    file: PathBuf,
    /// Decode all frames and check every module.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let bundle = open_verified(&self.file, &self.trust.keys(global, ui)?)?;
        let manifest = bundle.manifest().clone();
        let (id, signers) = (bundle.id(), bundle.signers().to_vec());
        let kernels = manifest.kernels.iter().map(|kernel| kernel.id);
        let wanted: BTreeSet<_> = if self.deep { kernels.collect() } else { BTreeSet::new() };
        let mut modules = 0;
        let present = bundle
            .read_content(&wanted, Extent::Everything, &mut |_, set| {
                modules += set.modules().count();
                Ok(())
            })
            .map_err(|error| Failure::from(error).about(self.file.display()))?;
        if ui.json {
            let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
            ui.document(&json!({
                "file": self.file, "bundle_id": id, "name": manifest.name, "version": manifest.version,
                "signed_by": signers, "frames_present": present.present, "frames": present.total,
                "modules_checked": self.deep.then_some(modules),
            }));
            return Ok(Exit::Done);
        }
        let good = ui.mark(Mark::Good, "verified");
        ui.line(format!("{good}: {} {} of {}", manifest.name, manifest.version, date(manifest.created)));
        ui.line(format!("  bundle id  {id}"));
        for signer in signers {
            ui.line(format!("  signed by  {signer}"));
        }
        ui.line(format!("  frames     present {} of {}", present.present, present.total));
        if self.deep {
            ui.line(format!("  modules    {} decoded and compared", count(modules, "module")));
        }
        Ok(Exit::Done)
    }
}
