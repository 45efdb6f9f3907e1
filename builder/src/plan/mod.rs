//! From a request to jobs. In comes a `BuildRequest`; out goes a `Plan`, or all that is wrong with the request at once.

mod compilers;
mod fleet;
mod inputs;
mod kernel_search;
mod make;
mod matrix;
mod policy;
mod problem;
mod request;
mod scripts;
mod shard;
mod supply;
mod symbol_versions;
pub(crate) mod unbuilt;

pub use matrix::Plan;
pub use policy::{CellPattern, CellPolicy, Demand};
pub use problem::{PlanError, PlanProblem};
pub use request::BuildRequest;
pub use shard::{Shard, ShardError};
pub use supply::{KernelSupply, kernel_supply};
pub(crate) use unbuilt::left_out;
