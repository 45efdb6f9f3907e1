//! What the kernel tells at this moment: modules, whether their scripts run, its rules for modules, the processes of
//! `stapio`. Paths of `/proc` and `/sys` come in, typed states go out; nothing is remembered.

mod enrolled_keys;
pub(crate) mod memory;
mod module_identity;
mod module_rules;
mod module_state;
mod modules;
mod permission;
mod stapio;
mod stapio_identity;
mod taint;
mod unread;
mod watch;

pub(crate) use enrolled_keys::EnrolledKeys;
pub use module_identity::{LoadedBytes, ModuleIdentity};
pub use module_rules::ModuleRules;
pub use module_state::ModuleState;
pub(crate) use modules::LoadedModules;
pub(crate) use permission::may_load_modules;
pub use stapio::ProcessId;
pub(crate) use stapio::Stapio;
pub use taint::Taint;
pub(crate) use unread::Unread;
pub(crate) use watch::watch;
