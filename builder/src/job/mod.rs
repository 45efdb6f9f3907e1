//! One cell on its way: the script and the kernel, the key of its result, the command, and what came of it.

mod address;
mod cell;
mod key;
mod maker;
mod module_info;
mod outcome;
mod privilege;
mod recipe;

pub use address::{ServerAddress, ServerAddressError};
pub use cell::{Cell, CompileJob};
pub use key::{CacheKey, KeyParts, ServerIdentity};
pub use maker::Maker;
pub(crate) use module_info::{ELF_HEADER, machine_of_elf};
pub use module_info::{ModuleError, ModuleInfo};
pub use outcome::{CellReport, JobOutcome, ModuleArtifact};
pub use privilege::Privilege;
pub use recipe::{RECIPE_VERSION, compile_command};
pub(crate) use recipe::{SENT_DIRECTORY, analysis_command, client_command, module_path, script_path};
