//! `verify`: does a bundle hold what a trusted farm signed, and what of it is still good?

use bundle_format::{
    BundleError, BundleId, CheckReport, Depth, Judge, Kernel, KernelId, KernelState, KeyId, Manifest,
};
use serde_json::json;

use crate::bundle_path::{BundlePath, a_file};
use crate::exit::Exit;
use crate::failure::{Failure, bundle_exit};
use crate::global::Global;
use crate::trust_options::{TrustOptions, judged_by, judged_by_document, open_base, open_raw};
use crate::ui::{Mark, Ui};
use crate::words::{best_before, count, date, has_passed};

/// Verify signatures and every byte of a bundle
///
/// Checks the signatures over the manifest, then every header and the digest of every member. With --deep the frames are
/// decoded too and each module is compared with its digest. All problems are told, each with an identifier that section
/// 17 of docs/bundle-spec.md explains, and then which kernels are still good: `subset` can save those. A file that lacks
/// frames (a subset) has no problem: it says "present 3 of 300".
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is good; 17 --deep could not decode a delta for want of --base; 10 not signed by a trusted key; 11 damaged or malformed; 14 can't be read.\n\nExamples:\n  stap-bundle verify scripts.stapb --key farm.pub\n  stap-bundle --json verify scripts.stapb --deep | jq '.problems[]?.id, .error?.id'"
)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: BundlePath,
    /// Decode all frames and check every module.
    #[arg(long)]
    deep: bool,
    /// The full bundle that this delta was made from, so that --deep can look into all of it.
    #[arg(long, value_name = "FILE", value_parser = a_file, requires = "deep")]
    base: Option<std::path::PathBuf>,
    #[command(flatten)]
    trust: TrustOptions,
}

/// Which bundle it is, and who says so.
struct Who {
    id: BundleId,
    signers: Vec<KeyId>,
    judge: Judge,
    /// The host's domain that owns its name; `None` where keys were given.
    domain: Option<String>,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let keys = self.trust.keys(&[&self.file], global, ui)?;
        // Nothing can be looked for behind a problem that comes before the signatures hold: it is the only one.
        let verified = open_raw(&self.file)
            .and_then(|raw| keys.verify(raw).map_err(|failure| failure.about(self.file.display())));
        let (bundle, domain) = verified.map_err(|mut failure| {
            if let Some(id) = &failure.id {
                failure.what = format!("{} [{id}]", failure.what);
            }
            failure
        })?;
        let mut bases = open_base(self.base.as_deref(), bundle.manifest().from.as_ref())?;
        let manifest = bundle.manifest().clone();
        let who = Who {
            id: bundle.id(),
            signers: bundle.signers().to_vec(),
            judge: bundle.judge().clone(),
            domain,
        };
        let depth = if self.deep { Depth::Modules } else { Depth::Digests };
        let report = bundle
            .check_with(depth, bases.as_mut())
            .map_err(|error| Failure::from(error).about(self.file.display()))?;
        if ui.json {
            ui.document(&self.document(&manifest, &who, &report));
        } else if report.problems.is_empty() {
            self.show_good(ui, &manifest, &who, &report);
        } else {
            self.show_damaged(ui, &manifest, &report);
        }
        let unseen = if self.deep && report.undecoded > 0 { Exit::Missing } else { Exit::Done };
        Ok(report.problems.first().map_or(unseen, bundle_exit))
    }

    fn document(&self, manifest: &Manifest, who: &Who, report: &CheckReport) -> serde_json::Value {
        let signers: Vec<String> = who.signers.iter().map(ToString::to_string).collect();
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({ "id": problem.id().as_str(), "what": in_words(problem) }))
            .collect();
        let kernels: Vec<_> = report
            .kernels
            .iter()
            .filter_map(|(id, state)| {
                let kernel = kernel(manifest, id)?;
                Some(json!({ "id": id, "release": kernel.release, "state": state }))
            })
            .collect();
        json!({
            "file": self.file, "good": report.problems.is_empty() && !(self.deep && report.undecoded > 0), "bundle_id": who.id, "name": manifest.name,
            "version": manifest.version, "signed_by": signers, "domain": who.domain, "judged_by": judged_by_document(&who.judge),
            "frames_present": report.present.present,
            "frames": report.present.total, "frames_undecoded": report.undecoded,
            "delta_of": manifest.from, "modules_checked": self.deep.then_some(report.modules),
            "best_before": manifest.best_before, "expired": manifest.best_before.is_some_and(has_passed),
            "problems": problems, "kernels": kernels,
        })
    }

    fn show_good(&self, ui: &mut Ui, manifest: &Manifest, who: &Who, report: &CheckReport) {
        // A delta alone can't be called verified as a whole (section 9.4).
        let heading = if report.undecoded > 0 {
            ui.mark(Mark::Attention, "signatures and digests verified, not decoded")
        } else {
            ui.mark(Mark::Good, "verified")
        };
        ui.line(format!("{heading}: {} {} of {}", manifest.name, manifest.version, date(manifest.created)));
        ui.line(format!("  bundle id  {}", who.id));
        for signer in &who.signers {
            ui.line(format!("  signed by  {signer}"));
        }
        if let Some(domain) = who.domain.as_ref().filter(|domain| *domain != "default") {
            ui.line(format!("  in domain  {domain}"));
        }
        if let Some(root) = judged_by(&who.judge) {
            ui.line(format!("  judged by  {root}"));
        }
        if let Some(seconds) = manifest.best_before {
            ui.line(best_before(seconds));
        }
        ui.line(format!("  frames     present {} of {}", report.present.present, report.present.total));
        let absent: Vec<&str> = report
            .kernels
            .iter()
            .filter(|(_, state)| *state == KernelState::Absent)
            .filter_map(|(id, _)| Some(kernel(manifest, id)?.release.as_str()))
            .collect();
        if !absent.is_empty() {
            ui.line(format!("  absent     {}", absent.join(" ")));
        }
        if self.deep {
            ui.line(format!("  modules    {} decoded and compared", count(report.modules, "module")));
        }
        if let Some(from) = &manifest.from {
            ui.line(format!("  delta of   version {} (bundle id {})", from.version, from.id));
        }
        if report.undecoded > 0 {
            let frames = count(report.undecoded, "frame");
            ui.line(format!(
                "  not looked into: {frames} that need{} that bundle: --deep --base FILE",
                if report.undecoded == 1 { "s" } else { "" }
            ));
        }
    }

    fn show_damaged(&self, ui: &mut Ui, manifest: &Manifest, report: &CheckReport) {
        let heading = ui.mark(Mark::Bad, count(report.problems.len(), "problem"));
        ui.finding(format!(
            "{}: {heading}; the signature of {} {} is good",
            self.file.display(),
            manifest.name,
            manifest.version
        ));
        for problem in &report.problems {
            ui.finding(format!("  {}: {}", ui.mark(Mark::Bad, problem.id()), in_words(problem)));
        }
        ui.line(format!("  frames     present {} of {}", report.present.present, report.present.total));
        let of = |state: KernelState| -> Vec<&Kernel> {
            let kernels = report.kernels.iter().filter(|(_, found)| *found == state);
            kernels.filter_map(|(id, _)| kernel(manifest, id)).collect()
        };
        for (state, words) in [
            (KernelState::Damaged, "damaged    "),
            (KernelState::Absent, "absent     "),
            (KernelState::Undecoded, "undecoded  "),
            (KernelState::Good, "still good "),
        ] {
            let releases: Vec<&str> = of(state).iter().map(|kernel| kernel.release.as_str()).collect();
            if !releases.is_empty() {
                ui.line(format!("  {words}{}", releases.join(" ")));
            }
        }
        ui.progress("Copy the bundle again from where it was built.");
        // An extra is part of every subset, and a release that occurs twice is taken or left as one.
        let extras_good = report.problems.iter().all(|problem| !problem.id().as_str().starts_with("extra"));
        let good = of(KernelState::Good);
        if extras_good && !good.is_empty() && !of(KernelState::Damaged).is_empty() {
            let kernels: Vec<String> = good.iter().map(|kernel| format!("-r {}", kernel.release)).collect();
            ui.progress(format!(
                "Or save what is good: stap-bundle subset {} {} -o FILE",
                self.file.display(),
                kernels.join(" ")
            ));
        }
    }
}

fn kernel<'m>(manifest: &'m Manifest, id: &KernelId) -> Option<&'m Kernel> {
    manifest.kernels.iter().find(|kernel| kernel.id == *id)
}

/// A problem with its causes on one line.
fn in_words(problem: &BundleError) -> String {
    Failure::of(Exit::Malformed, problem).one_line()
}
