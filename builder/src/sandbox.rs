//! Where everything of a sysroot runs: as a user of its own, in a directory of its own, without network.
//! In come a sysroot, a work directory and an argument vector; out goes a command for `child`.

pub(crate) mod accounts;
pub(crate) mod bubblewrap;
pub(crate) mod config_evaluation;
pub(crate) mod config_output;
pub(crate) mod job_directory;
pub(crate) mod job_shell;
pub(crate) mod job_user;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod sysroot;
