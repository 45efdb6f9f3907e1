//! The files that a build writes: their places are judged before anything is compiled.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{BundleError, BundleId, BundleKind, KeyId, Manifest, SignedBundle, UnsignedBundle};

use crate::commands::farm::build::args::Args;
use crate::config_files::Loaded;
use crate::failure::Failure;
use crate::output::{Kind, OutputPlace, Outputs, Written};
use crate::ui::Ui;

/// What a build makes.
#[derive(Debug)]
pub(super) enum Product {
    Bundle(SignedBundle<File>),
    /// To be signed elsewhere.
    Payload(UnsignedBundle<File>),
}

impl Product {
    pub(super) const fn manifest(&self) -> &Manifest {
        match self {
            Self::Bundle(bundle) => bundle.manifest(),
            Self::Payload(payload) => payload.manifest(),
        }
    }

    pub(super) fn id(&self) -> BundleId {
        match self {
            Self::Bundle(bundle) => bundle.id(),
            Self::Payload(payload) => payload.id(),
        }
    }

    pub(super) fn signers(&self) -> Vec<KeyId> {
        match self {
            Self::Bundle(bundle) => bundle.signers(),
            Self::Payload(_) => Vec::new(),
        }
    }

    const fn suffix(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "stapb",
            Self::Payload(_) => "payload",
        }
    }

    fn write_to(&mut self, target: &mut dyn io::Write) -> Result<u64, BundleError> {
        match self {
            Self::Bundle(bundle) => bundle.write_to(target),
            Self::Payload(payload) => payload.write_payload_to(target),
        }
    }
}

/// The files that a build writes.
#[derive(Debug, Default)]
pub(super) struct Places {
    outputs: Outputs,
    /// None for a part of a build (`--shard`).
    product: Option<OutputPlace>,
    report: Option<OutputPlace>,
}

/// The product, as it was written.
#[derive(Debug)]
pub(super) struct WrittenProduct {
    pub(super) path: PathBuf,
    /// Where it can be read again; none if it went to a device.
    pub(super) file: Option<PathBuf>,
    pub(super) written: Written,
}

impl Args {
    /// Judges the places of bundle and report, before anything is compiled.
    pub(super) fn places(&self, loaded: &Loaded, ui: &mut Ui) -> Result<Places, Failure> {
        let mut outputs = Outputs::new(self.replace.replace);
        for path in loaded.paths() {
            outputs.input("the configuration", path);
        }
        outputs.inputs("the key", &self.key);
        self.module_keys.note_inputs(&mut outputs);
        outputs.inputs("the list of kernels", self.kernels.lists());
        outputs.inputs("the chain of roots", &self.roots);
        outputs.inputs("the older bundle", self.reuse.iter().chain(&self.delta_from));
        for script in self.script.iter().filter(|script| script.contains('/')) {
            outputs.input("the script", Path::new(script));
        }
        outputs.input("the log (LOG_FILE)", &loaded.configuration.parameters().log_file);
        let kind = match (self.no_sign, &self.delta_from) {
            (true, _) => Kind::Payload,
            (false, Some(_)) => Kind::Bundle(BundleKind::Delta),
            (false, None) => Kind::Bundle(BundleKind::Full),
        };
        let product = match (&self.output, &self.shard) {
            (_, Some(_)) => None,
            (Some(path), None) => Some(outputs.place("-o", path, kind)?),
            (None, None) => Some(outputs.place_named_later("-o", kind)?),
        };
        if let Some(path) =
            self.output.as_ref().filter(|_| product.as_ref().is_some_and(OutputPlace::must_be_the_same))
        {
            let path = path.display();
            ui.progress(format!("{path} exists: without --replace, this build must give the same bytes"));
        }
        let report = self.report.as_deref();
        let kind = |path: &Path| if is_page(path) { Kind::Page } else { Kind::Report };
        let report = report.map(|path| outputs.place("--report", path, kind(path))).transpose()?;
        Ok(Places { outputs, product, report })
    }
}

/// Whether a report of that name is a page.
pub(super) fn is_page(report: &Path) -> bool {
    report.extension().is_some_and(|suffix| suffix == "html")
}

impl Places {
    /// Writes the product and gives it its name.
    pub(super) fn write(&mut self, product: &mut Product) -> Result<WrittenProduct, Failure> {
        let manifest = product.manifest();
        let default = PathBuf::from(format!("{}-{}.{}", manifest.name, manifest.version, product.suffix()));
        let place = match self.product.take() {
            Some(place) => place,
            None => self.outputs.place_named_later("-o", Kind::of_bundle(manifest))?,
        };
        let place = self.outputs.named(place, &default)?;
        let path = place.shown().to_owned();
        let file = place.file().map(Path::to_owned);
        let (_, written) = place.write(|target| product.write_to(target))?;
        Ok(WrittenProduct { path, file, written })
    }

    /// Writes the report, if one is wanted.
    pub(super) fn write_report(&mut self, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.report.take() {
            Some(place) => place.write_bytes(text().as_bytes()).map(|_| ()),
            None => Ok(()),
        }
    }
}
