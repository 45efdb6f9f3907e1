//! What a status says of installed bundles.

use bundle_format::{BundleId, BundleVersion};
use installer::{CurrentGeneration, Domain};
use serde::Serialize;

/// One installed bundle.
#[derive(Debug, Serialize)]
pub struct BundleStatus {
    pub name: String,
    /// The domain that owns its name.
    pub domain: Domain,
    /// Its version; absent if it isn't believed.
    pub version: Option<BundleVersion>,
    /// Its id; absent if it isn't believed.
    pub id: Option<BundleId>,
    /// When it was made, in seconds since 1970, as signed.
    pub created: Option<u64>,
    /// Seconds since 1970 after which it should be replaced.
    pub best_before: Option<u64>,
    /// The same in seconds from now on by this host's clock; negative if that time is over.
    pub best_before_in: Option<i64>,
    /// Whether that time is over.
    pub expired: bool,
    /// Why it isn't believed.
    pub refused: Option<String>,
}

impl BundleStatus {
    /// The bundles of `current`, believed or not, by name.
    pub(crate) fn all(current: &CurrentGeneration, now: u64) -> Vec<Self> {
        let believed = current.bundles().iter().map(|bundle| Self {
            name: bundle.name.to_string(),
            domain: bundle.domain.clone(),
            version: Some(bundle.version.clone()),
            id: Some(bundle.id),
            created: Some(bundle.created),
            best_before: bundle.best_before,
            best_before_in: bundle.best_before.map(|time| time.cast_signed().saturating_sub_unsigned(now)),
            expired: bundle.best_before.is_some_and(|time| time < now),
            refused: None,
        });
        let refused = current.refused_bundles().iter().map(|bundle| Self {
            name: bundle.name.clone(),
            domain: bundle.domain.clone(),
            version: None,
            id: None,
            created: None,
            best_before: None,
            best_before_in: None,
            expired: false,
            refused: Some(bundle.reason.clone()),
        });
        let mut all: Vec<Self> = believed.chain(refused).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
