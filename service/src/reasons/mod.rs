//! Why a script isn't started, or doesn't run after a start: closed lists, each entry with an id, words and advice.

mod module_check;
mod reason;
mod refusal;
mod start_failure;

pub use module_check::ModuleMismatch;
pub(crate) use module_check::check_module;
pub use reason::Reason;
pub use refusal::Refusal;
pub use start_failure::StartFailure;
