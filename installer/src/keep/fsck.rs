//! `fsck`: every file of a generation against what was signed.

use std::collections::BTreeSet;

use bundle_format::{Digest, Extent, Kernel, RawBundle};
use files::{Directory, FileError, FileSystem, optional};

use crate::compat::{CompatError, Lacking, lacking};
use crate::generation::{
    CurrentGeneration, GenerationError, InstalledBundle, module_file_name, open_state, read_sets,
};
use crate::host::HostIdentity;
use crate::host::paths::{BASE_FILE, BUNDLE_FILE, BUNDLES, KERNELS, SETS, UPROBES_DIRECTORY, UPROBES_FILE};
use crate::trust::TrustStore;
use files::with_causes;

#[derive(Debug)]
pub struct FsckReport {
    pub generation: u64,
    /// Files that were read and compared.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files of the generation that fs-verity seals. They were read and compared as all others.
    pub sealed: usize,
    /// What is wrong, bundle by bundle.
    pub problems: Vec<FsckProblem>,
}

/// Something that isn't as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsckProblem {
    /// The bundle; `None` for what no bundle accounts for.
    pub bundle: Option<String>,
    /// The path in the generation; of what lies beside all generations, the whole path.
    pub path: String,
    pub what: String,
    /// How it can be mended.
    pub mending: Mending,
}

/// How a problem can be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// From the bundle that is kept in the generation.
    FromKept,
    /// From the bundle's file, which must be brought.
    FromFile,
    /// By believing its signature again, or by uninstalling it.
    ByTrust,
    /// From the other copy, which is good.
    FromOtherCopy,
    /// By bringing the farm's newest roots.
    ByRoots,
    /// By installing the full bundle of the same or a later version.
    ByFullBundle,
    /// By making it again, as each install does.
    ByReconciling,
    /// By nothing, as long as the file system takes no files.
    ReadOnly,
    /// It is in nobody's way: any new generation is without it.
    NotNeeded,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// What stock tools see can't be looked at.
    #[error(transparent)]
    Compat(#[from] CompatError),
}

/// Compares every file of the current generation, or of `number`, with what was signed; `None` if nothing
/// is installed. Of the current one what stock tools see is looked at too, as `stock`, this host, should see it. Nothing is written.
pub fn fsck(
    host: &FileSystem,
    number: Option<u64>,
    stock: Option<&HostIdentity>,
) -> Result<Option<FsckReport>, FsckError> {
    let state = open_state(host)?;
    if state.is_none() && number.is_none() {
        return Ok(None);
    }
    let store = TrustStore::open_readable(host).map_err(GenerationError::from)?;
    let trust = store.host_trust();
    let generation = match (number, state) {
        (Some(number), _) => CurrentGeneration::open_number_by(trust, host, number)?,
        (None, Some(state)) => match CurrentGeneration::open_by(trust, &state, None)? {
            Some(current) => current,
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let mut check = Check {
        generation: &generation,
        report: FsckReport::of(generation.number()),
        known: BTreeSet::new(),
        unsure: BTreeSet::new(),
    };
    check.run().map_err(GenerationError::from)?;
    check.chain(&store);
    if let (Some(identity), None) = (stock, number) {
        check.stock_tools(lacking(host, identity, &generation)?);
    }
    Ok(Some(check.report))
}

impl FsckReport {
    const fn of(generation: u64) -> Self {
        Self { generation, files: 0, bytes: 0, sealed: 0, problems: Vec::new() }
    }
}

/// One pass over a generation.
struct Check<'g> {
    generation: &'g CurrentGeneration,
    report: FsckReport,
    /// Files that a bundle accounts for, as directory and name in `kernels/`.
    known: BTreeSet<(String, String)>,
    /// Kernels of which the account is damaged, so that nobody can say what is known there.
    unsure: BTreeSet<String>,
}

impl Check<'_> {
    fn run(&mut self) -> Result<(), FileError> {
        if !self.generation.has_bundles() {
            self.problem(None, BUNDLES.to_owned(), "it is missing".to_owned(), Mending::FromFile);
        }
        for refused in self.generation.refused_bundles() {
            let path = format!("{BUNDLES}/{}", refused.name);
            let mending = if refused.claimed().is_some() { Mending::ByTrust } else { Mending::FromFile };
            self.problem(Some(&refused.name), path, refused.reason.clone(), mending);
        }
        for bundle in self.generation.bundles() {
            self.bundle(bundle);
        }
        self.documents();
        if self.generation.refused_bundles().is_empty() {
            self.strays()?;
        }
        // Only a count: what can't be looked at is among the problems already.
        self.report.sealed = self.generation.directory().sealed_files().unwrap_or_default();
        Ok(())
    }

    /// What no signature covers, but follows from what is signed. Any new generation has it right.
    fn documents(&mut self) {
        let spoiled = |name: &str| {
            let of = |problem: &FsckProblem| problem.bundle.as_deref() == Some(name);
            self.report.problems.iter().any(|problem| of(problem) && problem.mending != Mending::FromKept)
        };
        let names = self.generation.bundles().iter().map(|bundle| bundle.name.to_string());
        let (spoiled, whole): (Vec<_>, Vec<_>) = names.partition(|name| spoiled(name));
        let found = self.generation.document_problems();
        self.report.files +=
            2 + self.generation.bundles().iter().filter(|bundle| bundle.root.is_some()).count();
        for problem in found {
            let bundle = problem.bundle.or_else(|| whole.first().or(spoiled.first()).cloned());
            let mending = match &bundle {
                Some(name) if whole.contains(name) => Mending::FromKept,
                Some(_) => Mending::FromFile,
                None => Mending::NotNeeded,
            };
            self.problem(bundle.as_deref(), problem.path, problem.what, mending);
        }
    }

    /// The accepted chains of roots, by which the signatures were judged.
    fn chain(&mut self, trust: &TrustStore) {
        for (file, what) in trust.alarms() {
            let what = format!("a copy of the accepted chain of roots can't be used: {what}");
            self.problem(None, file, what, Mending::FromOtherCopy);
        }
        for domain in trust.domains() {
            if let Err(lost) = domain.check() {
                self.problem(None, domain.chain_file(), with_causes(&lost), Mending::ByRoots);
            }
        }
    }

    /// What stock tools lack: nothing of it is signed, and our own start needs none of it.
    fn stock_tools(&mut self, lacking: Vec<Lacking>) {
        for lacking in lacking {
            let path = lacking.directory.display().to_string();
            let mending = if lacking.read_only { Mending::ReadOnly } else { Mending::ByReconciling };
            self.problem(None, path, lacking.to_string(), mending);
        }
    }

    fn bundle(&mut self, bundle: &InstalledBundle) {
        let name = bundle.name.to_string();
        let kept = bundle.check_kept().err().map(|error| with_causes(&error));
        let mending = if kept.is_none() { Mending::FromKept } else { Mending::FromFile };
        self.read(
            bundle.kept().ok().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len()),
        );
        if let Some(what) = kept {
            self.problem(Some(&name), format!("{BUNDLES}/{name}/{BUNDLE_FILE}"), what, mending);
        }
        self.base(bundle, &name);
        for kernel in &bundle.manifest.kernels {
            match read_sets(bundle, kernel) {
                Err(refusal) => {
                    let path = format!("{BUNDLES}/{name}/{SETS}/{}.json", kernel.id.short());
                    self.problem(Some(&name), path, with_causes(&refusal), mending);
                    self.unsure.insert(kernel.id.short());
                }
                Ok(None) => {}
                Ok(Some(set)) => {
                    for module in set.modules() {
                        let file = module_file_name(&module.name);
                        self.module(&name, kernel, &file, mending, &|generation| {
                            let handle = set.handle(kernel, &module.name)?;
                            let read = generation.read_module(&handle)?;
                            if read.had_other_trailer() {
                                return Err(crate::Refusal::OtherTrailer { script: module.name.clone() });
                            }
                            Ok(read.as_installed().len() as u64)
                        });
                    }
                    if let Some(record) = set.uprobes() {
                        self.uprobes(&name, kernel, record.size, &record.sha256, mending);
                    }
                }
            }
        }
    }

    /// The full bundle that a delta was made from.
    fn base(&mut self, bundle: &InstalledBundle, name: &str) {
        let Some(from) = &bundle.manifest.from else { return };
        let Ok(file) = bundle.kept_base() else { return };
        self.read(file.metadata().map_or(0, |metadata| metadata.len()));
        let check = || -> Result<(), bundle_format::BundleError> {
            // The delta names it by its id, which proves it whatever became of its keys.
            let verified = RawBundle::read(file)?.verify_named(from)?;
            verified.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(())).map(drop)
        };
        let what = match check() {
            Ok(()) => return,
            Err(bundle_format::BundleError::NoBase { problem }) => problem,
            Err(error) => with_causes(&error),
        };
        self.problem(Some(name), format!("{BUNDLES}/{name}/{BASE_FILE}"), what, Mending::ByFullBundle);
    }

    fn module(
        &mut self,
        bundle: &str,
        kernel: &Kernel,
        file: &str,
        mending: Mending,
        read: &dyn Fn(&CurrentGeneration) -> Result<u64, crate::Refusal>,
    ) {
        self.known.insert((kernel.id.short(), file.to_owned()));
        match read(self.generation) {
            Ok(bytes) => self.read(bytes),
            Err(refusal) => {
                let path = format!("{KERNELS}/{}/{file}", kernel.id.short());
                self.problem(Some(bundle), path, with_causes(&refusal), mending);
            }
        }
    }

    /// The shared module for user-space probes.
    fn uprobes(&mut self, bundle: &str, kernel: &Kernel, size: u64, expected: &Digest, mending: Mending) {
        let short = kernel.id.short();
        self.known.insert((short.clone(), UPROBES_DIRECTORY.to_owned()));
        let path = format!("{KERNELS}/{short}/{UPROBES_DIRECTORY}/{UPROBES_FILE}");
        let bytes =
            self.generation.kernels().ok_or_else(|| "the generation has no modules".to_owned()).and_then(
                |kernels| {
                    let directory =
                        kernels.open_dir(&short).and_then(|kernel| kernel.open_dir(UPROBES_DIRECTORY));
                    directory
                        .and_then(|directory| directory.read_file(UPROBES_FILE, size))
                        .map_err(|error| with_causes(&error))
                },
            );
        match bytes {
            Ok(bytes) if Digest::of(&bytes) == *expected => self.read(size),
            Ok(bytes) => {
                let what = format!("it has SHA-256 {}, signed is {expected}", Digest::of(&bytes));
                self.problem(Some(bundle), path, what, mending);
            }
            Err(what) => self.problem(Some(bundle), path, what, mending),
        }
    }

    /// What lies among the modules and no bundle accounts for.
    fn strays(&mut self) -> Result<(), FileError> {
        let Some(kernels) = self.generation.kernels() else { return Ok(()) };
        for kernel in kernels.entries()? {
            if self.unsure.contains(&kernel) {
                continue;
            }
            let Some(directory) = optional_directory(kernels, &kernel)? else {
                self.stray(&kernel);
                continue;
            };
            for name in directory.entries()? {
                if !self.known.contains(&(kernel.clone(), name.clone())) {
                    self.stray(&format!("{kernel}/{name}"));
                }
            }
        }
        Ok(())
    }

    fn stray(&mut self, path: &str) {
        let what = "no bundle accounts for it; `start` never loads it".to_owned();
        self.problem(None, format!("{KERNELS}/{path}"), what, Mending::NotNeeded);
    }

    fn problem(&mut self, bundle: Option<&str>, path: String, what: String, mending: Mending) {
        let bundle = bundle.map(str::to_owned);
        self.report.problems.push(FsckProblem { bundle, path, what, mending });
    }

    fn read(&mut self, bytes: u64) {
        self.report.files += 1;
        self.report.bytes += bytes;
    }
}

fn optional_directory(parent: &Directory, name: &str) -> Result<Option<Directory>, FileError> {
    match parent.kind(name)? {
        Some(rustix::fs::FileType::Directory) => optional(parent.open_dir(name)),
        _ => Ok(None),
    }
}
