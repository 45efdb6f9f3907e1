//! Packages for hosts that have the initscript and not this program (section 5.8 of its README).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{Extent, Kernel, KernelId, KernelRelease, Manifest, ScriptName, VerifiedSet};
use flate2::Compression;
use flate2::write::GzEncoder;
use script_config::write_assignment;
use serde_json::json;

use super::Args;
use crate::bundle_path::BundlePath;
use crate::commands::bundle::extract::{MadeDirectories, opts_text, select_kernels};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{Kind, OutputPlace, Outputs, Written};
use crate::trust_options::open_believed;
use crate::ui::Ui;
use crate::words::bytes;

impl Args {
    pub(super) fn tar_gz(&self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let bundle = open_believed(&self.file, &self.trust.keys(&[&self.file], global, ui)?)?;
        let wanted = select_kernels(&self.file, bundle.manifest(), &self.kernel)?;
        let manifest = bundle.manifest().clone();
        refuse_twins(&self.file, &manifest, &wanted)?;
        let made = MadeDirectories::make(&self.output).map_err(|error| {
            Failure::of(Exit::Storage, &error).about(format_args!("directory {}", self.output.display()))
        })?;
        let mut places = self.places(&manifest, &wanted)?;
        let mut needs_uprobes = false;
        let mut packages: Vec<(PathBuf, Package)> = Vec::new();
        bundle
            .read_content(&wanted, Extent::Wanted, &mut |kernel, set| {
                needs_uprobes |= set.uprobes().is_some();
                let path = self.path(kernel);
                if let Some(place) = places.remove(&path) {
                    packages.push((path.clone(), Package::new(place, &manifest, kernel)?));
                }
                for (_, package) in packages.iter_mut().filter(|(known, _)| *known == path) {
                    package.add(&manifest, kernel, set)?;
                }
                Ok(())
            })
            .map_err(|error| Failure::from(error).about(self.file.display()))?;
        if needs_uprobes {
            let what = format!("{}: it has uprobes.ko, for kernels before 3.5", self.file.display());
            return Err(Failure::new(Exit::NotBuilt, what)
                .hint("this version doesn't put that into packages; `extract` unpacks it"));
        }
        let mut written = Vec::new();
        let mut finished = Vec::new();
        for (path, package) in packages {
            let mut place = package.finish(&path)?;
            place.check()?;
            finished.push((path, place));
        }
        for (path, place) in finished {
            let done: Written = place.finish()?;
            done.tell(ui, &path);
            let size = done.bytes;
            written.push(json!({ "package": path, "bytes": size }));
            if !ui.json {
                ui.line(format!("{}: {}", path.display(), bytes(size)));
            }
        }
        made.keep();
        if ui.json {
            ui.document(&json!({ "packages": written }));
        } else {
            ui.progress("These packages carry no signature: a host that unpacks them checks nothing.");
        }
        Ok(Exit::Done)
    }

    fn path(&self, kernel: &Kernel) -> PathBuf {
        self.output.join(format!("stap-scripts-{}.tar.gz", kernel.release))
    }

    /// The places of all packages, judged before any is made.
    fn places(
        &self,
        manifest: &Manifest,
        wanted: &BTreeSet<KernelId>,
    ) -> Result<BTreeMap<PathBuf, OutputPlace>, Failure> {
        let mut outputs = Outputs::new(self.replace.replace);
        if !self.file.is_input() {
            outputs.input("the bundle", &self.file);
        }
        outputs.inputs("the key", &self.trust.key);
        let kernels = manifest.kernels.iter().filter(|kernel| wanted.contains(&kernel.id));
        let paths: BTreeSet<PathBuf> =
            kernels.filter(|kernel| !kernel.frames.is_empty()).map(|kernel| self.path(kernel)).collect();
        paths
            .into_iter()
            .map(|path| {
                let place = outputs.place("-o", &path, Kind::Package)?;
                Ok((path, place))
            })
            .collect()
    }
}

/// A package is called after its release, so two kernels of one release would mix in it.
fn refuse_twins(file: &BundlePath, manifest: &Manifest, wanted: &BTreeSet<KernelId>) -> Result<(), Failure> {
    let mut seen: BTreeMap<&KernelRelease, KernelId> = BTreeMap::new();
    for kernel in manifest.kernels.iter().filter(|kernel| wanted.contains(&kernel.id)) {
        if let Some(other) = seen.insert(&kernel.release, kernel.id) {
            let release = &kernel.release;
            let other = other.short();
            let id = kernel.id.short();
            let what = format!("{}: it has two kernels {release}, {other} and {id}", file.display());
            return Err(Failure::new(Exit::Conflict, what).hint(
                "a package is for one kernel; `extract` gives each its own directory, and -r leaves releases out",
            ));
        }
    }
    Ok(())
}

/// A package under way, under a temporary name.
struct Package {
    tar: tar::Builder<GzEncoder<OutputPlace>>,
    created: u64,
}

impl Package {
    fn new(place: OutputPlace, manifest: &Manifest, kernel: &Kernel) -> io::Result<Self> {
        let mut tar = tar::Builder::new(GzEncoder::new(place, Compression::best()));
        tar.mode(tar::HeaderMode::Deterministic);
        let mut package = Self { tar, created: manifest.created };
        let conf = configuration(manifest, kernel);
        package.file(&format!("{}.conf", manifest.name), conf.as_bytes())?;
        Ok(package)
    }

    fn add(&mut self, manifest: &Manifest, kernel: &Kernel, set: &VerifiedSet<'_>) -> io::Result<()> {
        for module in set.modules() {
            let stem = format!("{}/{}", kernel.release, module.record.name);
            self.file(&format!("{stem}.ko"), module.bytes)?;
            if let Some(script) = manifest.script(&module.record.name) {
                self.file(&format!("{stem}.opts"), opts_text(kernel, script).as_bytes())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        // As unpacked, a module must not be older than its script, or the initscript takes it for stale.
        header.set_mtime(self.created);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    fn finish(self, path: &Path) -> Result<OutputPlace, Failure> {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(path.display());
        self.tar.into_inner().and_then(GzEncoder::finish).map_err(failed)
    }
}

/// Options and requirements of the scripts that have a module, in the initscript's own syntax.
fn configuration(manifest: &Manifest, kernel: &Kernel) -> String {
    let mut text = String::new();
    for script in manifest.scripts.iter().filter(|script| kernel.is_green(&script.name)) {
        let requires: Vec<&str> = script.requires.iter().map(ScriptName::as_str).collect();
        for (suffix, value) in [("OPT", script.options.as_str()), ("REQ", &requires.join(" "))] {
            if !value.is_empty() {
                text.push_str(write_assignment(&format!("{}_{suffix}", script.name), value).trim_end());
                text.push('\n');
            }
        }
    }
    text
}
