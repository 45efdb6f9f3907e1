//! Bundles that should be replaced: their best-before is near, or has passed. An install refuses such a one; what is
//! installed is started all the same, with a word.

use bundle_format::{BundleName, BundleVersion};
use files::FileSystem;

use crate::generation::CurrentGeneration;
use crate::trust::{FloorState, Policy};

/// An installed bundle that should be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aging {
    pub name: BundleName,
    pub version: BundleVersion,
    /// Seconds since 1970, as signed.
    pub best_before: u64,
    /// The later of the clock and the newest installed bundle's time.
    pub now: u64,
}

impl Aging {
    /// Whether its time has passed.
    #[must_use]
    pub const fn has_passed(&self) -> bool {
        self.best_before < self.now
    }
}

/// The bundles of `current` whose best-before has passed, or is nearer than the policy's `warn-days`; `now` is the clock,
/// in seconds since 1970. Where policy or floors can't be read, the defaults and the clock alone say: nothing of this may
/// keep a start from its work.
#[must_use]
pub fn aging(host: &FileSystem, current: &CurrentGeneration, now: Option<u64>) -> Vec<Aging> {
    let policy = Policy::read(host).unwrap_or_default();
    let floors = FloorState::read(host).ok();
    let of = |bundle: &crate::InstalledBundle| {
        let best_before = bundle.best_before?;
        let floor =
            floors.as_ref().and_then(|floors| floors.newest_created(&bundle.domain, bundle.manifest.epoch));
        let now = now.max(floor)?;
        let is_near = best_before < now.saturating_add(policy.time.warn_seconds());
        is_near.then_some(Aging {
            name: bundle.name.clone(),
            version: bundle.version.clone(),
            best_before,
            now,
        })
    };
    current.bundles().iter().filter_map(of).collect()
}
