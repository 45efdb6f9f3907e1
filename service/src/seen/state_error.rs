//! State of ours that is refused or damaged: what it would tell isn't known, and a report must not pass over that.

use installer::{CurrentGeneration, RefusalKind};
use serde::Serialize;

/// Something of ours that can't be believed or read.
#[derive(Debug, Clone, Serialize)]
pub struct StateError {
    /// The installed bundle, if it is one that isn't believed.
    pub bundle: Option<String>,
    pub kind: RefusalKind,
    pub what: String,
}

impl StateError {
    /// Of no bundle.
    pub fn of(kind: RefusalKind, what: impl Into<String>) -> Self {
        Self { bundle: None, kind, what: what.into() }
    }

    /// A file or directory that isn't what it must be.
    pub(crate) fn damage(what: impl Into<String>) -> Self {
        Self::of(RefusalKind::Damaged, what)
    }

    /// What of the current generation isn't believed, or isn't there.
    pub(crate) fn of_generation(current: &CurrentGeneration) -> Vec<Self> {
        let refused = current.refused_bundles().iter().map(|bundle| Self {
            bundle: Some(bundle.name.clone()),
            kind: bundle.kind,
            what: format!("bundle {} is refused: {}", bundle.name, bundle.reason),
        });
        refused.chain(current.visible_damage().map(Self::damage)).collect()
    }
}
