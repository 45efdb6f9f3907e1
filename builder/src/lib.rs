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
//! - `kernels`: the kernel store, which takes packages in and which sysroots are laid under.
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

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod bundle;
mod compile;
mod import;
mod inputs;
mod job;
mod kernels;
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

pub use bundle::{
    AssemblyError, BestBefore, BestBeforeError, BundleIdentity, DocumentError, RedraftError,
    add_certificates, check_identity, documents, provenance_of_frames, redraft, sign_modules,
};
pub use compile::ExecutorError;
pub use import::{ImportError, ImportRequest, Imported, PackageError, ScriptsPackage, UNKNOWN, import};
pub use inputs::{
    InputCheck, KernelOrigin, KernelTarget, KernelTreeError, Package, ScriptSource, ToolchainError,
    Tracepoints,
};
pub use job::{
    CacheKey, Cell, CellReport, CompileJob, JobOutcome, KeyParts, Maker, ModuleArtifact, ModuleError,
    ModuleInfo, Privilege, RECIPE_VERSION, ServerAddress, ServerAddressError, ServerIdentity,
    compile_command,
};
pub use kernels::{
    AddReport, AddedPackage, Checked, FetchReport, KernelStore, KernelStoreError, PackageChecks,
    PackageFormat, PackageRefusal, StoredKernel, StoredPackage,
};
pub use plan::{
    BuildRequest, CellPattern, CellPolicy, Demand, KernelSupply, Plan, PlanError, PlanProblem, Shard,
    ShardError, kernel_supply,
};
pub use results::{
    ArtifactCache, Builders, CacheContents, CollectedState, NotTaken, NotTakenResults, RemovedEntries, Shared,
};
pub use run::{
    BuildError, BuildEvent, BuildOptions, BuildReport, CellPreview, JobEnd, OpenCells, Preview,
    Reproducibility, ServerReport, WarmUpReport, build, preview,
};
pub use sandbox::{
    ConfigEvaluation, EVALUATION_LIMIT, EvaluationError, JobLimits, NoJobUser, NoNamespaces, Sandbox,
    SandboxError, Sysroot, SysrootError,
};
pub use servers::{
    AskError, CompileServer, QUESTION, RequestSize, STATEMENT, Servers, ask_servers, known_servers,
    words_of_answer,
};
pub use state::BuildDirectories;
pub use warm::{Diagnosis, WarmUp, WarmUpFlags, WarmUpKey, WarmUpPart};
pub use words::{Downloader, KernelPackages};
