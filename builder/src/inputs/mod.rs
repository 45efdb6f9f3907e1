//! What modules are made of: scripts, tapsets, toolchains and build trees, each with a digest of all that is read.

mod compiler;
mod examine;
mod kernel_list;
mod kernel_tree;
mod packages;
mod same_inputs;
mod script;
pub(crate) mod tapset;
pub(crate) mod toolchain;
mod tracepoints;
mod tree_digest;
mod tree_entry;
mod warm_stamp;
mod wildcard;

pub(crate) use compiler::{compiler_of, difference, version_line};
pub(crate) use examine::{FoundTree, examine_tree};
pub use kernel_list::{KernelListError, kernels_in};
pub use kernel_tree::{KernelTarget, KernelTreeError};
pub(crate) use kernel_tree::{build_link, release_of};
pub use packages::Package;
pub(crate) use packages::owner_of;
pub(crate) use same_inputs::changed_input;
pub use script::ScriptSource;
pub(crate) use tapset::Tapset;
pub use toolchain::ToolchainError;
pub(crate) use toolchain::{needs_one_processor, stap_version};
pub(crate) use tracepoints::TracepointAliases;
pub use tree_digest::InputCheck;
pub(crate) use tree_digest::{Reading, TreeDigests};
pub(crate) use wildcard::glob;
