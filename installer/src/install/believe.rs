//! Whether a bundle is believed, and in which domain: as it comes in, and once more under the lock.

use bundle_format::{BundleError, BundleName, Judge, KeyId, RawBundle, RootChain, Source, VerifiedBundle};

use crate::generation::{Events, InstallEvent};
use crate::host::Domain;
use crate::install::error::InstallError;
use crate::install::kept_frames::KeptFrames;
use crate::install::options::InstallOptions;
use crate::state::State;
use crate::trust::{DomainTrust, RootRecord, TrustError, TrustStore};

pub(super) struct Believed<S> {
    pub(super) bundle: VerifiedBundle<S>,
    /// Whose keys signed it, and which owns its name.
    pub(super) domain: Domain,
    /// By which root it was accepted.
    pub(super) record: Option<RootRecord>,
    /// What is kept of the same bundle, if it is installed now.
    pub(super) again: Option<KeptFrames>,
}

/// Judges the bundle by this host's trust. What its roots add to an accepted chain is stored first, and
/// stays whatever becomes of the bundle. A bundle that is installed now is judged as it was then, so that
/// more of its kernels can be unpacked after a rotation.
pub(super) fn believed<S: Source>(
    state: &mut State<'_>,
    raw: RawBundle<S>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<Believed<S>, InstallError> {
    if state.trust()?.is_empty() {
        // A pin that was passed over says more than that there is none.
        let problem = state.with_trust_mut(TrustStore::take_problem)?;
        return Err(problem.map_or(InstallError::NoTrust, InstallError::Trust));
    }
    // A generation that can't be read is the locked part's matter.
    let current = state.current(None).ok().flatten();
    let same = current.as_ref().and_then(|current| {
        let id = raw.claimed_id();
        current.bundles().iter().find(|bundle| bundle.id == id)
    });
    // One whose record of that is gone is judged as if it came for the first time.
    let recorded = same.filter(|same| same.root_problem().is_none());
    let (domain, judge) = match recorded {
        Some(same) => (same.domain.clone(), raw.judge(same.trusted())?),
        None => judged(state, &raw, options, events)?,
    };
    accept(state, &domain, &judge, options, events)?;
    let record = match recorded {
        Some(same) => same.root.clone(),
        None => judge.chain().map(|chain| RootRecord::of_newest(chain, &domain)),
    };
    let again = same.and_then(KeptFrames::of);
    Ok(Believed { bundle: raw.verify_by(judge)?, domain, record, again })
}

/// The domain of a bundle that isn't installed. Its roots are stored in each domain that they fit, before anything else of it is
/// looked at.
fn judged<S: Source>(
    state: &mut State<'_>,
    raw: &RawBundle<S>,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<(Domain, Judge), InstallError> {
    let judges = state.trust()?.host_trust().judges(raw)?;
    if raw.roots_len() > 0 {
        for (domain, judge) in &judges {
            accept(state, domain, judge, options, events)?;
        }
    }
    Ok(state.trust()?.host_trust().choose(raw, judges)?)
}

/// Stores what the bundle's roots add to the accepted chain of a domain.
fn accept(
    state: &mut State<'_>,
    domain: &Domain,
    judge: &Judge,
    options: &InstallOptions,
    events: &mut Events<'_>,
) -> Result<(), InstallError> {
    let host = state.host;
    let Some(chain) = judge.chain().filter(|_| !options.dry_run) else { return Ok(()) };
    let accepted =
        state.with_trust_mut(|trust| trust.accept(host, domain, chain, options.now, options.wait))??;
    if let Some(update) = accepted {
        let newest = update.chain.newest();
        let name = newest.document().name.clone();
        events(InstallEvent::RootsAccepted {
            domain: update.domain,
            name,
            from: update.from,
            to: newest.version(),
        });
    }
    Ok(())
}

/// By this host's trust under the lock: what was accepted or revoked while the manifest came in must count too.
pub(super) fn believed_still(
    state: &mut State<'_>,
    judge: &Judge,
    signers: &[KeyId],
    (domain, name): (&Domain, &BundleName),
) -> Result<(), InstallError> {
    let store = state.trust()?;
    store.host_trust().check_owner(name.as_str(), domain)?;
    let trust = store.domain(domain)?;
    trust.check_with(judge.chain())?;
    if judge.root().is_none() {
        let keys = trust.trusted_keys().keys();
        let counted = signers.iter().filter(|id| keys.iter().any(|key| key.id() == **id)).count();
        if counted < judge.threshold() {
            // A pin that can't be read now is another matter than one that was taken back.
            let problem = state.with_trust_mut(TrustStore::take_problem)?;
            let taken_back = || BundleError::NotTrusted { signers: signers.to_vec() }.into();
            return Err(problem.map_or_else(taken_back, InstallError::Trust));
        }
    }
    let trust = state.trust()?.domain(domain)?;
    // A dry run has not stored what the bundle's own roots add, so the chain that judges may be longer, and never another one.
    let Some(now) = trust.chain().map(RootChain::newest) else {
        return match judge.chain() {
            Some(judging) => leads_to(trust, judging),
            None => Ok(()),
        };
    };
    match judge.chain().and_then(|judging| judging.with_digest(&now.digest())) {
        Some(_) => Ok(()),
        None => Err(TrustError::Overtaken { version: now.version() }.into()),
    }
}

/// Whether the pins still lead to a chain that isn't kept on this host.
fn leads_to(trust: &DomainTrust, chain: &RootChain) -> Result<(), InstallError> {
    let roots = chain.to_bytes().map_err(TrustError::Roots)?;
    trust.trusted_keys().accept_roots(&roots).map_err(TrustError::Roots)?;
    Ok(())
}
