//! `build`: scripts × kernels → one signed bundle.

mod dry_run;
mod issued;
mod json_lines;
mod kept;
mod kernels;
mod live;
mod output;
mod page;
mod policy;
mod red_cells;
mod red_log;
pub(crate) mod reporter;
mod reuse;
pub(crate) mod scripts;
mod servers;
mod shards;
mod table;

use std::fs::File;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use builder::{
    BuildDirectories, BuildError, BuildOptions, BuildReport, BuildRequest, BundleIdentity, Cell, InputCheck,
    JobLimits, OpenCells, Plan, PlanError, PlanProblem, SandboxError, Shard, ToolchainError,
};
use bundle_format::{
    BaseFile, BundleError, BundleName, BundleVersion, Manifest, Packing, RootChain, SOURCES_NAME,
    UnsignedBundle, VerifiedBundle,
};
use child::Cancel;
use issued::Issued;
use kernels::KernelOptions;
use output::{Places, Product, WrittenProduct, is_page};
use policy::PolicyOptions;
use reporter::Reporter;
use serde_json::json;
use servers::ServerOptions;
use signing::KeyFileError;
use table::Facts;

use crate::bundle_path::a_file;
use crate::commands::farm::builder_options::BuilderOptions;
use crate::commands::farm::key::{key_failure, sign_failure, signing_keys};
use crate::commands::farm::roots;
use crate::commands::farm::source_date::source_date_epoch;
use crate::config_evaluation::EvaluationOption;
use crate::config_files;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::ReplaceOption;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

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
    kernels: KernelOptions,
    /// A root directory with `stap`, a compiler and build trees in its /lib/modules; may be given several times.
    #[arg(long, value_name = "DIR", default_value = "/")]
    sysroot: Vec<PathBuf>,
    /// The sysroot that compiles for a release, where several could; may be given several times.
    #[arg(hide_short_help = true, long, value_name = "REL=DIR", value_parser = kernels::pin)]
    pin: Vec<(String, PathBuf)>,
    /// The initscript's global configuration file.
    #[arg(short, long, value_name = "CONFIG", help = format!("The initscript's global configuration file [default: {}]", config_files::DEFAULT_CONFIG))]
    config: Option<PathBuf>,
    #[command(flatten)]
    evaluation: EvaluationOption,
    /// The private key to sign with; may be given several times [default: ~/.config/stap-bundle/default.key].
    #[arg(long, value_name = "NAME.key", env = "STAP_BUNDLE_KEY")]
    key: Vec<PathBuf>,
    /// Send this chain of roots along: hosts judge signers by it (`trust root`).
    #[arg(long, value_name = "FILE.stapr")]
    roots: Option<PathBuf>,
    /// Write a payload, to be signed elsewhere (`sign`); no key is used.
    #[arg(long)]
    no_sign: bool,
    /// Leave bill of materials and provenance out.
    #[arg(hide_short_help = true, long)]
    no_sbom: bool,
    /// Put the scripts themselves into the bundle, for hosts that shall have them (`install --with-source`).
    #[arg(hide_short_help = true, long)]
    with_source: bool,
    /// The bundle's name.
    #[arg(long, default_value = "stap-scripts")]
    name: BundleName,
    /// The bundle's version [default: the time of the newest input, as YYYY.MMDD.HHMM].
    #[arg(hide_short_help = true, long)]
    version: Option<BundleVersion>,
    /// Orders the bundles of a name: hosts refuse a lower one [default: the time of the newest input, or the next free
    /// number if other content has that already].
    #[arg(hide_short_help = true, long, value_name = "N")]
    serial: Option<u64>,
    /// The file to write [default: NAME-VERSION.stapb].
    #[arg(short, long, value_name = "FILE", value_parser = a_file)]
    output: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceOption,
    /// Copy unchanged frames from this older bundle
    ///
    /// Packing takes as long as what is new. The older bundle is an input: with another one, or none, the same
    /// modules may give another file, with the same content.
    #[arg(long, value_name = "OLD.stapb")]
    reuse: Option<PathBuf>,
    /// Make a delta of this older bundle, for hosts that have it
    ///
    /// Its frames refer to what is installed there, so it is small where little changed. It must be a full bundle of the
    /// same name; hosts that don't have it need the full new one, which a build without this option writes.
    #[arg(hide_short_help = true, long, value_name = "OLD.stapb")]
    delta_from: Option<PathBuf>,
    /// Who may have signed the older bundle: every `*.pub` in DIR [default: --key].
    #[arg(hide_short_help = true, long, value_name = "DIR", requires = "older")]
    trust: Option<PathBuf>,
    /// How many compiles run side by side [default: cores + 1]
    ///
    /// Packing uses as many threads; their number doesn't change its bytes.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Time limit of one compile, in seconds.
    #[arg(hide_short_help = true, long, value_name = "SEC", default_value_t = JobLimits::default().time.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
    /// Memory limit of each process of a compile, in MiB.
    #[arg(hide_short_help = true, long, value_name = "MIB", default_value_t = JobLimits::default().memory >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    memory_limit: u64,
    /// Limit of the size of each file that a compile writes, in MiB.
    #[arg(hide_short_help = true, long, value_name = "MIB", default_value_t = JobLimits::default().file >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    file_limit: u64,
    /// Compile again what failed before; without it, a red cell is taken from the cache like a green one.
    #[arg(hide_short_help = true, long)]
    retry_failed: bool,
    /// Compile each module twice and compare; ends with 21 if one comes out differently.
    #[arg(hide_short_help = true, long)]
    check_reproducible: bool,
    /// Read every file of sysroots, build trees and cache again, although size and times haven't changed.
    #[arg(hide_short_help = true, long)]
    verify_cache: bool,
    /// Where results are kept, so that nothing is compiled twice [default: ~/.cache/stap-bundle].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Where results are, apart from the rest of the cache; several builders may share it at once [default: in --cache].
    #[arg(hide_short_help = true, long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// Compile one part of N and write no bundle; `merge` packs and signs what all parts have compiled.
    #[arg(hide_short_help = true, long, value_name = "I/N", conflicts_with_all = ["output", "reuse", "delta_from", "dry_run"])]
    shard: Option<Shard>,
    /// Show what would happen to each cell, and how long it would take.
    ///
    /// Of sysroots and build trees that were seen before, only the directories are looked at: a file that was changed in
    /// place is seen by the build itself, or with --verify-cache.
    #[arg(long)]
    dry_run: bool,
    /// Also write a report: a page if FILE ends in `.html`, else JSON.
    #[arg(long, value_name = "FILE", value_parser = a_file)]
    report: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyOptions,
    #[command(flatten)]
    servers: ServerOptions,
    #[command(flatten)]
    builders: BuilderOptions,
    /// Tell what happens as lines for people, or as JSON lines on standard error.
    #[arg(hide_short_help = true, long, value_name = "FORM", value_enum, default_value_t)]
    progress: Progress,
    /// Scripts by name, or paths of `.stp` files; without any, every script of the script directory.
    script: Vec<String>,
}

/// An older bundle, and what it is for.
enum Older {
    /// Its unchanged frames are copied.
    Reuse(Box<VerifiedBundle<File>>),
    /// A delta refers to its frames.
    Base(Box<BaseFile>),
}

/// In which form a build tells what happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Progress {
    /// A bar on a terminal, else lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        self.carry_out(None, global, ui)
    }

    /// Packs and signs what the parts of a build have compiled, and compiles nothing.
    pub(super) fn merge(self, shards: u32, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        if self.shard.is_some() || self.dry_run || self.check_reproducible {
            let what = "`merge` compiles nothing: it takes no --shard, --dry-run or --check-reproducible";
            return Err(Failure::new(Exit::Usage, what));
        }
        self.carry_out(Some(shards), global, ui)
    }

    fn carry_out(self, merged: Option<u32>, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        if global.root.is_some() {
            return Err(Failure::new(Exit::Usage, "`build` takes no --root")
                .hint("to compile in a root: --sysroot DIR"));
        }
        // The key comes first: to find out after an hour of compiling that there is none would be rude.
        let unsigned = self.dry_run || self.no_sign || self.shard.is_some();
        let keys = if unsigned { Vec::new() } else { signing_keys(&self.key)? };
        let builders = self.builders.read()?;
        let roots = self.roots.as_deref().map(|path| roots::read(path, &keys, ui)).transpose()?;
        let cancel = Cancel::new();
        crate::signals::cancel_on_signals(&cancel)?;
        let mut loaded = self
            .evaluation
            .load(self.config.as_deref())
            .map_err(|failure| Failure { exit: Exit::NoBundle, ..failure })?;
        scripts::report_problems(ui, &loaded.problems)?;
        if let Some(failure) = loaded.unreadable.drain(..).next() {
            return Err(Failure { exit: Exit::NoBundle, ..failure });
        }
        let temporary = config_files::chosen_temp_path(&loaded.configuration);
        let found = scripts::read(&loaded.configuration, &self.script, ui)?;
        let mut places = if self.dry_run { Places::default() } else { self.places(&loaded, ui)? };
        let request = BuildRequest {
            releases: self.kernels.releases()?,
            all_kernels: self.kernels.all(),
            pins: self.pin.clone(),
            leave_out: self.dry_run,
            policy: self.policy.policy(),
            input_check: self.input_check(),
            sysroots: self.sysroot.clone(),
            scripts: found,
            ..BuildRequest::new(self.directories(temporary.as_deref())?)
        };
        // What was wrong with it would otherwise show after an hour of compiling, too.
        let old = match &self.reuse {
            Some(path) if !self.dry_run => Some(reuse::open(path, self.trust.as_deref(), &keys)?),
            _ => None,
        };
        let base = match &self.delta_from {
            Some(path) if !self.dry_run => {
                Some(reuse::open_base(path, self.trust.as_deref(), &keys, &self.name)?)
            }
            _ => None,
        };
        let mut options = self.options(loaded.modified, roots, merged)?;
        let script_path = &loaded.configuration.parameters().script_path;
        options.builders =
            builders.with_key_of(&request.directories).map_err(|error| builder_key_failure(&error))?;
        let mut plan = self.plan(&request, &cancel, ui).map_err(|error| not_planned(&error, script_path))?;
        if let Some(shard) = self.shard {
            plan = plan.only(shard);
        }
        if self.dry_run {
            options.servers = self.servers.ask(&plan, &cancel, ui)?;
            return Ok(dry_run::show(ui, &plan, &options, &self.policy));
        }
        for warning in plan.warnings() {
            ui.warning(warning);
        }
        self.policy.warn_of_idle(&plan, ui);
        ui.log_to(&loaded.configuration);
        ui.log(&format!("Exec: {}", command_line()));
        let report = self.compile(&plan, options, merged, &cancel, ui)?;
        if let Some(shard) = self.shard {
            self.write_report(&plan, &report, None, &mut places)?;
            return Ok(shards::finished(ui, shard, &report));
        }
        let mut is_good = self.policy.check(&report);
        if let (Ok(()), Some(found)) = (&is_good, &report.reproducibility) {
            is_good = Reporter::new(ui, self.progress == Progress::Json).checked(found);
        }
        if let Err(failure) = is_good {
            // What is missing is told by the failure; the table shows the rest.
            self.write_report(&plan, &report, None, &mut places)?;
            if !ui.json {
                table::matrix(ui, &plan, &report);
                self.name_report(ui);
            }
            return Err(failure);
        }
        let reporter = Reporter::new(ui, self.progress == Progress::Json);
        reporter.packing();
        let begun = Instant::now();
        let cache = cache_directory(self.cache.as_deref())?;
        let old = match base {
            Some(base) => Some(Older::Base(Box::new(base))),
            None => old
                .or_else(|| kept::find(&cache, &self.name, &report.draft, &keys))
                .map(|old| Older::Reuse(Box::new(old))),
        };
        let unsigned = self.pack(&plan, &report, old, &reporter, &cancel, temporary.as_deref())?;
        let (product, done) = if keys.is_empty() {
            (Product::Payload(unsigned), "packed")
        } else {
            let signed =
                signing::sign_with_all(&keys, unsigned).map_err(|error| sign_failure(error, no_bundle))?;
            (Product::Bundle(signed), "packed and signed")
        };
        reporter.finished(done, begun.elapsed(), self.reuse.as_deref());
        let copied = reporter.copied();
        drop(reporter);
        self.finish(ui, &plan, &report, (product, copied), &mut places)
    }

    /// Compiles what is missing. Compile servers are asked only if something is.
    fn compile(
        &self,
        plan: &Plan,
        mut options: BuildOptions,
        merged: Option<u32>,
        cancel: &Cancel,
        ui: &mut Ui,
    ) -> Result<BuildReport, Failure> {
        let build = |options: &BuildOptions, ui: &mut Ui| {
            let reporter = Reporter::new(ui, self.progress == Progress::Json);
            let result = builder::build(plan, options, &|event| reporter.event(event), cancel);
            reporter.packing();
            result
        };
        let known = self.servers.known(plan).filter(|_| !options.check_reproducible);
        let unasked = known.map(|servers| {
            build(&BuildOptions { servers, open_cells: OpenCells::Refuse, ..options.clone() }, ui)
        });
        let unasked = unasked.filter(|result| !matches!(result, Err(BuildError::Uncompiled { .. })));
        let result = if let Some(result) = unasked {
            result
        } else {
            options.servers = self.servers.ask(plan, cancel, ui)?;
            build(&options, ui)
        };
        result.map_err(|error| match (&error, merged) {
            (BuildError::Uncompiled { jobs, not_taken }, Some(of)) => {
                shards::uncompiled(plan, jobs, not_taken, of)
            }
            _ => build_failure(&error),
        })
    }

    fn plan(&self, request: &BuildRequest, cancel: &Cancel, ui: &mut Ui) -> Result<Plan, PlanError> {
        match self.progress {
            Progress::Text => make_plan(request, cancel, ui),
            Progress::Json => Plan::make(request, cancel),
        }
    }

    /// Packs and numbers, and writes the documents.
    fn pack(
        &self,
        plan: &Plan,
        report: &BuildReport,
        old: Option<Older>,
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
        let mut unsigned = report
            .draft
            .pack_with(packing, spool, &mut |packed| reporter.packed(&packed))
            .map_err(|error| self.not_packed(error))?;
        let issued_in = cache_directory(self.cache.as_deref())?.join("issued");
        let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(issued_in.display());
        let issued = Issued::open(&issued_in, &self.name).map_err(failed)?;
        let (base, content) = (report.draft.serial, unsigned.manifest().content);
        let serial = if self.serial.is_some() { base } else { issued.number(base, content) };
        if serial != base {
            let version = match &self.version {
                Some(version) => version.clone(),
                None => format!("{}.{}", report.draft.version, serial - base)
                    .parse()
                    .map_err(|error| Failure::of(Exit::NoBundle, &error))?,
            };
            unsigned = unsigned.renumbered(serial, version).map_err(no_bundle)?;
        }
        let extras = self.extras(unsigned.manifest(), plan, report)?;
        unsigned = unsigned.with_extras(extras).map_err(no_bundle)?;
        issued.remember(base, serial, content).map_err(failed)?;
        Ok(unsigned)
    }

    const fn input_check(&self) -> InputCheck {
        if self.verify_cache {
            InputCheck::Content
        } else if self.dry_run {
            InputCheck::Directories
        } else {
            InputCheck::Files
        }
    }

    /// What travels along: documents, and the scripts if that is asked for.
    fn extras(
        &self,
        manifest: &Manifest,
        plan: &Plan,
        report: &BuildReport,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut extras = Vec::new();
        if !self.no_sbom {
            let by_servers: Vec<&Cell> = report.by_servers().collect();
            extras = builder::documents(manifest, &plan.header_packages(), &by_servers, &report.unsigned)
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
                .hint("or build without --reuse: every frame is then packed anew"),
            (error, _) => no_bundle(error),
        }
    }

    fn options(
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
            best_before: None,
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

    fn directories(&self, temporary: Option<&Path>) -> Result<BuildDirectories, Failure> {
        let directories = BuildDirectories::beneath(&cache_directory(self.cache.as_deref())?);
        let directories = match &self.artifacts {
            Some(artifacts) => directories.with_artifacts(&absolute(artifacts)?),
            None => directories,
        };
        Ok(match temporary {
            Some(temporary) => directories.with_temporary(temporary),
            None => directories,
        })
    }

    /// Writes the report, if one is wanted; `bundle` is what the bundle is, if there is one.
    fn write_report(
        &self,
        plan: &Plan,
        report: &BuildReport,
        bundle: Option<&Facts<'_>>,
        places: &mut Places,
    ) -> Result<(), Failure> {
        let page = self.report.as_deref().is_some_and(is_page);
        let text =
            || if page { page::page(plan, report, bundle) } else { table::as_json(plan, report, bundle) };
        places.write_report(text)
    }

    fn name_report(&self, ui: &mut Ui) {
        if let Some(to) = &self.report {
            ui.line(format!("  report     {}", to.display()));
        }
    }

    fn finish(
        &self,
        ui: &mut Ui,
        plan: &Plan,
        report: &BuildReport,
        (mut product, copied): (Product, usize),
        places: &mut Places,
    ) -> Result<Exit, Failure> {
        let WrittenProduct { path, file, written } = places.write(&mut product)?;
        written.tell(ui, &path);
        let size = written.bytes;
        let is_whole = self.reuse.is_none() && self.delta_from.is_none();
        if let Some(file) = file.filter(|_| is_whole && matches!(product, Product::Bundle(_))) {
            let kept = kept::keep(&cache_directory(self.cache.as_deref())?, &self.name, &file);
            if let Err(error) = kept {
                ui.warning(format!("the bundle can't be kept for the next build: {error}"));
            }
        }
        let cells = table::cells(report);
        let id = product.id();
        let bundle = path.file_name().unwrap_or_default().to_string_lossy();
        let facts = Facts { bundle: &bundle, id: &id.to_string(), size };
        self.write_report(plan, report, Some(&facts), places)?;
        let exit = self.policy.exit(report);
        let signers: Vec<String> = product.signers().iter().map(ToString::to_string).collect();
        if ui.json {
            ui.document(&json!({
                "bundle": path, "bytes": size, "bundle_id": id, "signed_by": signers,
                "frames": product.manifest().frames().len(), "frames_copied": copied,
                "green": report.green(), "red": report.red(), "cells": cells,
            }));
            return Ok(exit);
        }
        table::show(ui, plan, report);
        let module_bytes: u64 = product.manifest().frames().iter().map(|of| of.frame.plain_size).sum();
        let written = ui.mark(Mark::Strong, path.display());
        ui.line("");
        ui.line(format!("{written}: {} of {} modules", bytes(size), bytes(module_bytes)));
        ui.line(format!("  bundle id  {id}"));
        for signer in &signers {
            ui.line(format!("  signed by  {signer}"));
        }
        if signers.is_empty() {
            ui.line("  not signed: no host takes it before it is");
            ui.progress(format!("Sign it: stap-bundle sign {} --key NAME.key", path.display()));
        }
        self.name_report(ui);
        if exit == Exit::RedCells {
            ui.progress(format!("{} recorded; exit code {}", count(report.red(), "red cell"), exit.code()));
        }
        Ok(exit)
    }
}

/// The cache directory: as given, else below the user's own.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::of(Exit::Usage, &error).about(path.display()))
}

pub(super) fn cache_directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(cache) = given {
        return absolute(cache);
    }
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    user.map(|user| BuildDirectories::default_cache(&user)).ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_CACHE_HOME nor HOME is set")
            .hint("name the cache: --cache DIR")
    })
}

/// What was typed, as a shell would need it.
fn command_line() -> String {
    let words = std::env::args_os().map(|word| script_config::quote_word(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

fn no_bundle(error: BundleError) -> Failure {
    let mut failure = Failure::from(error);
    failure.exit = Exit::NoBundle;
    failure.about("the bundle can't be made")
}

pub(crate) fn plan_failure(error: &PlanError, script_path: &Path) -> Failure {
    let mut problems = error.problems.iter();
    let Some(first) = problems.next() else { return Failure::new(Exit::NoBundle, "nothing can be built") };
    let mut failure = Failure::of(Exit::NoBundle, first);
    if error.problems.len() > 1 {
        failure.what = format!("{} keep this from being built", count(error.problems.len(), "problem"));
        failure.because =
            error.problems.iter().map(|problem| Failure::of(Exit::NoBundle, problem).one_line()).collect();
    }
    for problem in &error.problems {
        match problem {
            PlanProblem::NoBuildTree { .. } => failure.hints.push(
                "install the headers package in the sysroot, or name another root: --sysroot DIR".to_owned(),
            ),
            PlanProblem::Cancelled => {
                failure.hints.push("run the same command again; what was read isn't read again".to_owned());
            }
            PlanProblem::Sandbox(SandboxError::Forbidden(forbidden))
            | PlanProblem::Toolchain(ToolchainError::Sandbox(SandboxError::Forbidden(forbidden))) => {
                failure.hints.push(forbidden.way_out.clone());
            }
            PlanProblem::NoScripts => failure.hints.push(format!(
                "put scripts into {} (SCRIPT_PATH of the configuration), or name `.stp` files",
                script_path.display()
            )),
            _ => {}
        }
    }
    failure.hints.sort();
    failure.hints.dedup();
    failure
}

/// Makes the plan, and tells of large trees that are read: the first time that takes a while.
pub(crate) fn make_plan(request: &BuildRequest, cancel: &Cancel, ui: &mut Ui) -> Result<Plan, PlanError> {
    let ui = Mutex::new(ui);
    let reading = |tree: &Path, size: u64| {
        let line = format!("reading {} ({}): it is new or has changed", tree.display(), bytes(size));
        ui.lock().unwrap_or_else(PoisonError::into_inner).progress(line);
    };
    Plan::make_telling(request, cancel, &reading)
}

fn not_planned(error: &PlanError, script_path: &Path) -> Failure {
    let failure = plan_failure(error, script_path);
    let without_tree = error.problems.iter().find_map(|problem| match problem {
        PlanProblem::NoBuildTree { release, .. } | PlanProblem::Tree { release, .. } => Some(release),
        _ => None,
    });
    match without_tree {
        Some(release) => {
            failure.hint(format!("or let the bundle say so to hosts that run it: --best-effort '@{release}'"))
        }
        None => failure,
    }
}

fn builder_key_failure(error: &KeyFileError) -> Failure {
    let failure = key_failure(error).about("the key that signs this builder's results");
    Failure { exit: Exit::NoBundle, ..failure }
        .hint("or remove it: the next build makes a new one, and compiles again what the old one had signed")
}

pub(crate) fn build_failure(error: &BuildError) -> Failure {
    let failure = Failure::of(Exit::NoBundle, error);
    if let Some(failure) = servers::failure(error) {
        return failure;
    }
    match error {
        BuildError::BuilderKey(error) => builder_key_failure(error),
        BuildError::Cancelled { .. } => {
            failure.hint("run the same command again; finished cells are not compiled again")
        }
        BuildError::Sandbox(SandboxError::Forbidden(forbidden)) => failure.hint(forbidden.way_out.clone()),
        _ => failure,
    }
}
