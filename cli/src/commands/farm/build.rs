//! `build`: scripts × kernels → one signed bundle.

mod args;
mod carry_out;
pub(super) mod dry_run;
mod failure;
mod finish;
mod issued;
mod json_lines;
mod kept;
mod kernels;
mod live;
mod output;
mod pack;
mod page;
mod policy;
mod red_cells;
mod red_log;
pub(crate) mod reporter;
mod reuse;
pub(crate) mod scripts;
mod servers;
mod shards;
mod table;

pub(super) use args::Args;
#[cfg(feature = "host")]
pub(crate) use carry_out::make_plan;
#[cfg(feature = "host")]
pub(crate) use failure::{build_failure, plan_failure};
pub(super) use kernels::{GivenKernels, KernelOptions};
pub(super) use page::{Page, text};
