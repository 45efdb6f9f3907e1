//! What modules are made of: scripts, tapsets, toolchains and build trees, each with a digest of all that is read.

pub(crate) mod compiler;
pub(crate) mod examine;
pub(crate) mod kernel_list;
pub(crate) mod kernel_tree;
pub(crate) mod packages;
pub(crate) mod same_inputs;
pub(crate) mod script;
pub(crate) mod tapset;
pub(crate) mod toolchain;
pub(crate) mod tracepoints;
pub(crate) mod tree_digest;
pub(crate) mod tree_entry;
pub(crate) mod warm_stamp;
pub(crate) mod wildcard;
