//! The commands: plan, start, stop, status.

mod adopt;
mod clean;
mod onboot;

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::KernelRelease;
use installer::{CurrentGeneration, HostIdentity};
use script_config::{Configuration, ScriptName};

use crate::boot::{BootGuard, BootSwitches, BootsBefore, GuardRecord};
use crate::doctor::{Finding, examine};
use crate::event::{EventSink, ServiceEvent};
use crate::host::{Host, ServiceError, ServiceLock, log};
use crate::kernel::{LoadedModules, ModuleRules, ModuleState};
use crate::local::{LocalModule, finish_all};
use crate::offers::{Installed, Offers};
use crate::plan::{Masked, StartChoice, StartPlan};
use crate::reasons::{Reason, StartFailure, StartRefusal};
use crate::records::{last_try, status_file};
use crate::seen::{AttachEnd, AttachError, AttachOutput, StateError, StatusReport, attach};
use crate::staprun::{LoadDir, Staprun};
use crate::start::{
    Budget, LeftOutScript, Loader, Recorders, RestartChoice, RestartReport, Start, StartOptions, StartReport,
    started_again,
};
use crate::stop::{StopReport, stop, would_stop};
use files::with_causes;

/// The service on one host, with the generation that was current when it was made.
pub struct Service<'a> {
    host: &'a Host,
    identity: &'a HostIdentity,
    current: Option<&'a CurrentGeneration>,
    /// Why it isn't known what is installed, if it isn't.
    unknown: Option<StateError>,
    offers: Offers<'a>,
    /// The host's own configuration.
    own: &'a Configuration,
}

impl std::fmt::Debug for Service<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("host", &self.host).finish_non_exhaustive()
    }
}

impl<'a> Service<'a> {
    /// The service of `host`; `current` is `None` where nothing is installed. `configuration` is the host's own, without the file that bundles have in it: it may
    /// change how scripts are run, and nothing of what was compiled.
    #[must_use]
    pub fn new(
        host: &'a Host,
        identity: &'a HostIdentity,
        current: Option<&'a CurrentGeneration>,
        configuration: &'a Configuration,
    ) -> Self {
        let installed = current.map_or_else(Installed::nothing, |current| {
            Installed::of(current, identity, &host.files, &ModuleRules::read(host))
        });
        Self { current, ..Self::with_installed(host, identity, installed, configuration) }
    }

    /// The same where what is installed isn't known: what runs is seen and stopped all the same.
    #[must_use]
    pub fn without_knowing(self, why: StateError) -> Self {
        Self { unknown: Some(why), ..self }
    }

    /// A service whose modules may come from somewhere else, for tests of everything but the installer.
    pub(crate) fn with_installed(
        host: &'a Host,
        identity: &'a HostIdentity,
        installed: Installed<'a>,
        configuration: &'a Configuration,
    ) -> Self {
        let offers = Offers::find(host, identity, installed, configuration);
        Self { host, identity, current: None, unknown: None, offers, own: configuration }
    }

    /// The same, knowing why scripts have no module here: each of these was to be compiled for this start, in vain.
    #[must_use]
    pub fn with_failed_compiles(mut self, failed: &BTreeMap<ScriptName, String>) -> Self {
        self.offers.not_compiled(failed);
        self
    }

    /// Adds scripts that couldn't be compiled after a start at boot to its report, and keeps the reasons for `status`.
    pub fn not_compiled(&self, failed: &BTreeMap<ScriptName, String>, report: &mut StartReport) {
        for (script, reason) in failed {
            let reason = Reason::from(&StartRefusal::NotCompiled { reason: reason.clone() });
            last_try::keep(self.host, script, &reason);
            report.left_out.retain(|left_out| left_out.script != *script);
            report.left_out.push(LeftOutScript { script: script.clone(), reason });
        }
    }

    /// Finds out what a start would do: verifies every module, changes nothing.
    pub fn plan(&self, choice: &StartChoice<'_>) -> Result<StartPlan, ServiceError> {
        let release = self.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
        let (guard, _) = BootsBefore::read(self.host, &self.offers.bundle_ids());
        self.plan_with(release, choice, &guard)
    }

    fn plan_with(
        &self,
        release: &KernelRelease,
        choice: &StartChoice<'_>,
        guard: &BootsBefore,
    ) -> Result<StartPlan, ServiceError> {
        StartPlan::make(self.host, &self.offers, release, choice, guard)
    }

    /// Begins a start at boot: judges by the guard's record how the last boot went. To be asked of the current
    /// generation, whichever is started then.
    pub fn boot_guard(&self) -> Result<BootGuard<'a>, ServiceError> {
        BootGuard::begin(self.host, &self.offers.bundle_ids())
    }

    /// Whether the kernel's command line or the boot guard has this boot start nothing, so that nothing need be compiled.
    #[must_use]
    pub fn boots_without_scripts(&self) -> bool {
        let (guard, _) = BootsBefore::read(self.host, &self.offers.bundle_ids());
        guard.starts_nothing() || BootSwitches::read(self.host).disabled
    }

    pub fn start(
        &self,
        choice: &StartChoice<'_>,
        options: &StartOptions<'_>,
        events: &EventSink<'_>,
    ) -> Result<StartReport, ServiceError> {
        let started = self.lock().and_then(|_lock| self.start_locked(choice, options, events));
        self.logged("nothing started", started)
    }

    /// Why a whole command ends is in the log too (README 3.5).
    fn logged<T>(&self, what: &str, result: Result<T, ServiceError>) -> Result<T, ServiceError> {
        if let Err(error) = &result {
            log::loudly(self.host, &format!("Error: {what}: {}", with_causes(error)));
        }
        result
    }

    /// One start or stop at a time; whatever runs without a status file gets one first (INIT-PRE-02).
    fn lock(&self) -> Result<ServiceLock, ServiceError> {
        let lock = ServiceLock::take(self.host)?;
        status_file::adopt(self.host, &ModuleState::all_running(self.host)?);
        Ok(lock)
    }

    fn start_locked(
        &self,
        choice: &StartChoice<'_>,
        options: &StartOptions<'_>,
        events: &EventSink<'_>,
    ) -> Result<StartReport, ServiceError> {
        let release = self.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
        self.finish_compiles(release);
        let plan = match options.guard {
            Some(guard) => self.plan_with(release, choice, &BootsBefore::of(guard))?,
            None => self.plan(choice)?,
        };
        let loader = Loader {
            host: self.host,
            staprun: Staprun::find(self.host)?,
            load_dir: LoadDir::open(self.host)?,
            recorders: Recorders::from_now(self.host),
        };
        let start = Start {
            host: self.host,
            offers: &self.offers,
            loader: &loader,
            events,
            kernel: release.clone(),
            boot_id: self.host.boot_id()?,
            generation: self.current.map(CurrentGeneration::number),
            guard: options.guard,
            budget: Budget::new(options.budget),
        };
        Ok(start.run(plan, options.at_once))
    }

    /// Stops scripts: the named ones, or all that run.
    pub fn stop(&self, choice: &StartChoice<'_>, events: &EventSink<'_>) -> Result<StopReport, ServiceError> {
        self.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
        let stopped = self.lock().and_then(|_lock| stop(self.host, &self.offers, choice, events));
        let report = self.logged("nothing stopped", stopped)?;
        // An orderly stop of everything: this boot didn't go down.
        if choice.named.is_empty()
            && let Err(error) = GuardRecord::settle(self.host)
        {
            log::loudly(
                self.host,
                &format!("Warning: the boot guard isn't settled: {}", with_causes(&error)),
            );
        }
        Ok(report)
    }

    /// Stops scripts and starts them again, as one act: no other start or stop comes between.
    ///
    /// Without names: all that run are stopped, then `DEFAULT_START` or all are started (INIT-RESTART-01). With names:
    /// these, and whatever else had to be stopped for them.
    pub fn restart(
        &self,
        choice: &StartChoice<'_>,
        when: RestartChoice,
        options: &StartOptions<'_>,
        events: &EventSink<'_>,
    ) -> Result<RestartReport, ServiceError> {
        self.identity.release.as_ref().ok_or(ServiceError::NoKernel)?;
        let restarted = self.lock().and_then(|_lock| self.restart_locked(choice, when, options, events));
        self.logged("not restarted", restarted)
    }

    fn restart_locked(
        &self,
        choice: &StartChoice<'_>,
        when: RestartChoice,
        options: &StartOptions<'_>,
        events: &EventSink<'_>,
    ) -> Result<RestartReport, ServiceError> {
        if when == RestartChoice::IfRunning && self.status(choice.named)?.exit_code() != 0 {
            return Ok(RestartReport::NOTHING);
        }
        self.refuse_masked(choice)?;
        events(ServiceEvent::RestartStops);
        let stopped = stop(self.host, &self.offers, choice, events)?;
        events(ServiceEvent::RestartStarts { all_stopped: stopped.all_stopped() });
        let named = started_again(choice.named, &stopped);
        let started = self.start_locked(&StartChoice { named: &named, ..*choice }, options, events)?;
        Ok(RestartReport { stop: Some(stopped), start: Some(started) })
    }

    /// Refuses a restart of what a mask would keep from starting again. Without names, what is masked is stopped and stays so,
    /// as everything that a start without names passes over.
    fn refuse_masked(&self, choice: &StartChoice<'_>) -> Result<(), ServiceError> {
        let candidates = self.offers.candidates();
        let masked = Masked::find(self.host, candidates, &LoadedModules::read(self.host)?);
        if choice.named.is_empty() && masked.unknown().is_none() {
            return Ok(());
        }
        // What else is stopped for them is to start again too.
        let stopped = would_stop(self.host, &self.offers, choice)?;
        let refused =
            choice.named.iter().chain(&stopped).find_map(|script| {
                Some((script.clone(), masked.once_stopped(script, candidates)?.to_string()))
            });
        match refused {
            Some((script, why)) => Err(ServiceError::WouldNotRestart { script, why }),
            None => Ok(()),
        }
    }

    /// Keeps a module that was compiled on this host, with `uname_a` as the first line of its `.opts`. From now on it is
    /// trusted by its record. A script that an installed bundle offers is refused.
    pub fn store_local(
        &self,
        record: &LocalModule,
        module: &[u8],
        uname_a: &str,
    ) -> Result<(), ServiceError> {
        if let Some(bundle) = self.owner(&record.script) {
            let script = record.script.clone();
            return Err(ServiceError::OwnedByBundle { script, bundle: bundle.to_owned() });
        }
        let _lock = self.lock()?;
        record.store(self.host, module, uname_a)?;
        last_try::forget(self.host, &record.script)?;
        log::line(self.host, &format!("{}: compiled for {}", record.script, record.release));
        Ok(())
    }

    /// Gives what a compile that was cut has left its names, or removes it. What can't be done now stops nothing: a start reads
    /// what is there.
    fn finish_compiles(&self, release: &KernelRelease) {
        if let Err(error) = finish_all(self.host, release) {
            log::line(self.host, &with_causes(&error));
        }
    }

    /// Whether a script runs.
    pub fn runs(&self, script: &ScriptName) -> Result<bool, ServiceError> {
        Ok(ModuleState::observe(self.host, script)? == ModuleState::Running)
    }

    /// Whether a bundle or a compile on this host offers a script.
    #[must_use]
    pub fn is_offered(&self, script: &ScriptName) -> bool {
        self.offers.get(script).is_some()
    }

    /// Scripts that masks keep from starting, and don't run: masked ones, and offered ones that require one of these.
    ///
    /// # Errors
    /// Why it isn't known which they are, so that none is started.
    pub fn masked(&self) -> Result<BTreeSet<ScriptName>, Reason> {
        let modules = LoadedModules::read(self.host);
        let modules = modules.map_err(|error| Reason::from(&StartFailure::from(error)))?;
        let masked = Masked::find(self.host, self.offers.candidates(), &modules);
        match masked.unknown() {
            Some(unknown) => Err(Reason::from(unknown)),
            None => Ok(masked.left_out_scripts().cloned().collect()),
        }
    }

    /// The installed bundle that offers a script.
    #[must_use]
    pub fn owner(&self, script: &ScriptName) -> Option<&str> {
        self.offers.get(script)?.bundle()
    }

    /// Scripts that a start refuses for what this host's own configuration says of them.
    #[must_use]
    pub fn unfit_settings(&self) -> Vec<(ScriptName, StartRefusal)> {
        let unfit = self.offers.candidates().values().filter_map(|candidate| match &candidate.cell {
            Err(refusal @ StartRefusal::HostSettings { .. }) => {
                Some((candidate.name.clone(), refusal.clone()))
            }
            _ => None,
        });
        unfit.collect()
    }

    /// Shows the data of a running script's recorder in memory until the host's token is set or the script ends.
    pub fn attach(
        &self,
        script: &ScriptName,
        on_output: &mut dyn FnMut(AttachOutput<'_>),
    ) -> Result<AttachEnd, AttachError> {
        attach(self.host, script, on_output)
    }

    /// Looks at all that a start needs. Takes no lock and changes nothing.
    pub fn examine(&self) -> Result<Vec<Finding>, ServiceError> {
        let status = self.status(&BTreeSet::new())?;
        Ok(examine(self.host, self.current, &status))
    }

    /// Looks at the named scripts, or at all that are offered or run. Takes no lock and changes nothing.
    pub fn status(&self, named: &BTreeSet<ScriptName>) -> Result<StatusReport, ServiceError> {
        let mut report = StatusReport::look(
            self.host,
            &self.offers,
            self.identity,
            self.current,
            self.unknown.as_ref(),
            named,
        )?;
        match self.onboot() {
            Ok(onboot) => report.onboot = onboot,
            Err(error) => report.errors.push(StateError::damage(format!(
                "what starts from the initramfs isn't known: {}",
                with_causes(&error)
            ))),
        }
        Ok(report)
    }
}
