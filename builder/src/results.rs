//! Results that are kept: the artifact cache, whose signatures count in it, and what a build that was killed had finished.

pub(crate) mod artifacts;
pub(crate) mod builders;
pub(crate) mod care;
pub(crate) mod durations;
pub(crate) mod index;
pub(crate) mod journal;
pub(crate) mod making;
pub(crate) mod record;
pub(crate) mod sharing;
pub(crate) mod state_care;
