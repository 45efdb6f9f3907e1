//! Why a script isn't started, or doesn't run after a start: closed lists, each entry with an id, words and advice.

mod module_check;
mod reason;
mod refusal;
mod start_failure;

pub(crate) use module_check::ModuleInfo;
pub use module_check::ModuleMismatch;
pub use reason::Reason;
pub use refusal::Refusal;
pub use start_failure::StartFailure;
