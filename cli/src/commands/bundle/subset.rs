//! `subset`: a smaller file with the same signatures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bundle_format::{KernelId, KernelRelease, Manifest};
use serde_json::json;

use crate::bundle_path::BundlePath;
use crate::commands::bundle::extract::select_kernels;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::kernel_lists;
use crate::output::{Kind, Outputs, ReplaceOption, in_words};
use crate::trust_options::{TrustOptions, open_believed};
use crate::ui::{Mark, Ui};
use crate::words::bytes;

/// Re-pack some kernels of a bundle, without a private key
///
/// The new file has the same signatures, manifest and extras, and so the same bundle id; of the modules it has those of
/// the kernels named and what their frames refer to, byte for byte. `verify` then says "present 2 of 300". `install`
/// takes it on hosts that need only what is in it. From a damaged bundle, `subset` saves the kernels that are still good.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle subset all.stapb -r 6.12.1-amd64 --key farm.pub -o web.stapb\n  stap-bundle verify all.stapb       # after a bad copy: says which kernels are still good"
)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: BundlePath,
    /// A kernel release to take; may be given several times.
    #[arg(short = 'r', long, value_name = "REL", required_unless_present = "list")]
    kernel: Vec<KernelRelease>,
    /// A site's list of kernels or hosts, as `build --kernels` reads it: takes those that the bundle has; may be given several times.
    #[arg(long = "for", value_name = "FILE")]
    list: Vec<PathBuf>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    replace: ReplaceOption,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        ui.leave_output_to(Some(&self.output))?;
        let bundle = open_believed(&self.file, &self.trust.keys(&[&self.file], global, ui)?)?;
        let wanted = self.wanted(bundle.manifest(), ui)?;
        let id = bundle.id();
        let path = &self.output;
        let mut outputs = Outputs::new(self.replace.replace);
        if !self.file.is_input() {
            outputs.input("the bundle", &self.file);
        }
        outputs.inputs("the key", &self.trust.key);
        let place = outputs.place("-o", path, Kind::of_bundle(bundle.manifest()))?;
        let (present, written) = place
            .write(|target| bundle.write_subset(&wanted, target))
            .map_err(|failure| about_source(failure, &self.file, &self.output))?;
        written.tell(ui, path);
        let size = written.bytes;
        if ui.json {
            ui.document(&json!({
                "bundle": path, "bytes": size, "bundle_id": id,
                "frames_present": present.present, "frames": present.total, "kernels": wanted,
            }));
            return Ok(Exit::Done);
        }
        let written = ui.mark(Mark::Strong, in_words(path).display());
        ui.line(format!(
            "{written}: {}, frames present {} of {}",
            bytes(size),
            present.present,
            present.total
        ));
        ui.line(format!("  bundle id  {id}"));
        Ok(Exit::Done)
    }
}

impl Args {
    /// The kernels named, and those of the lists that the bundle has; what it lacks is warned of.
    fn wanted(&self, manifest: &Manifest, ui: &mut Ui) -> Result<BTreeSet<KernelId>, Failure> {
        let mut releases = self.kernel.clone();
        for path in &self.list {
            let listed = kernel_lists::list(path, ui)?;
            let listed: BTreeSet<&str> = listed.iter().map(|listed| listed.kernel.as_str()).collect();
            let has = |name: &&&str| manifest.kernels.iter().any(|kernel| kernel.release.as_str() == **name);
            let (there, absent): (Vec<&str>, Vec<&str>) = listed.iter().partition(has);
            if !absent.is_empty() {
                ui.warning(format!("the bundle has nothing for {}", absent.join(", ")));
            }
            releases.extend(there.iter().filter_map(|name| name.parse().ok()));
        }
        releases.sort();
        releases.dedup();
        if releases.is_empty() {
            let what = format!("{}: no kernel of the lists is in it", self.file.display());
            return Err(Failure::new(Exit::DoesNotFit, what).hint("stap-bundle inspect shows its kernels"));
        }
        select_kernels(&self.file, manifest, &releases)
    }
}

/// What is wrong is wrong with the source, unless writing failed.
fn about_source(mut failure: Failure, source: &BundlePath, output: &Path) -> Failure {
    if failure.exit != Exit::Storage {
        let written = format!("{}: ", in_words(output).display());
        if let Some(what) = failure.what.strip_prefix(&written) {
            failure.what = format!("{}: {what}", source.display());
        }
    }
    failure
}
