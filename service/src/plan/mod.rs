//! What a start will do: offers and choice come in, an order with a step for each script goes out. Nothing is changed.

mod choice;
mod kernel_rules;
mod masked;
mod start_plan;
mod step;

pub(crate) use choice::OnFailure;
pub use choice::StartChoice;
pub use kernel_rules::would_refuse;
pub(crate) use masked::Masked;
pub(crate) use start_plan::PlannedScript;
pub use start_plan::StartPlan;
pub(crate) use step::{ReadyScript, Step};
