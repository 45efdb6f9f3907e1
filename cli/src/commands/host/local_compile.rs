//! Compiling scripts on the host itself: `compile` (README 2.2.5), and what a start compiles with AUTOCOMPILE (2.2.1).
//!
//! The builder compiles as on a farm; what comes out isn't packed or signed, but kept in the initscript's cache with a record
//! that says it was made here. Scripts of installed bundles are never compiled here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use builder::{BuildDirectories, BuildOptions, BuildReport, BuildRequest, BundleIdentity, ScriptSource};
use bundle_format::{Digest, KernelRelease, ScriptRecord};
use child::Program;
use files::FileSystem;
use script_config::{Configuration, ScriptName};
use serde::Serialize;
use service::LocalModule;

use crate::commands::farm::build::reporter::Reporter;
use crate::commands::farm::build::{self, scripts};
use crate::commands::host::service::{Autocompiled, Opened, service_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;
use crate::{config_files, host, script_directory};

impl Opened {
    /// With AUTOCOMPILE and a `stap`, compiles what is to be started and has no good module (README 2.2.1). What fails is
    /// told, and is for the start to refuse.
    pub(crate) fn autocompile(&self, ui: &mut Ui) -> Autocompiled {
        let Some(compile) = self.automatic_compile() else { return Autocompiled::default() };
        let mut wanted = Vec::new();
        let done = compile.and_then(|compile| {
            let scripts = compile.outdated(compile.to_be_started(ui)?);
            wanted = scripts.iter().map(|script| script.name().clone()).collect();
            compile.run(scripts, ui)
        });
        match done {
            Ok(done) => Autocompiled {
                all_well: done.failed.is_empty(),
                modules: done.modules.len(),
                failed: done.failed.into_iter().collect(),
            },
            Err(failure) => {
                let why = failure.one_line();
                ui.warning(format!("nothing is compiled: {why}"));
                self.host().log_loudly(&format!("Error: nothing is compiled: {why}"));
                let failed = wanted.into_iter().map(|script| (script, why.clone())).collect();
                Autocompiled { all_well: false, modules: 0, failed }
            }
        }
    }
}

impl Opened {
    /// What a start would compile first.
    pub(crate) fn would_compile(&self, ui: &mut Ui) -> BTreeSet<ScriptName> {
        let Some(compile) = self.automatic_compile() else { return BTreeSet::new() };
        let found = compile.and_then(|compile| Ok(compile.outdated(compile.to_be_started(ui)?)));
        match found {
            Ok(scripts) => scripts.iter().map(|script| script.name().clone()).collect(),
            Err(failure) => {
                ui.warning(format!("nothing would be compiled: {}", failure.one_line()));
                BTreeSet::new()
            }
        }
    }

    /// The compiles of a start, if it makes any.
    fn automatic_compile(&self) -> Option<Result<LocalCompile<'_>, Failure>> {
        let release = self.identity.release.clone()?;
        let is_wanted = self.parameters.auto_compile && Program::find("stap").is_ok();
        is_wanted.then(|| LocalCompile::new(self, release, Vec::new(), PathBuf::from(CACHE)))
    }
}

/// Where results of compiles are kept, so that nothing is compiled twice. Not the cache of a farm, which may come from
/// elsewhere: what is in this one counts as compiled on this host.
pub(crate) const CACHE: &str = "/var/cache/stap-bundle-local";

/// What is to be compiled, and how.
pub(crate) struct LocalCompile<'a> {
    opened: &'a Opened,
    configuration: Configuration,
    release: KernelRelease,
    sysroots: Vec<PathBuf>,
    cache: PathBuf,
}

/// What was compiled.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Compiled {
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Scripts with a module now.
    pub(crate) modules: Vec<ScriptName>,
    /// Scripts without, each with the reason.
    pub(crate) failed: Vec<(ScriptName, String)>,
}

impl<'a> LocalCompile<'a> {
    /// Reads the configuration that `opened` was read from, whole.
    pub(crate) fn new(
        opened: &'a Opened,
        release: KernelRelease,
        sysroots: Vec<PathBuf>,
        cache: PathBuf,
    ) -> Result<Self, Failure> {
        let configuration = config_files::load(opened.config.as_deref())?.configuration;
        Ok(Self { opened, configuration, release, sysroots, cache })
    }

    /// The scripts to be compiled: those named, else all of the script directory that no bundle offers. A script of a bundle
    /// that is named is refused.
    pub(crate) fn scripts(&self, ui: &mut Ui) -> Result<Vec<ScriptSource>, Failure> {
        let configuration = &self.configuration;
        let service = self.opened.service();
        for script in self.opened.named() {
            if let Some(bundle) = service.owner(script) {
                return Err(Failure::new(Exit::Conflict, format!("{script} is owned by bundle {bundle}"))
                    .hint("its modules come with the bundle; scripts of bundles aren't compiled on a host"));
            }
        }
        let (known, _) = script_directory::read(&configuration.parameters().script_path)?;
        let wanted = if self.opened.named().is_empty() { &known } else { self.opened.named() };
        let free: BTreeSet<&ScriptName> =
            wanted.iter().filter(|name| service.owner(name).is_none()).collect();
        if free.is_empty() {
            return Ok(Vec::new());
        }
        let words: Vec<String> = free.iter().map(ToString::to_string).collect();
        let found = scripts::read(configuration, &words, ui);
        // What they require is compiled only if it was meant too (INIT-COMP-02).
        let mut found = found.map_err(|failure| Failure { exit: Exit::Failed, ..failure })?;
        found.retain(|script| free.contains(script.name()));
        Ok(found)
    }

    /// What a start is about and the script directory has: named, `DEFAULT_START` or all, with what they require; without
    /// scripts of bundles and masked ones.
    fn to_be_started(&self, ui: &mut Ui) -> Result<Vec<ScriptSource>, Failure> {
        let parameters = self.configuration.parameters();
        let (known, _) = script_directory::read(&parameters.script_path)?;
        let chosen = script_config::select_to_start(self.opened.named(), &known, parameters, false);
        let service = self.opened.service();
        let masked = match service.masked() {
            Ok(masked) => masked,
            Err(unknown) => {
                ui.warning(format!("nothing is compiled, since nothing starts: {unknown}"));
                return Ok(Vec::new());
            }
        };
        let free = |name: &&ScriptName| {
            known.contains(*name) && !masked.contains(*name) && service.owner(name).is_none()
        };
        let words: Vec<String> = chosen.scripts.iter().filter(free).map(ToString::to_string).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = scripts::read(&self.configuration, &words, ui)?;
        found.retain(|script| service.owner(script.name()).is_none());
        let wanted = startable(&chosen.scripts, &found, masked);
        found.retain(|script| wanted.contains(script.name()));
        Ok(found)
    }

    /// Scripts whose module here isn't good any more, or isn't there: the conditions of README 2.2.1, by digest instead of
    /// time.
    pub(crate) fn outdated(&self, scripts: Vec<ScriptSource>) -> Vec<ScriptSource> {
        let host = self.opened.host();
        let is_good = |script: &ScriptSource| {
            // It stays as it is; a start says why it isn't used.
            if LocalModule::newer(host, &self.release, script.name()).is_some() {
                return true;
            }
            let Some(record) = LocalModule::read(host, &self.release, script.name()) else { return false };
            let of_record = script.record();
            let same_kernel = record.uname_v.is_none() || record.uname_v == self.opened.identity.version;
            let settings = record.opts_line == of_record.opts_line && record.run == of_record.run;
            record.source_sha256 == Some(of_record.source_sha256)
                && settings
                && record.requires == of_record.requires
                && same_kernel
                && record.read_module(host).is_ok()
        };
        scripts.into_iter().filter(|script| !is_good(script)).collect()
    }

    /// Files in the cache that are there already, and would be replaced (INIT-COMP-01).
    pub(crate) fn existing(&self, scripts: &[ScriptSource]) -> Result<Vec<PathBuf>, Failure> {
        let mut there = Vec::new();
        for script in scripts {
            let files = LocalModule::existing(self.opened.host(), &self.release, script.name());
            there.extend(files.map_err(|error| service_failure(&error))?);
        }
        Ok(there)
    }

    /// Compiles and keeps what came out.
    pub(crate) fn run(&self, scripts: Vec<ScriptSource>, ui: &mut Ui) -> Result<Compiled, Failure> {
        let mut done = Compiled { kernel: self.release.to_string(), ..Compiled::default() };
        if scripts.is_empty() {
            return Ok(done);
        }
        let cache = std::path::absolute(&self.cache).map_err(|error| Failure::of(Exit::Storage, &error))?;
        check_cache(&FileSystem::open("/").map_err(|error| host::storage_failure(&error))?, &cache)?;
        let records: Vec<_> = scripts.iter().map(|script| script.record().clone()).collect();
        // All that stap says (README 3.5).
        ui.log_to(&self.configuration);
        let report = self.compile(scripts, ui);
        ui.end_log();
        let report = report?;
        self.keep(&report, &records, &mut done)?;
        Ok(done)
    }

    fn compile(&self, scripts: Vec<ScriptSource>, ui: &mut Ui) -> Result<BuildReport, Failure> {
        let cancel = self.opened.host().cancel.clone();
        let number = scripts.len();
        let directories = BuildDirectories::beneath(&self.cache);
        let directories = match config_files::chosen_temp_path(&self.configuration) {
            Some(temporary) => directories.with_temporary(&temporary),
            None => directories,
        };
        let request = BuildRequest {
            releases: vec![self.release.to_string()],
            sysroots: self.sysroots.clone(),
            scripts,
            ..BuildRequest::new(directories)
        };
        let script_path = self.configuration.parameters().script_path.clone();
        let failed = |failure: Failure| Failure { exit: Exit::Failed, ..failure };
        let plan = build::make_plan(&request, &cancel, ui)
            .map_err(|error| failed(build::plan_failure(&error, &script_path)))?;
        for warning in plan.warnings() {
            ui.warning(warning);
        }
        ui.progress(format!("compiling {} for {}", count(number, "script"), self.release));
        let name = "local".parse().map_err(|error| Failure::of(Exit::Failed, &error))?;
        let options = BuildOptions { retry_failed: true, ..BuildOptions::new(BundleIdentity::called(name)) };
        let reporter = Reporter::new(ui, false);
        let report = builder::build(&plan, &options, &|event| reporter.event(event), &cancel);
        drop(reporter);
        report.map_err(|error| failed(build::build_failure(&error)))
    }

    /// Keeps the modules of `report`, and says in `done` what became of each script.
    fn keep(
        &self,
        report: &BuildReport,
        records: &[ScriptRecord],
        done: &mut Compiled,
    ) -> Result<(), Failure> {
        let runs = self.opened.identity.release.as_ref() == Some(&self.release);
        let here = self.opened.identity.version.as_ref().filter(|_| runs);
        let service = self.opened.service();
        for kernel in &report.draft.kernels {
            if let (Some(tree), Some(here)) = (&kernel.uname_v, here)
                && tree != here
            {
                let what = format!(
                    "the headers are those of build {tree} of {}, this host runs {here}",
                    self.release
                );
                return Err(Failure::new(Exit::Failed, what)
                    .hint("boot the kernel that the headers belong to, or install the headers of this one"));
            }
            done.failed.extend(kernel.red.iter().map(|red| (red.script.clone(), red.reason.clone())));
            for module in &kernel.modules {
                let script = records.iter().find(|record| record.name == module.record.name);
                let Some(script) = script else { continue };
                let bytes = module.bytes.read().map_err(|error| Failure::of(Exit::Storage, &error))?;
                let record = LocalModule {
                    schema: LocalModule::SCHEMA,
                    script: script.name.clone(),
                    release: self.release.clone(),
                    uname_v: kernel.uname_v.as_ref().or(here).cloned(),
                    sha256: Digest::of(&bytes),
                    source_sha256: Some(script.source_sha256),
                    opts_line: script.opts_line.clone(),
                    run: script.run.clone(),
                    requires: script.requires.clone(),
                    compiled: self.opened.host().now(),
                    adopted: None,
                };
                let kept = service.store_local(&record, &bytes, &self.uname_a(&record));
                kept.map_err(|error| service_failure(&error))?;
                done.modules.push(record.script);
            }
        }
        Ok(())
    }

    /// The first line of `.opts`: for another kernel than the running one, what `uname -a` will print there, as far as that
    /// can be known (INIT-CACHE-06: the original writes the running one's).
    fn uname_a(&self, record: &LocalModule) -> String {
        let identity = &self.opened.identity;
        let runs = identity.release.as_ref() == Some(&record.release);
        identity.uname_a.clone().filter(|_| runs).unwrap_or_else(|| {
            let version = record.uname_v.as_deref().unwrap_or_default();
            format!("Linux {} {} {version} {} GNU/Linux", identity.node, record.release, identity.machine)
        })
    }
}

/// What of these scripts would start, with what they require: without masked ones, and what requires one of these. Nothing is known
/// of their requirements before they were compiled, but what their sources say.
fn startable(
    chosen: &BTreeSet<ScriptName>,
    found: &[ScriptSource],
    mut masked: BTreeSet<ScriptName>,
) -> BTreeSet<ScriptName> {
    let requires = |name: &ScriptName| {
        let source = found.iter().find(|script| script.name() == name);
        source.map(|script| script.record().requires.clone()).unwrap_or_default()
    };
    while let Some(script) = found.iter().find(|script| {
        !masked.contains(script.name()) && requires(script.name()).iter().any(|name| masked.contains(name))
    }) {
        masked.insert(script.name().clone());
    }
    let mut wanted = BTreeSet::new();
    let mut next: Vec<ScriptName> = chosen.difference(&masked).cloned().collect();
    while let Some(name) = next.pop() {
        if wanted.insert(name.clone()) {
            next.extend(requires(&name));
        }
    }
    wanted
}

/// Makes the cache where it isn't there. Nobody but root may have put anything into it: modules from it are trusted as
/// compiled here.
fn check_cache(root: &FileSystem, cache: &Path) -> Result<(), Failure> {
    root.ensure_dir(cache).map_err(|error| host::storage_failure(&error))?;
    root.open_protected_through_links(cache).map(drop).map_err(|error| {
        let failure = Failure::of(Exit::Trust, &error)
            .about(format_args!("cache {}", cache.display()))
            .hint("what is compiled here is trusted, so only root may write to its cache; give another with --cache");
        match error.mended_by(root.path()) {
            Some(command) => failure.hint(command),
            None => failure,
        }
    })
}

#[cfg(test)]
mod tests;
