//! What one command has opened of the host: each part once, when it is first asked for, and handed on from there.
//!
//! Writers make it under the lock, so that what they read stays true until they are done. A part is opened late, for a command
//! must not fail for what it doesn't need: a rollback leaves a generation that can't be read, gc asks for no policy.

use std::cell::OnceCell;

use bundle_format::Twin;
use files::FileSystem;

use crate::generation::{CurrentGeneration, GenerationError, open_state};
use crate::trust::{Policy, PolicyError, TrustError, TrustStore};

/// Policy and trust of a host, and by them what is current.
pub(crate) struct State<'h> {
    pub(crate) host: &'h FileSystem,
    policy: OnceCell<Policy>,
    trust: OnceCell<TrustStore>,
}

impl<'h> State<'h> {
    /// Nothing is opened yet.
    pub(crate) const fn of(host: &'h FileSystem) -> Self {
        Self { host, policy: OnceCell::new(), trust: OnceCell::new() }
    }

    /// With the trust that its caller has opened.
    pub(crate) fn with_trust(self, trust: TrustStore) -> Self {
        Self { trust: trust.into(), ..self }
    }

    /// The same host once more, for what was opened before the lock counts no longer under it. The policy does: no lock keeps
    /// the administrator from it.
    pub(crate) fn reopened(self) -> Self {
        Self { trust: OnceCell::new(), ..self }
    }

    /// What the administrator allows.
    pub(crate) fn policy(&self) -> Result<&Policy, PolicyError> {
        once(&self.policy, || Policy::read(self.host))
    }

    /// Whom the host believes.
    pub(crate) fn trust(&self) -> Result<&TrustStore, TrustError> {
        once(&self.trust, || TrustStore::open(self.host))
    }

    /// Changes whom the host believes, or takes something from it.
    pub(crate) fn with_trust_mut<T>(
        &mut self,
        change: impl FnOnce(&mut TrustStore) -> T,
    ) -> Result<T, TrustError> {
        let mut trust = self.trust.take().map_or_else(|| TrustStore::open(self.host), Ok)?;
        let changed = change(&mut trust);
        self.trust = trust.into();
        Ok(changed)
    }

    /// Generation `number`, whether it is current or not.
    pub(crate) fn generation(&self, number: u64) -> Result<CurrentGeneration, GenerationError> {
        CurrentGeneration::open_number_by(self.trust()?.host_trust(), self.host, number)
    }

    /// The generation that is current now: another one after a switch. `known` is a bundle that was verified just now.
    pub(crate) fn current(&self, known: Option<&Twin>) -> Result<Option<CurrentGeneration>, GenerationError> {
        let Some(state) = open_state(self.host)? else { return Ok(None) };
        CurrentGeneration::open_by(self.trust()?.host_trust(), &state, known)
    }
}

fn once<T, E>(cell: &OnceCell<T>, open: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    match cell.get() {
        Some(opened) => Ok(opened),
        None => open().map(|opened| cell.get_or_init(|| opened)),
    }
}
