//! Scripts × kernels → compiled modules → the draft of a bundle.
//!
//! ```text
//! BuildRequest ──Plan::make──▶ Plan ──build──▶ BuildReport { cells, draft }
//!                               │                 ▲
//!   sysroot, kernel_tree,       │ CompileJob      │ JobOutcome
//!   toolchain, tree_digest      ▼                 │
//!                            schedule ──▶ executor ──▶ module_info ──▶ artifact_cache ──▶ assembly
//!                                         (local: the sandbox; server: a compile server by its client)
//! ```
//!
//! - A [`Plan`] exists only if every build tree was found and every input of the modules' bytes digested.
//! - [`build`] compiles what isn't in the cache, each job by the one compile command ([`recipe`]) in the sandbox.
//! - Nothing here prints: [`BuildEvent`]s tell what happens, the [`BuildReport`] what came of it.
//! - Nothing signed depends on a clock, a host name, a user or a path of the farm.

mod accounts;
mod address;
mod artifact_cache;
mod artifact_index;
mod ask_servers;
mod assembly;
mod build;
mod build_error;
mod builders;
mod cache_care;
mod cache_sharing;
mod cell_policy;
mod client;
mod compile_server;
mod compiler;
mod config_evaluation;
mod diagnosis;
mod directories;
mod documents;
mod durations;
mod event;
mod examine;
mod executor;
mod file_stamp;
mod import;
mod job;
mod job_directory;
mod job_files;
mod job_shell;
mod job_user;
mod journal;
mod kernel_list;
mod kernel_search;
mod kernel_tree;
mod known_failures;
mod known_servers;
mod last_use;
mod leader;
mod make_plan;
mod maker;
mod making;
mod module_info;
mod namespaces;
mod note;
mod options;
mod packages;
mod plan;
mod plan_inputs;
mod plan_problem;
mod plan_scripts;
mod preview;
mod privilege;
mod quoted;
mod recipe;
mod red_reason;
mod report;
mod reproducible;
mod request;
mod reserve;
mod result_record;
mod same_inputs;
mod sandbox;
mod schedule;
mod script;
mod servers;
mod shard;
mod site;
mod state_care;
mod sysroot;
mod tapset;
#[cfg(test)]
mod testing;
mod toolchain;
mod tracepoints;
mod tree_digest;
mod unbuilt;
mod verdict;
mod warm_cache;
mod warm_layer;
mod warm_stamp;
mod warm_up;
mod wildcard;
mod work_left;

pub use address::{ServerAddress, ServerAddressError};
pub use artifact_cache::ArtifactCache;
pub use ask_servers::{AskError, QUESTION, ask_servers, words_of_answer};
pub use assembly::{AssemblyError, BundleIdentity};
pub use build::build;
pub use build_error::BuildError;
pub use builders::{Builders, NotTaken, NotTakenResults};
pub use cache_care::{CacheContents, Collected};
pub use cache_sharing::Shared;
pub use cell_policy::{CellPattern, CellPolicy, Wanted};
pub use client::RequestSize;
pub use compile_server::{CompileServer, STATEMENT};
pub use config_evaluation::{ConfigEvaluation, EVALUATION_LIMIT, EvaluationError};
pub use diagnosis::Diagnosis;
pub use directories::BuildDirectories;
pub use documents::{DocumentError, documents};
pub use event::{BuildEvent, JobEnd};
pub use executor::ExecutorError;
pub use import::{ImportError, ImportRequest, Imported, PackageError, ScriptsPackage, UNKNOWN, import};
pub use job::{CacheKey, Cell, CellReport, CompileJob, JobOutcome, KeyParts, ModuleArtifact, ServerIdentity};
pub use job_shell::JobLimits;
pub use job_user::NoJobUser;
pub use kernel_list::{KernelListError, kernels_in};
pub use kernel_tree::{KernelTarget, KernelTreeError};
pub use known_servers::known_servers;
pub use maker::Maker;
pub use module_info::{ModuleError, ModuleInfo};
pub use namespaces::NoNamespaces;
pub use options::{BuildOptions, OpenCells};
pub use packages::Package;
pub use plan::Plan;
pub use plan_problem::{PlanError, PlanProblem};
pub use preview::{CellPreview, Preview};
pub use privilege::Privilege;
pub use recipe::{RECIPE_VERSION, compile_command};
pub use report::{BuildReport, Reproducibility, ServerReport, WarmUpReport};
pub use request::BuildRequest;
pub use sandbox::{Sandbox, SandboxError};
pub use script::ScriptSource;
pub use servers::Servers;
pub use shard::{Shard, ShardError};
pub use state_care::CollectedState;
pub use sysroot::{Sysroot, SysrootError};
pub use toolchain::ToolchainError;
pub use tree_digest::InputCheck;
pub use warm_up::{WarmUp, WarmUpFlags, WarmUpKey, WarmUpPart};
