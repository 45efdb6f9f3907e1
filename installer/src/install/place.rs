//! A proven bundle gets its place: under the lock, or tried out without one.

use bundle_format::{Judge, Positioned, RawBundle, Source, VerifiedBundle};

use crate::compat::{Foreign, absent_sources, joined, place_sources, preview, reconcile_locked};
use crate::generation::{Events, InstallEvent, ModuleKeys, remove_left_overs};
use crate::host::{HistoryEvent, HostKernels, WriterLock, append};
use crate::install::believe::believed_still;
use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::report::{InstallReport, ModuleSigner};
use crate::install::symbols::leave_out_other_builds;
use crate::state::State;

/// A proven bundle, and what is needed to give it its place.
pub(super) struct Placing<'p> {
    /// As it was opened before the lock.
    pub(super) before: State<'p>,
    pub(super) judge: &'p Judge,
    pub(super) here: HostKernels<'p>,
    pub(super) installation: Installation<'p>,
}

impl Placing<'_> {
    pub(super) fn run(
        mut self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<InstallReport, InstallError> {
        leave_out_other_builds(&self.before, &mut self.here, &mut self.installation, self.judge, file)?;
        if bundle.manifest().module_certificates().next().is_some() {
            let mut again = RawBundle::read(file.again())?.verify_twin(&bundle.twin())?;
            self.installation.module_keys = ModuleKeys::of_bundle(self.before.host, &mut again)?;
        }
        let module_signers = module_signers(&self.installation.module_keys);
        let report = if self.installation.options.dry_run {
            self.try_out(bundle, events)
        } else {
            self.place(bundle, file, events)
        };
        Ok(InstallReport { module_signers, ..report? })
    }

    fn place(
        self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<InstallReport, InstallError> {
        let Self { before, judge, here, installation } = self;
        let Installation { manifest, options, identity, .. } = installation;
        let whose = (&installation.domain.clone(), &manifest.name);
        let lock = WriterLock::wait(before.host, options.wait)?;
        let mut state = before.reopened();
        believed_still(&mut state, judge, bundle.signers(), whose)?;
        let known = bundle.twin();
        let (mut report, linked) = match installation.run(&state, &here, &lock, bundle, file, events) {
            Ok(done) => done,
            Err(error) => {
                // Best effort: the next writer does it too.
                let _ = remove_left_overs(&lock, events);
                return Err(error);
            }
        };
        if let Some(event) = report.history() {
            report.remember(append(state.host, &lock, options.now, event));
        }
        events(InstallEvent::Reconciling);
        let foreign = if options.move_foreign { Foreign::MoveAside } else { Foreign::Leave };
        // Before the rest, which brings the times of the modules up to those of their scripts.
        let scripts =
            if options.with_source { place_sources(&state, &lock, &manifest.name) } else { Ok(Vec::new()) };
        let compat = reconcile_locked(&state, identity, &lock, foreign, Some(&known));
        let moved = compat.iter().flat_map(|compat| compat.moved.clone()).collect::<Vec<_>>();
        if !moved.is_empty() {
            report.remember(append(state.host, &lock, options.now, HistoryEvent::MoveForeign { moved }));
        }
        report.compat = joined(linked, compat).and_then(|mut compat| {
            compat.written.extend(scripts?);
            Ok(compat)
        });
        Ok(report)
    }

    /// The same without a lock and without a write.
    fn try_out(
        self,
        bundle: VerifiedBundle<impl Source>,
        events: &mut Events<'_>,
    ) -> Result<InstallReport, InstallError> {
        let Self { before, judge, here, installation } = self;
        let Installation { manifest, options, identity, .. } = installation;
        let whose = (&installation.domain.clone(), &manifest.name);
        let mut state = before.reopened();
        believed_still(&mut state, judge, bundle.signers(), whose)?;
        let mut report = installation.try_out(&state, &here, bundle, events)?;
        let ids = report.kernels.iter().map(|kernel| kernel.id).collect();
        let current = state.current(None)?;
        let foreseen = preview(state.host, identity, manifest, &ids, current.as_ref());
        report.compat = foreseen.and_then(|mut compat| {
            if options.with_source {
                compat.written.extend(absent_sources(state.host, manifest)?);
            }
            Ok(compat)
        });
        Ok(report)
    }
}

fn module_signers(keys: &ModuleKeys) -> Vec<ModuleSigner> {
    let signer = |id| ModuleSigner { name: keys.name(id), has_key: keys.is_known(id) };
    keys.certificates().map(|(id, _)| signer(id)).collect()
}
