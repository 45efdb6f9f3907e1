//! Why a script isn't started, or doesn't run after a start: closed lists, each entry with an id, words and advice.

mod module_check;
mod reason;
mod start_failure;
mod start_refusal;

pub use module_check::ModuleMismatch;
pub(crate) use module_check::check_module;
pub use reason::Reason;
pub use start_failure::StartFailure;
pub use start_refusal::StartRefusal;
pub(crate) use start_refusal::{NOT_COMPILED, is_of_masks};
