//! Why an install is refused or fails. In every case but one, [`InstallError::NotConfirmed`], the
//! generation that was current still is.

use bundle_format::{BundleError, BundleName, BundleVersion, KernelId, KernelRelease, ScriptName};
use files::FileError;

use crate::generation::{GenerationError, SwitchError};
use crate::host::{LockError, Mismatch};
use crate::install::removal::Removal;
use crate::trust::{FloorsError, JudgeError, PolicyError, PolicyRefusal, TrustError};

/// Why an install is refused or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The same bundle is here with kernel signatures that this file lacks.
    #[error(
        "bundle {name} {version} lacks {lost} of the kernel signatures that each of its modules has in generation {generation}"
    )]
    FewerSignatures { name: BundleName, version: BundleVersion, lost: usize, generation: u64 },
    /// The scripts are wanted, and the bundle doesn't carry them.
    #[error("bundle {name} {version} does not carry its scripts")]
    NoSources { name: BundleName, version: BundleVersion },
    /// The bytes aren't a bundle, aren't trusted, or can't be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No key is pinned, so no bundle can be believed.
    #[error("this host trusts no key: {} is empty", crate::Domain::default().pins())]
    NoTrust,
    /// The pins can't be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No kernel of the bundle is chosen.
    #[error(transparent)]
    DoesNotFit(#[from] Box<DoesNotFit>),
    /// A newer bundle of this name is, or was, installed.
    #[error(
        "bundle {name} {version} has serial {serial} of epoch {epoch}, older than serial {floor} of epoch \
         {floor_epoch} {}", place(*generation)
    )]
    Older {
        name: BundleName,
        version: BundleVersion,
        epoch: u64,
        serial: u64,
        floor_epoch: u64,
        floor: u64,
        /// Where; `None` if no generation has it any more.
        generation: Option<u64>,
    },
    /// The serial is too far above the newest bundle's: perhaps to lock out every later one.
    #[error(
        "bundle {name} {version} has serial {serial}, {} above serial {floor} that was installed before: the policy \
         allows {allowed}", serial.saturating_sub(*floor)
    )]
    TooFar {
        name: BundleName,
        version: BundleVersion,
        serial: u64,
        floor: u64,
        /// The largest step that the policy allows.
        allowed: u64,
    },
    /// Two different bundles with one name and serial: the farm, or somebody with its key, equivocates.
    #[error("bundle {name} serial {serial} has other content than the one {}", place(*generation))]
    Equivocation {
        name: BundleName,
        serial: u64,
        /// Where the other one is; `None` if no generation has it any more.
        generation: Option<u64>,
    },
    /// Best-before has passed.
    #[error("bundle {name} {version} expired at {best_before}; it is now {now} (seconds since 1970)")]
    Expired {
        name: BundleName,
        version: BundleVersion,
        /// As signed.
        best_before: u64,
        /// The later of the clock and the newest installed bundle's time.
        now: u64,
    },
    /// Made later than a clock says that is known to be right.
    #[error("bundle {name} {version} was made at {created}, it is {now} (seconds since 1970)")]
    FromTheFuture {
        name: BundleName,
        version: BundleVersion,
        /// As signed.
        created: u64,
        now: u64,
    },
    /// Made so long after all that is known of the time here that it would keep out what follows.
    #[error(
        "bundle {name} {version} was made at {created}, more than {allowed} seconds after {now}, the latest time known here \
         (seconds since 1970)"
    )]
    TooFarAhead {
        name: BundleName,
        version: BundleVersion,
        /// As signed.
        created: u64,
        /// The later of the clock, which nothing keeps right, and the newest installed bundle's time.
        now: u64,
        /// How far ahead the policy lets one be.
        allowed: u64,
    },
    /// The administrator doesn't allow it.
    #[error(transparent)]
    Refused(#[from] PolicyRefusal),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The floors can't be read.
    #[error(transparent)]
    Floors(FloorsError),
    /// Of all chosen kernels, none is whole in this file.
    #[error("no chosen kernel is whole in this file: {}", problems.join("; "))]
    NothingWhole {
        /// What is wrong with it, the first few problems.
        problems: Vec<String>,
    },
    /// There isn't enough space.
    #[error("it needs {needed} bytes, {free} are free")]
    NoSpace {
        /// Bytes that the new generation takes at least.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// What failed; `None` where that was seen before anything was written.
        #[source]
        source: Option<FileError>,
    },
    /// The policy's quota would be passed.
    #[error(
        "it needs {needed} bytes, the generations on disk take {used}, and the policy allows {quota} in all"
    )]
    Quota {
        /// Bytes that the new generation takes at least.
        needed: u64,
        /// Bytes of all generations.
        used: u64,
        /// The quota in bytes.
        quota: u64,
    },
    /// What it takes away is used here, and nobody has allowed that.
    #[error("bundle {name} {version} would take away {removal}")]
    Removes { name: BundleName, version: BundleVersion, removal: Removal },
    /// Another installed bundle has a script of the same name.
    #[error("script {script} of bundle {offered} is in the installed bundle {installed} already")]
    Conflict {
        script: ScriptName,
        installed: BundleName,
        /// The bundle that was to be installed.
        offered: BundleName,
    },
    /// A module of a script of it was adopted here.
    #[error("script {script} of bundle {offered} was adopted on this host: a module that came as a file")]
    Adopted {
        script: ScriptName,
        /// The bundle that was to be installed.
        offered: BundleName,
    },
    /// Another installed bundle can't be read, so what it has can be neither compared nor kept.
    #[error(
        "bundle {name} of generation {generation} can't be read: {reason}; install that bundle again or go \
         back with `rollback`, or it would be lost"
    )]
    Unreadable { name: String, generation: u64, reason: String },
    /// The switch was made, but may be undone by a power cut.
    #[error("generation {generation} is current, but the disk didn't confirm it")]
    NotConfirmed {
        generation: u64,
        #[source]
        source: FileError,
    },
    /// Two kernels whose ids begin alike.
    #[error("kernels {first} and {second} would have one directory")]
    KernelIds { first: KernelId, second: KernelId },
    #[error(transparent)]
    Lock(LockError),
    /// The current generation can't be read.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    #[error(transparent)]
    Storage(#[from] FileError),
}

/// What a bundle has and what this host has, which don't meet.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct DoesNotFit {
    pub name: BundleName,
    pub bundle: Vec<KernelRelease>,
    /// The release that runs.
    pub running: Option<KernelRelease>,
    pub installed: Vec<KernelRelease>,
    /// The releases that were asked for.
    pub named: Vec<KernelRelease>,
    /// Releases that are the same but kernels that aren't.
    pub mismatches: Vec<Mismatch>,
}

impl DoesNotFit {
    fn sentence(&self) -> String {
        let bundle = format!("bundle {} is for {}", self.name, list(&self.bundle));
        if !self.named.is_empty() {
            return self.with_mismatches(vec![bundle, format!("asked for is {}", list(&self.named))]);
        }
        let runs = match &self.running {
            Some(running) => format!("this host runs {running}"),
            None => "no kernel runs here".to_owned(),
        };
        let is_other = |release: &&KernelRelease| Some(*release) != self.running.as_ref();
        let others: Vec<&KernelRelease> = self.installed.iter().filter(is_other).collect();
        let has = match (others.is_empty(), &self.running) {
            (true, None) => format!("{runs}, and none is installed in /lib/modules"),
            (true, Some(_)) => runs,
            (false, Some(_)) => format!("{runs} and has {}", list(others)),
            (false, None) => format!("{runs}, installed is {}", list(others)),
        };
        self.with_mismatches(vec![bundle, has])
    }

    fn with_mismatches(&self, mut parts: Vec<String>) -> String {
        parts.extend(self.mismatches.iter().map(ToString::to_string));
        parts.join("; ")
    }
}

/// Where a floor comes from.
fn place(generation: Option<u64>) -> String {
    generation.map_or_else(
        || "that was installed here before".to_owned(),
        |generation| format!("in generation {generation}"),
    )
}

/// Most releases that a message names.
const MAX_LISTED: usize = 8;

fn list<'r>(releases: impl IntoIterator<Item = &'r KernelRelease>) -> String {
    let all: Vec<&str> = releases.into_iter().map(KernelRelease::as_str).collect();
    let more = all.len().saturating_sub(MAX_LISTED);
    let shown = all.get(..MAX_LISTED).unwrap_or(&all).join(", ");
    match (all.len(), more) {
        (0, _) => "no kernel".to_owned(),
        (_, 0) => shown,
        (_, more) => format!("{shown} and {more} more"),
    }
}

impl From<FloorsError> for InstallError {
    fn from(error: FloorsError) -> Self {
        match error {
            FloorsError::Storage(error) => Self::Storage(error),
            other @ FloorsError::Unprotected(_) => Self::Floors(other),
        }
    }
}

impl From<JudgeError> for InstallError {
    fn from(error: JudgeError) -> Self {
        match error {
            JudgeError::Bundle(error) => Self::Bundle(error),
            JudgeError::Trust(error) => Self::Trust(error),
        }
    }
}

impl From<LockError> for InstallError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Storage(error) => Self::Storage(error),
            locked @ LockError::Locked(_) => Self::Lock(locked),
        }
    }
}

impl From<SwitchError> for InstallError {
    fn from(error: SwitchError) -> Self {
        match error {
            SwitchError::Before(error) => Self::Storage(error),
            SwitchError::NotConfirmed { number, source } => Self::NotConfirmed { generation: number, source },
        }
    }
}
