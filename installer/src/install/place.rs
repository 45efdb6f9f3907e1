//! A proven bundle gets its place: under the lock, or tried out without one.

use bundle_format::{Judge, Positioned, Source, VerifiedBundle};
use files::{Directory, FileSystem, optional};

use crate::compat::{
    CompatError, Foreign, ReconcileReport, absent_sources, place_sources, preview, reconcile_locked,
};
use crate::generation::{Events, InstallEvent, remove_left_overs};
use crate::host::paths::{GENERATIONS, STATE};
use crate::host::{HistoryEvent, HistoryRecord, HostIdentity, HostKernels, WriterLock, append};
use crate::install::believe::trust_of_now;
use crate::install::error::InstallError;
use crate::install::installation::{Installation, Placed};
use crate::install::options::InstallOptions;
use crate::install::order::Past;
use crate::install::symbols::leave_out_other_builds;
use crate::trust::{FloorState, TrustStore};

/// A proven bundle, and what is needed to give it its place.
pub(super) struct Placing<'p> {
    pub(super) host: &'p FileSystem,
    pub(super) identity: &'p HostIdentity,
    pub(super) options: &'p InstallOptions,
    pub(super) judge: &'p Judge,
    pub(super) here: HostKernels<'p>,
    pub(super) installation: Installation<'p>,
}

pub(super) type Reconciled = Result<ReconcileReport, CompatError>;

impl Placing<'_> {
    pub(super) fn run(
        mut self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        leave_out_other_builds(&mut self.here, &mut self.installation, self.judge, file)?;
        if self.options.dry_run { self.try_out(bundle, events) } else { self.place(bundle, file, events) }
    }

    fn place(
        self,
        bundle: VerifiedBundle<impl Source>,
        file: &Positioned,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        let Self { host, identity, options, judge, installation, .. } = self;
        let lock = WriterLock::wait(host, options.wait)?;
        let trust = trust_of_now(host, judge, bundle.signers())?;
        let (manifest, known) = (installation.manifest, bundle.twin());
        let mut placed = match installation.run(&lock, &trust, bundle, file, events) {
            Ok(placed) => placed,
            Err(error) => {
                // Best effort: the next writer does it too.
                let _ = remove_left_overs(&lock, events);
                return Err(error);
            }
        };
        if let Some(event) = placed.history(manifest) {
            placed.remember(append(host, &lock, &HistoryRecord { time: options.now, event }));
        }
        events(InstallEvent::Reconciling);
        let foreign = if options.adopt { Foreign::Adopt } else { Foreign::Leave };
        // Before the rest, which brings the times of the modules up to those of their scripts.
        let scripts =
            if options.with_source { place_sources(host, &lock, &manifest.name) } else { Ok(Vec::new()) };
        let compat = reconcile_locked(host, identity, &lock, foreign, Some(&known));
        let moved = compat.iter().flat_map(|report| report.adopted.clone()).collect::<Vec<_>>();
        if !moved.is_empty() {
            let event = HistoryEvent::Adopt { moved };
            placed.remember(append(host, &lock, &HistoryRecord { time: options.now, event }));
        }
        let compat = compat.and_then(|mut report| {
            report.written.extend(scripts?);
            Ok(report)
        });
        Ok((placed, compat))
    }

    /// The same without a lock and without a write.
    fn try_out(
        self,
        bundle: VerifiedBundle<impl Source>,
        events: &mut Events<'_>,
    ) -> Result<(Placed, Reconciled), InstallError> {
        let Self { host, identity, judge, installation, options, .. } = self;
        let trust = trust_of_now(host, judge, bundle.signers())?;
        let manifest = installation.manifest;
        let placed = installation.try_out(&trust, bundle, events)?;
        let ids = placed.kernels.iter().map(|kernel| kernel.id).collect();
        let compat = preview(host, identity, manifest, &ids).and_then(|mut report| {
            if options.with_source {
                report.written.extend(absent_sources(host, manifest)?);
            }
            Ok(report)
        });
        Ok((placed, compat))
    }
}

/// The state's directory of generations and what is current, as they are before a first install too.
pub(super) fn generations_of(host: &FileSystem) -> Result<Option<Directory>, InstallError> {
    let Some(state) = optional(host.open_dir(STATE))? else { return Ok(None) };
    Ok(optional(state.open_dir(GENERATIONS))?)
}

/// Reads the floors and what is kept on disk.
pub(super) fn past(
    host: &FileSystem,
    generations: Option<&Directory>,
    trust: &TrustStore,
) -> Result<Past, InstallError> {
    Ok(Past::read(FloorState::read(host)?, generations, trust.host_trust())?)
}
