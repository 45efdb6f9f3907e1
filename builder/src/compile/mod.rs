//! Running one compile or one leader on this machine, and judging what it made.

mod executor;
mod job_files;
mod local;
mod reserve;
mod surroundings;
mod trace_views;
mod verdict;

pub use executor::ExecutorError;
pub(crate) use executor::{Compilation, Executor, LOG_CAP, LeaderTask, Leading, works};
pub(crate) use job_files::{LARGEST_MODULE, ModuleFile, lay_out, made_uprobes, read_module};
pub(crate) use local::LocalExecutor;
pub(crate) use surroundings::{BuildIds, KernelInRoot};
pub(crate) use trace_views::TraceViews;
pub(crate) use verdict::{Verdict, verdict};
