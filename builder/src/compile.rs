//! Running one compile or one leader on this machine, and judging what it made.

pub(crate) mod executor;
pub(crate) mod job_files;
pub(crate) mod local;
pub(crate) mod reserve;
pub(crate) mod verdict;
