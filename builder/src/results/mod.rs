//! Results that are kept: the artifact cache, whose signatures count in it, and what a build that was killed had finished.

mod artifacts;
mod builders;
mod care;
mod durations;
mod index;
mod journal;
mod making;
mod record;
mod sharing;
mod state_care;

pub use artifacts::ArtifactCache;
pub(crate) use artifacts::{CachedModule, Cost, Keep, Missing, TakenResult};
pub use builders::{Builders, NotTaken, NotTakenResults};
pub use care::{CacheContents, RemovedEntries};
pub(crate) use durations::Durations;
pub(crate) use index::ArtifactIndex;
pub(crate) use journal::{EarlierOutcomes, Journal};
pub use sharing::Shared;
pub use state_care::CollectedState;
