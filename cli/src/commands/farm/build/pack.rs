//! Packing: from what was compiled to a bundle with its number, documents and signatures.

use std::fs::File;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Instant;

use builder::{BuildReport, Cell, Plan};
use bundle_format::{BaseFile, BundleError, Manifest, Packing, SOURCES_NAME, UnsignedBundle, VerifiedBundle};
use child::Cancel;
use signing::{ModuleSigner, PrivateKeyFile};

use crate::commands::farm::build::args::{Args, Progress};
use crate::commands::farm::build::failure::no_bundle;
use crate::commands::farm::build::issued::Issued;
use crate::commands::farm::build::output::Product;
use crate::commands::farm::build::reporter::Reporter;
use crate::commands::farm::build::{kept, reuse};
use crate::commands::farm::directories::cache_directory;
use crate::commands::farm::key_failure::{module_sign_failure, sign_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// An older bundle, and what it is for.
pub(super) enum Older {
    /// Its unchanged frames are copied.
    Reuse(Box<VerifiedBundle<File>>),
    /// A delta refers to its frames.
    Base(Box<BaseFile>),
}

/// What signs the bundle, and its modules for kernels.
#[derive(Clone, Copy)]
pub(super) struct Signers<'s> {
    pub(super) keys: &'s [PrivateKeyFile],
    pub(super) modules: &'s [ModuleSigner],
}

/// What was compiled.
pub(super) struct Compiled<'c> {
    pub(super) plan: &'c Plan,
    pub(super) report: &'c BuildReport,
}

/// What is to be written.
pub(super) struct Packed {
    pub(super) product: Product,
    /// How many frames were copied from an older bundle.
    pub(super) copied: usize,
}

impl Args {
    /// The older bundle, if one was named.
    pub(super) fn older(&self, keys: &[PrivateKeyFile]) -> Result<Option<Older>, Failure> {
        let trust = self.trust.as_deref();
        if let Some(path) = &self.delta_from {
            let base = reuse::open_base(path, trust, keys, &self.name)?;
            return Ok(Some(Older::Base(Box::new(base))));
        }
        let reused = self.reuse.as_deref().map(|path| reuse::open(path, trust, keys)).transpose()?;
        Ok(reused.map(|old| Older::Reuse(Box::new(old))))
    }

    /// Packs, and signs if there are keys. Without an older bundle, one that an earlier build kept serves.
    pub(super) fn packed(
        &self,
        from: &Compiled<'_>,
        older: Option<Older>,
        signers: Signers<'_>,
        cancel: &Cancel,
        temporary: Option<&Path>,
        ui: &mut Ui,
    ) -> Result<Packed, Failure> {
        let reporter = Reporter::new(ui, self.progress == Progress::Json);
        reporter.packing();
        let begun = Instant::now();
        let cache = cache_directory(self.cache.as_deref())?;
        let keys = signers.keys;
        let kept = || kept::find(&cache, &self.name, &from.report.draft, keys);
        let older = older.or_else(|| kept().map(|old| Older::Reuse(Box::new(old))));
        let unsigned = self.pack(from, older, signers.modules, &reporter, cancel, temporary)?;
        let (product, done) = if keys.is_empty() {
            (Product::Payload(unsigned), "packed")
        } else {
            let signed =
                signing::sign_with_all(keys, unsigned).map_err(|error| sign_failure(error, no_bundle))?;
            (Product::Bundle(signed), "packed and signed")
        };
        reporter.finished(done, begun.elapsed(), self.reuse.as_deref());
        Ok(Packed { product, copied: reporter.copied() })
    }

    /// Packs and numbers, and writes the documents.
    fn pack(
        &self,
        from: &Compiled<'_>,
        old: Option<Older>,
        signers: &[ModuleSigner],
        reporter: &Reporter<'_>,
        cancel: &Cancel,
        temporary: Option<&Path>,
    ) -> Result<UnsignedBundle<File>, Failure> {
        let spool = temporary
            .map_or_else(tempfile::tempfile, tempfile::tempfile_in)
            .map_err(|error| Failure::of(Exit::Storage, &error).about("temporary file"))?;
        let stopped = || cancel.is_cancelled();
        let mut packing = Packing::default().cancelled(&stopped);
        if let Some(jobs) = self.jobs.and_then(NonZeroU16::new) {
            packing = packing.threads(jobs.into());
        }
        packing = match old {
            Some(Older::Reuse(old)) => packing.reuse(*old),
            Some(Older::Base(base)) => packing.delta_from(*base),
            None => packing,
        };
        let mut draft = from.report.draft.clone();
        builder::sign_modules(&mut draft, signers).map_err(|error| module_sign_failure(&error))?;
        let mut unsigned = draft
            .pack_with(packing, spool, &mut |packed| reporter.packed(&packed))
            .map_err(|error| self.not_packed(error))?;
        let issued_in = cache_directory(self.cache.as_deref())?.join("issued");
        let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(issued_in.display());
        let issued = Issued::open(&issued_in, &self.name).map_err(failed)?;
        let base = draft.serial;
        let content = unsigned.manifest().content;
        let best_before = draft.best_before;
        let serial = match self.serial {
            Some(_) => base,
            None => issued.number(base, content, best_before),
        };
        if serial != base {
            let version = match &self.version {
                Some(version) => version.clone(),
                None => format!("{}.{}", draft.version, serial - base)
                    .parse()
                    .map_err(|error| Failure::of(Exit::NoBundle, &error))?,
            };
            unsigned = unsigned.renumbered(serial, version).map_err(no_bundle)?;
        }
        let mut extras = self.extras(unsigned.manifest(), from)?;
        builder::add_certificates(&mut extras, signers.iter().map(ModuleSigner::certificate));
        unsigned = unsigned.with_extras(extras).map_err(no_bundle)?;
        issued.remember(base, serial, content, best_before).map_err(failed)?;
        Ok(unsigned)
    }

    /// What travels along: documents, and the scripts if that is asked for.
    fn extras(&self, manifest: &Manifest, from: &Compiled<'_>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let Compiled { plan, report } = from;
        let mut extras = Vec::new();
        if !self.no_sbom {
            let by_servers: Vec<&Cell> = report.by_servers().collect();
            extras = builder::documents(manifest, &plan.kernel_packages(), &by_servers, &report.unsigned)
                .map_err(|error| Failure::of(Exit::NoBundle, &error))?;
        }
        if self.with_source {
            let sources =
                plan.scripts().map(|script| (script.name().clone(), script.text().to_vec())).collect();
            let packed = bundle_format::pack_sources(manifest, &sources).map_err(no_bundle)?;
            extras.push((SOURCES_NAME.to_owned(), packed));
        }
        Ok(extras)
    }

    fn not_packed(&self, error: BundleError) -> Failure {
        match (error, &self.reuse) {
            (BundleError::Cancelled, _) => Failure::new(Exit::NoBundle, "packing was stopped")
                .hint("run the same command again; finished cells are not compiled again"),
            (BundleError::OldBundle(error), Some(path)) => Failure::from(*error)
                .about(path.display())
                .hint("or build without --reuse, which packs every frame again"),
            (error, _) => no_bundle(error),
        }
    }
}
