//! What may be typed for a build, and what follows from it alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use builder::{BuildDirectories, BuildOptions, BundleIdentity, InputCheck, JobLimits, OpenCells, Shard};
use bundle_format::{BundleName, BundleVersion, RootChain};

use crate::bundle_path::a_file;
use crate::commands::farm::best_before::BestBeforeOption;
use crate::commands::farm::build::kernels::{self, KernelOptions};
use crate::commands::farm::build::policy::PolicyOptions;
use crate::commands::farm::build::servers::ServerOptions;
use crate::commands::farm::builder_options::BuilderOptions;
use crate::commands::farm::directories::{StoreOption, absolute, cache_directory};
use crate::commands::farm::module_keys::ModuleKeyOptions;
use crate::commands::farm::source_date::source_date_epoch;
use crate::config_evaluation::EvaluationOption;
use crate::config_files;
use crate::failure::Failure;
use crate::output::ReplaceOption;

/// Compile scripts for kernel releases and write one signed bundle
///
/// Every script of the configuration (or those named) is compiled for every release with the real `stap`, in a
/// sandbox without network; what was compiled before is taken from the cache. A script that doesn't compile for a
/// kernel is a red cell. No bundle is written then, unless --best-effort allows it: such a cell is recorded in the bundle
/// with the reason, and the exit code is 20.
///
/// The bundle carries a bill of materials (SPDX) and a provenance (in-toto, SLSA); `extract --extra` unpacks them. With
/// --no-sign a payload is written, for a key that lives elsewhere: no reader takes it for a bundle before `sign`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("older").args(["reuse", "delta_from"]))]
#[command(
    after_help = "Examples:\n  stap-bundle key generate\n  stap-bundle build -r \"$(uname -r)\" -o scripts.stapb\n  stap-bundle build --kernels fleet.txt --dry-run"
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) kernels: KernelOptions,
    /// A root directory with `stap`, a compiler and build trees in its /lib/modules; may be given several times.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) sysroot: Vec<PathBuf>,
    /// The sysroot that compiles for a release, where several could; may be given several times.
    #[arg(hide_short_help = true, long, value_name = "REL=DIR", value_parser = kernels::pin)]
    pub(super) pin: Vec<(String, PathBuf)>,
    /// The compiler for a release's modules, a program of the sysroot's /usr/bin; may be given several times [default: the one
    /// that the build tree names, else the gcc that compiled the kernel].
    #[arg(hide_short_help = true, long, value_name = "REL=PROGRAM", value_parser = kernels::compiler)]
    pub(super) compiler: Vec<(String, String)>,
    /// The initscript's global configuration file.
    #[arg(short, long, value_name = "CONFIG", help = format!("The initscript's global configuration file [default: {}]", config_files::DEFAULT_CONFIG))]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) evaluation: EvaluationOption,
    /// The private key to sign with; may be given several times [default: ~/.config/stap-bundle/default.key].
    #[arg(long, value_name = "NAME.key", env = "STAP_BUNDLE_KEY")]
    pub(super) key: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) module_keys: ModuleKeyOptions,
    /// Send this chain of roots along: hosts judge signers by it (`trust root`).
    #[arg(long, value_name = "FILE.stapr")]
    pub(super) roots: Option<PathBuf>,
    /// Write a payload, to be signed elsewhere (`sign`); no key is used.
    #[arg(long)]
    pub(super) no_sign: bool,
    /// Leave bill of materials and provenance out.
    #[arg(hide_short_help = true, long)]
    pub(super) no_sbom: bool,
    /// Put the scripts themselves into the bundle, for hosts that shall have them (`install --with-source`).
    #[arg(hide_short_help = true, long)]
    pub(super) with_source: bool,
    /// The bundle's name.
    #[arg(long, default_value = "stap-scripts")]
    pub(super) name: BundleName,
    /// The bundle's version [default: the time of the newest input, as YYYY.MMDD.HHMM].
    #[arg(hide_short_help = true, long)]
    pub(super) version: Option<BundleVersion>,
    /// Orders the bundles of a name: hosts refuse a lower one [default: the time of the newest input, or the next free
    /// number if other content has that already].
    #[arg(hide_short_help = true, long, value_name = "N")]
    pub(super) serial: Option<u64>,
    #[command(flatten)]
    pub(super) best_before: BestBeforeOption,
    /// The file to write; `-` is standard output [default: NAME-VERSION.stapb].
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) replace: ReplaceOption,
    /// Copy unchanged frames from this older bundle
    ///
    /// Packing takes as long as what is new. The older bundle is an input: with another one, or none, the same
    /// modules may give another file, with the same content.
    #[arg(long, value_name = "OLD.stapb")]
    pub(super) reuse: Option<PathBuf>,
    /// Make a delta of this older bundle, for hosts that have it
    ///
    /// Its frames refer to what is installed there, so it is small where little changed. It must be a full bundle of the
    /// same name; hosts that don't have it need the full new one, which a build without this option writes.
    #[arg(hide_short_help = true, long, value_name = "OLD.stapb")]
    pub(super) delta_from: Option<PathBuf>,
    /// Who may have signed the older bundle: every `*.pub` in DIR [default: --key].
    #[arg(hide_short_help = true, long, value_name = "DIR", requires = "older")]
    pub(super) trust: Option<PathBuf>,
    /// How many compiles run side by side [default: cores + 1]
    ///
    /// Packing uses as many threads; their number doesn't change its bytes.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// Time limit of one compile, in seconds.
    #[arg(hide_short_help = true, long, value_name = "SEC", default_value_t = JobLimits::default().time.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) time_limit: u64,
    /// Memory limit of each process of a compile, in MiB.
    #[arg(hide_short_help = true, long, value_name = "MIB", default_value_t = JobLimits::default().memory >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(super) memory_limit: u64,
    /// Limit of the size of each file that a compile writes, in MiB.
    #[arg(hide_short_help = true, long, value_name = "MIB", default_value_t = JobLimits::default().file >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(super) file_limit: u64,
    /// Compile again what failed before; without it, a red cell is taken from the cache like a green one.
    #[arg(hide_short_help = true, long)]
    pub(super) retry_failed: bool,
    /// Scan all trace headers of a kernel, not only those that scripts need
    ///
    /// The modules are the same, and a kernel's first build takes about twice as long. Results have keys of their own, so that
    /// they can be compared with those of a build without it.
    #[arg(hide_short_help = true, long)]
    pub(super) full_scan: bool,
    /// Compile each module twice and compare; ends with 21 if one comes out differently.
    #[arg(hide_short_help = true, long)]
    pub(super) check_reproducible: bool,
    /// Read every file of sysroots, build trees and cache again, although size and times haven't changed.
    #[arg(hide_short_help = true, long)]
    pub(super) verify_cache: bool,
    /// Where results are kept, so that nothing is compiled twice [default: ~/.cache/stap-bundle].
    #[arg(long, value_name = "DIR")]
    pub(super) cache: Option<PathBuf>,
    /// Where results are, apart from the rest of the cache; several builders may share it at once [default: in --cache].
    #[arg(hide_short_help = true, long, value_name = "DIR")]
    pub(super) artifacts: Option<PathBuf>,
    #[command(flatten)]
    pub(super) store: StoreOption,
    /// Compile one part of N and write no bundle; `merge` packs and signs what all parts have compiled.
    #[arg(hide_short_help = true, long, value_name = "I/N", conflicts_with_all = ["output", "reuse", "delta_from", "dry_run", "best_before"])]
    pub(super) shard: Option<Shard>,
    /// Show what would happen to each cell, and how long it would take.
    ///
    /// Of sysroots and build trees that were seen before, only the directories are looked at: a file that was changed in
    /// place is seen by the build itself, or with --verify-cache.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write a report: a page if FILE ends in `.html`, else JSON.
    #[arg(long, value_name = "FILE", value_parser = a_file)]
    pub(super) report: Option<PathBuf>,
    #[command(flatten)]
    pub(super) policy: PolicyOptions,
    #[command(flatten)]
    pub(super) servers: ServerOptions,
    #[command(flatten)]
    pub(super) builders: BuilderOptions,
    /// Tell what happens as lines for people, or as JSON lines on standard error.
    #[arg(hide_short_help = true, long, value_name = "FORM", value_enum, default_value_t)]
    pub(super) progress: Progress,
    /// Scripts by name, or paths of `.stp` files; without any, every script of the script directory.
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    pub(super) script: Vec<String>,
}

/// In which form a build tells what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Progress {
    /// A bar on a terminal, else lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Args {
    pub(super) const fn input_check(&self) -> InputCheck {
        if self.verify_cache {
            InputCheck::Content
        } else if self.dry_run {
            InputCheck::Directories
        } else {
            InputCheck::Files
        }
    }

    pub(super) fn options(
        &self,
        config_modified: u64,
        roots: Option<RootChain>,
        merged: Option<u32>,
    ) -> Result<BuildOptions, Failure> {
        let mut options = BuildOptions::new(BundleIdentity {
            name: self.name.clone(),
            version: self.version.clone(),
            serial: self.serial,
            created: source_date_epoch()?,
            other_inputs_modified: config_modified,
            best_before: self.best_before.best_before,
            roots,
        });
        if merged.is_some() {
            options.open_cells = OpenCells::Refuse;
        }
        if let Some(jobs) = self.jobs {
            options.workers = usize::from(jobs);
        }
        options.limits = JobLimits {
            time: Duration::from_secs(self.time_limit),
            memory: self.memory_limit << 20,
            file: self.file_limit << 20,
        };
        options.retry_failed = self.retry_failed;
        options.check_reproducible = self.check_reproducible;
        options.verify_cache = self.verify_cache;
        options.policy = self.policy.policy();
        Ok(options)
    }

    pub(super) fn directories(&self, temporary: Option<&Path>) -> Result<BuildDirectories, Failure> {
        let directories = BuildDirectories::beneath(&cache_directory(self.cache.as_deref())?)
            .with_kernels(&self.store.directory()?);
        let directories = match &self.artifacts {
            Some(artifacts) => directories.with_artifacts(&absolute(artifacts)?),
            None => directories,
        };
        Ok(match temporary {
            Some(temporary) => directories.with_temporary(temporary),
            None => directories,
        })
    }
}
