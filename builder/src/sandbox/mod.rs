//! Where everything of a sysroot runs: as a user of its own, in a directory of its own, without network.
//! In come a sysroot, a work directory and an argument vector; out goes a command for `child`.

mod accounts;
mod bubblewrap;
mod config_evaluation;
mod config_output;
mod job_directory;
pub(crate) mod job_shell;
mod job_user;
mod mounts;
mod namespaces;
mod overlay;
mod sysroot;

pub(crate) use bubblewrap::{
    CLIENT_TEMPORARY, ENVIRONMENT, Inside, ONE_PROCESSOR, STAP_DIRECTORY, WARM_DIRECTORY, first_closed,
    is_sandbox_failure,
};
pub use bubblewrap::{Sandbox, SandboxError};
pub use config_evaluation::{ConfigEvaluation, EVALUATION_LIMIT, EvaluationError};
pub(crate) use job_directory::JobDirectory;
pub use job_shell::JobLimits;
pub(crate) use job_shell::in_shell;
pub use job_user::NoJobUser;
pub(crate) use mounts::NarrowedDirectory;
pub use namespaces::NoNamespaces;
pub use overlay::Overlay;
pub(crate) use sysroot::WORK_MOUNT;
pub use sysroot::{Sysroot, SysrootError};
