//! What modules are made of: scripts, tapsets, toolchains and build trees, each with a digest of all that is read.

mod architecture;
mod build_ids;
mod compiler;
mod examine;
mod header_text;
mod kernel_config;
mod kernel_origin;
mod kernel_tree;
mod packages;
mod probe_points;
mod programs;
mod rpm_database;
mod same_inputs;
mod script;
mod script_text;
pub(crate) mod tapset;
pub(crate) mod toolchain;
mod trace_headers;
mod tracepoints;
mod tree_digest;
mod tree_entry;
mod warm_stamp;
mod wildcard;

pub(crate) use architecture::NamedMachine;
pub(crate) use compiler::{
    CompilerWish, Equipped, ModuleCompiler, equipped, has_program, is_compiler_name, module_compiler,
    version_line,
};
pub(crate) use examine::{FoundTree, examine_tree};
pub(crate) use kernel_config::{CONFIGURATION, is_configured};
pub use kernel_origin::KernelOrigin;
pub use kernel_tree::{KernelTarget, KernelTreeError};
pub(crate) use kernel_tree::{build_link, has_debuginfo, has_modules, read_facts, release_of, trees_of};
pub use packages::Package;
pub use programs::{Program, ProgramState};
pub(crate) use programs::{programs_in_log, programs_named, programs_of_module};
pub(crate) use rpm_database::RpmDatabases;
pub(crate) use same_inputs::changed_input;
pub use script::ScriptSource;
pub(crate) use tapset::Tapset;
pub use toolchain::ToolchainError;
pub(crate) use toolchain::{needs_one_processor, stap_version};
pub(crate) use trace_headers::TraceHeaders;
pub(crate) use tracepoints::TapsetLibrary;
pub use tracepoints::Tracepoints;
pub use tree_digest::InputCheck;
pub(crate) use tree_digest::{Reading, TreeDigests};
pub(crate) use wildcard::glob;
