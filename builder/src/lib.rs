//! Scripts × kernels → compiled modules → the draft of a bundle.
//!
//! ```text
//! BuildRequest ──plan──▶ Plan ──run──▶ BuildReport { cells, draft }
//!                 │               │ ▲
//!              inputs     CompileJob│ JobOutcome
//!                 │               ▼ │
//!              sandbox ◀── compile, servers ──▶ results ──▶ bundle
//! ```
//! The rooms, from the ground up; each imports only from those above it in this list:
//!
//! - `words`: what stap and others said, in one line that is the same on every farm.
//! - `sandbox`: a sysroot, and the sandbox in which all of it runs.
//! - `state`: the directories of a build, its lock and its notes.
//! - `warm`: stap's own caches for a kernel, made once by leaders.
//! - `inputs`: scripts, tapsets, toolchains and build trees, with their digests.
//! - `job`: a cell on its way, its key and its outcome.
//! - `plan`: from a request to jobs. A [`Plan`] exists only if every build tree was found and every input of the modules' bytes
//!   digested.
//! - `results`: the artifact cache, and the journal of a build.
//! - `compile`: a job or a leader on this machine, by the one compile command.
//! - `servers`: the same by compile servers.
//! - `bundle`: the draft of a bundle, and its documents.
//! - `run`: [`build`] compiles what isn't in the cache.
//! - `import`: modules that were built elsewhere.
//!
//! Nothing here prints: [`BuildEvent`]s tell what happens, the [`BuildReport`] what came of it. Nothing signed depends on a
//! clock, a host name, a user or a path of the farm.

mod bundle;
mod compile;
mod import;
mod inputs;
mod job;
mod plan;
mod results;
mod run;
mod sandbox;
mod servers;
mod state;
#[cfg(test)]
mod testing;
mod warm;
mod words;

pub use bundle::assembly::{AssemblyError, BundleIdentity};
pub use bundle::documents::{DocumentError, documents};
pub use compile::executor::ExecutorError;
pub use import::{ImportError, ImportRequest, Imported, PackageError, ScriptsPackage, UNKNOWN, import};
pub use inputs::kernel_list::{KernelListError, kernels_in};
pub use inputs::kernel_tree::{KernelTarget, KernelTreeError};
pub use inputs::packages::Package;
pub use inputs::script::ScriptSource;
pub use inputs::toolchain::ToolchainError;
pub use inputs::tree_digest::InputCheck;
pub use job::address::{ServerAddress, ServerAddressError};
pub use job::cell::{Cell, CompileJob};
pub use job::key::{CacheKey, KeyParts, ServerIdentity};
pub use job::maker::Maker;
pub use job::module_info::{ModuleError, ModuleInfo};
pub use job::outcome::{CellReport, JobOutcome, ModuleArtifact};
pub use job::privilege::Privilege;
pub use job::recipe::{RECIPE_VERSION, compile_command};
pub use plan::matrix::Plan;
pub use plan::policy::{CellPattern, CellPolicy, Wanted};
pub use plan::problem::{PlanError, PlanProblem};
pub use plan::request::BuildRequest;
pub use plan::shard::{Shard, ShardError};
pub use results::artifacts::ArtifactCache;
pub use results::builders::{Builders, NotTaken, NotTakenResults};
pub use results::care::{CacheContents, Collected};
pub use results::sharing::Shared;
pub use results::state_care::CollectedState;
pub use run::build::build;
pub use run::error::BuildError;
pub use run::event::{BuildEvent, JobEnd};
pub use run::options::{BuildOptions, OpenCells};
pub use run::preview::{CellPreview, Preview, preview};
pub use run::report::{BuildReport, Reproducibility, ServerReport, WarmUpReport};
pub use sandbox::bubblewrap::{Sandbox, SandboxError};
pub use sandbox::config_evaluation::{ConfigEvaluation, EVALUATION_LIMIT, EvaluationError};
pub use sandbox::job_shell::JobLimits;
pub use sandbox::job_user::NoJobUser;
pub use sandbox::namespaces::NoNamespaces;
pub use sandbox::sysroot::{Sysroot, SysrootError};
pub use servers::ask::ask_servers;
pub use servers::client::RequestSize;
pub use servers::error::AskError;
pub use servers::known::known_servers;
pub use servers::of_build::Servers;
pub use servers::question::{QUESTION, words_of_answer};
pub use servers::server::{CompileServer, STATEMENT};
pub use state::directories::BuildDirectories;
pub use warm::diagnosis::Diagnosis;
pub use warm::parts::{WarmUp, WarmUpFlags, WarmUpKey, WarmUpPart};
