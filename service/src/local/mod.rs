//! What was compiled on this very host: its record, how a new set takes the place of an old one, and its removal.

pub(crate) mod cleanup;
mod record;
mod switch;

pub use cleanup::{CleanupChoice, CleanupPlan, CleanupReport, KeptReason, KeptScript};
pub use record::LocalModule;
pub(crate) use record::LocalRecord;
pub(crate) use switch::finish_all;
