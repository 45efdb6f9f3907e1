//! The way of a build: what was typed, a plan, compiled modules, a bundle.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use builder::{BuildError, BuildOptions, BuildReport, BuildRequest, OpenCells, Plan, PlanError};
use child::Cancel;
use signing::{ModuleSigner, PrivateKeyFile};

use crate::commands::farm::build::args::{Args, Progress};
use crate::commands::farm::build::failure::{build_failure, builder_key_failure, not_planned};
use crate::commands::farm::build::kernels::with_hosts;
use crate::commands::farm::build::output::Places;
use crate::commands::farm::build::pack::{Compiled, Older, Signers};
use crate::commands::farm::build::policy::Weights;
use crate::commands::farm::build::reporter::Reporter;
use crate::commands::farm::build::{dry_run, scripts, shards, table};
use crate::commands::farm::key::signing_keys;
use crate::commands::farm::roots;
use crate::config_files::{self, Loaded};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::ui::Ui;
use crate::words::{bytes, count};

/// What a build begins with.
struct Inputs {
    /// Empty where nothing is signed.
    keys: Vec<PrivateKeyFile>,
    signers: Vec<ModuleSigner>,
    cancel: Cancel,
    loaded: Loaded,
    /// `STAP_TEMP` or what else the configuration names for temporary files.
    temporary: Option<PathBuf>,
    places: Places,
    request: BuildRequest,
    older: Option<Older>,
    options: BuildOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        self.carry_out(None, global, ui)
    }

    /// Packs and signs what the parts of a build have compiled, and compiles nothing.
    pub(crate) fn merge(self, shards: u32, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
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
        let Inputs { keys, signers, cancel, loaded, temporary, mut places, request, older, mut options } =
            self.inputs(merged, ui)?;
        let script_path = &loaded.configuration.parameters().script_path;
        let mut plan = self
            .plan(&request, &cancel, ui)
            .map_err(|error| with_hosts(not_planned(&error, script_path), &error, &request.listed))?;
        builder::check_identity(&plan, &options.identity).map_err(|error| build_failure(&error.into()))?;
        self.policy.check_patterns(&plan)?;
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
        ui.log_to(&loaded.configuration);
        ui.log(&format!("Exec: {}", command_line()));
        let report = self.compile(&plan, options, merged, &cancel, ui)?;
        if let Some(shard) = self.shard {
            self.write_report(&plan, &report, None, &mut places)?;
            return Ok(shards::finished(ui, shard, &report));
        }
        if let Err(failure) = self.check(&plan, &report, ui) {
            // The failure names what is missing; the table shows the rest.
            self.write_report(&plan, &report, None, &mut places)?;
            if !ui.json {
                table::matrix(ui, &plan, &report);
                self.name_report(ui);
            }
            return Err(failure);
        }
        let from = Compiled { plan: &plan, report: &report };
        let signers = Signers { keys: &keys, modules: &signers };
        let packed = self.packed(&from, older, signers, &cancel, temporary.as_deref(), ui)?;
        self.finish(ui, &from, packed, &mut places)
    }

    /// Reads what the build begins with. What is wrong with any of it would otherwise show after an hour of compiling: the key
    /// comes first.
    fn inputs(&self, merged: Option<u32>, ui: &mut Ui) -> Result<Inputs, Failure> {
        ui.leave_output_to(self.output.as_deref())?;
        let unsigned = self.dry_run || self.no_sign || self.shard.is_some();
        let keys = if unsigned { Vec::new() } else { signing_keys(&self.key)? };
        let cancel = Cancel::new();
        let packs_nothing = self.dry_run || self.shard.is_some();
        let signers = if packs_nothing { Vec::new() } else { self.module_keys.signers(&cancel, ui)? };
        let builders = self.builders.read()?;
        let roots = self.roots.as_deref().map(|path| roots::read(path, &keys, ui)).transpose()?;
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
        let places = if self.dry_run { Places::default() } else { self.places(&loaded, ui)? };
        let kernels = self.kernels.read(ui)?;
        let request = BuildRequest {
            releases: kernels.releases,
            listed: kernels.listed,
            all_kernels: self.kernels.all(),
            pins: self.pin.clone(),
            compilers: self.compiler.iter().cloned().collect(),
            leave_out: self.dry_run,
            policy: self.policy.policy(),
            input_check: self.input_check(),
            full_scan: self.full_scan,
            sysroots: self.sysroot.clone(),
            scripts: found,
            ..BuildRequest::new(self.directories(temporary.as_deref())?)
        };
        let older = if self.dry_run { None } else { self.older(&keys)? };
        let mut options = self.options(loaded.modified, roots, merged)?;
        options.builders =
            builders.with_key_of(&request.directories).map_err(|error| builder_key_failure(&error))?;
        Ok(Inputs { keys, signers, cancel, loaded, temporary, places, request, older, options })
    }

    /// Whether what was compiled may become a bundle.
    fn check(&self, plan: &Plan, report: &BuildReport, ui: &mut Ui) -> Result<(), Failure> {
        self.policy.check(report, &Weights::of_plan(plan))?;
        match &report.reproducibility {
            Some(found) => Reporter::new(ui, self.progress == Progress::Json).checked(found),
            None => Ok(()),
        }
    }

    fn plan(&self, request: &BuildRequest, cancel: &Cancel, ui: &mut Ui) -> Result<Plan, PlanError> {
        match self.progress {
            Progress::Text => make_plan(request, cancel, ui),
            Progress::Json => Plan::make(request, cancel),
        }
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
}

/// What was typed, as a shell would need it.
fn command_line() -> String {
    let words = std::env::args_os().map(|word| script_config::quote_word(&word.to_string_lossy()));
    words.collect::<Vec<_>>().join(" ")
}

/// Makes the plan, and tells of large trees that are read: the first time that takes a while.
pub(crate) fn make_plan(request: &BuildRequest, cancel: &Cancel, ui: &mut Ui) -> Result<Plan, PlanError> {
    let ui = Mutex::new(ui);
    let reading = |tree: &Path, files: usize, size: u64| {
        let files = count(files, "file");
        let line = format!(
            "reading {files} of {} ({}), new or changed since last time",
            tree.display(),
            bytes(size)
        );
        ui.lock().unwrap_or_else(PoisonError::into_inner).progress(line);
    };
    Plan::make_telling(request, cancel, &reading)
}
