//! What a start will do: offers and choice come in, an order with a verdict on each script goes out. Nothing is changed.

mod start_plan;

pub(crate) use start_plan::{OnFailure, PlannedScript, ReadyScript, Verdict};
pub use start_plan::{StartChoice, StartPlan};
