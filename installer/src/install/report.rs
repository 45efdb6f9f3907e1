//! What an install did.

use bundle_format::{
    BundleId, BundleName, BundleVersion, KernelId, KernelRelease, KeyId, RedCell, ScriptName,
};
use files::FileError;

use crate::compat::{CompatError, ReconcileReport};
use crate::generation::Changes;
use crate::host::{Domain, HistoryEvent, Mismatch, OtherProgram};
use crate::install::removal::Removal;
use files::with_causes;

#[derive(Debug)]
pub struct InstallReport {
    /// Whether anything new is current.
    pub outcome: InstallOutcome,
    pub name: BundleName,
    /// The domain that owns its name.
    pub domain: Domain,
    /// The bundle's version for people.
    pub version: BundleVersion,
    pub serial: u64,
    pub id: BundleId,
    /// Trusted keys whose signatures hold.
    pub signers: Vec<KeyId>,
    /// The bundle's kernels that are unpacked, in the natural order of their releases.
    pub kernels: Vec<KernelInstalled>,
    /// What differs from what was current before.
    pub changes: Changes,
    /// What is taken away though it is used here.
    pub removal: Removal,
    /// A dry run only: whether the install would be refused for that.
    pub removal_is_refused: bool,
    /// Who has signed its modules for kernels; nobody, if it is empty.
    pub module_signers: Vec<ModuleSigner>,
    /// What the user should know though the install succeeded.
    pub warnings: Vec<InstallWarning>,
    /// Links and options for the initscript. An error leaves the new generation current all the same.
    pub compat: Result<ReconcileReport, CompatError>,
}

impl InstallReport {
    /// What the history says of it; `None` if nothing was changed.
    pub(super) fn history(&self) -> Option<HistoryEvent> {
        let InstallOutcome::Installed { from, generation } = self.outcome else { return None };
        let left_out = self.warnings.iter().filter_map(|warning| match warning {
            InstallWarning::LeftOut { release, .. } => Some(release.clone()),
            _ => None,
        });
        Some(HistoryEvent::Install {
            from,
            to: generation,
            domain: self.domain.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            serial: self.serial,
            id: self.id,
            downgrade: self.warnings.iter().any(|w| matches!(w, InstallWarning::Downgrade { .. })),
            left_out: left_out.collect(),
            removed_kernels: self.removal.kernels.clone(),
            removed_scripts: self.removal.scripts.clone(),
        })
    }

    /// A history that can't be written is no reason to fail.
    pub(super) fn remember(&mut self, written: Result<(), FileError>) {
        self.warnings.extend(written.err().map(|error| InstallWarning::history(&error)));
    }
}

impl InstallWarning {
    /// The history couldn't be written.
    pub(crate) fn history(error: &FileError) -> Self {
        Self::History { problem: with_causes(error) }
    }
}

/// A certificate by whose key modules are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSigner {
    /// Its subject and its key identifier.
    pub name: String,
    /// Whether this host's kernel has the key; `None` where that isn't known.
    pub has_key: Option<bool>,
}

/// Whether an install changed the current generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallOutcome {
    /// A new generation is current.
    Installed {
        /// The one before.
        from: Option<u64>,
        generation: u64,
    },
    /// A dry run: nothing was written.
    WouldInstall {
        from: Option<u64>,
        /// The number that the new one would get.
        generation: u64,
    },
    /// The bundle and all chosen kernels were there; nothing was written.
    AlreadyInstalled { generation: u64 },
}

/// One unpacked kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelInstalled {
    pub id: KernelId,
    pub release: KernelRelease,
    /// How many modules it has.
    pub modules: usize,
    pub red: Vec<RedCell>,
}

/// Something that the user should know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallWarning {
    /// What is unpacked of it can't be had again, so it isn't removed.
    #[error(
        "modules of bundle {name} for kernels that are gone stay, for its kept file can't give them back: {problem}"
    )]
    KernelsSpared { name: BundleName, problem: String },
    /// The bundle has nothing for the kernel that runs now.
    #[error(
        "the running kernel {running} is not in the bundle: nothing can start before a reboot into another kernel"
    )]
    RunningNotCovered { running: KernelRelease },
    /// The bundle has the running release, but another build of it.
    #[error("the running kernel is not the one in the bundle: {0}")]
    RunningMismatch(Mismatch),
    /// The bundle has the release of an installed kernel, but another build of it.
    #[error("the installed kernel is not the one in the bundle: {0}")]
    InstalledMismatch(Mismatch),
    /// Of symbols that the bundle's modules use, this host's Module.symvers has no CRC.
    #[error(
        "can't check the modules against {release} by symbols: {file} has no CRC for {symbol}{}", and_more(*more)
    )]
    SymbolsUnknown { release: KernelRelease, file: String, symbol: String, more: usize },
    /// This host's Module.symvers can't be read, so it decides nothing.
    #[error(
        "{file} can't be read, so the modules' symbols were not compared with those of {release}: {problem}"
    )]
    SymversUnread { release: KernelRelease, file: String, problem: String },
    /// This host has another build of a program that a script probes, or none.
    #[error("{script}: {other}: {}", if *is_refused { "a start will refuse it" } else { OtherProgram::EFFECT })]
    OtherProgram {
        script: ScriptName,
        other: OtherProgram,
        /// By the policy.
        is_refused: bool,
    },
    /// An installed kernel isn't in the bundle.
    #[error("the installed kernel {release} is not in the bundle")]
    InstalledNotCovered { release: KernelRelease },
    /// The bundle says that it is from the future.
    #[error("the bundle was made at {created}, this host's clock says {now} (seconds since 1970)")]
    FromTheFuture {
        /// As signed.
        created: u64,
        now: u64,
    },
    /// Its best-before comes near, or has passed within the policy's grace.
    #[error("the bundle expires at {best_before}; it is now {now} (seconds since 1970)")]
    BestBefore {
        /// As signed.
        best_before: u64,
        /// The later of the clock and the newest installed bundle's time.
        now: u64,
    },
    /// No clock says whether its best-before has passed; what is installed shows that it isn't before some time.
    #[error(
        "the bundle's best-before, {best_before} seconds since 1970, was not checked: no clock says what time it is"
    )]
    BestBeforeUnchecked {
        /// As signed.
        best_before: u64,
        /// What the clock says, if it was asked and is dead.
        clock: Option<u64>,
        /// When the newest bundle that was installed here was made: best-before, with the policy's grace, is after that.
        newest: Option<u64>,
    },
    /// It is below the floor of its name and was asked for all the same.
    #[error(
        "serial {serial} of epoch {epoch} is older than serial {floor} of epoch {floor_epoch}: a downgrade, as asked for"
    )]
    Downgrade { epoch: u64, serial: u64, floor_epoch: u64, floor: u64 },
    /// A copy of the floors, or both, had to be made again.
    #[error("{0}")]
    FloorsMended(String),
    /// A copy of the accepted chain had to be made again.
    #[error("{file}, a copy of the accepted chain of roots, can't be used and is made again: {problem}")]
    ChainMended { file: String, problem: String },
    /// The same, and it is as it was: a dry run, a bundle without roots of that chain, or a disk that takes nothing.
    #[error(
        "{file}, a copy of the accepted chain of roots, can't be used: {problem}; `stap-bundle fsck --repair` makes it again"
    )]
    ChainSpoilt { file: String, problem: String },
    /// The floors couldn't be written; the generation itself holds them meanwhile.
    #[error("the floors were not written: {problem}")]
    FloorsNotWritten { problem: String },
    /// A chosen kernel isn't whole in the file and was left out, as `partial` asks.
    #[error("kernel {release} is {what} in this file and was left out")]
    LeftOut {
        release: KernelRelease,
        /// `damaged` or `absent`.
        what: &'static str,
    },
    /// A delta was installed, and the full bundle that it was made from isn't kept here.
    #[error(
        "version {version} ({}), from which this delta was made, is not kept here: a kernel that comes later needs the \
         full bundle", id.short()
    )]
    BaseNotKept { version: BundleVersion, id: BundleId },
    /// Kernels that were kept here for later, and aren't any more.
    #[error(
        "{} no longer kept here, for this file lacks what the one before it had: bring the whole bundle before one of \
         them is booted",
        kernels_are(releases)
    )]
    NoLongerKept { releases: Vec<KernelRelease> },
    /// Another installed bundle isn't believed any more; it was carried over as it is.
    #[error("bundle {name}, installed before, is refused: {reason}")]
    OtherRefused { name: String, reason: String },
    /// A file of another bundle is missing in the old generation, and so in the new one.
    #[error("{path} of bundle {name} was missing and stays missing: install that bundle again")]
    OtherDamaged { name: BundleName, path: String },
    /// Kept bundles of the same name aren't believed, so their serials don't count.
    #[error(
        "bundle {name} of {} is not believed now, so its serial keeps out nothing older: {reason}",
        crate::words::generations(generations)
    )]
    NoFloor {
        name: BundleName,
        generations: Vec<u64>,
        /// Why, in the first of them.
        reason: String,
    },
    /// Something in the old generation is where a bundle should be, but its name is no bundle's.
    #[error("`{name}` in generation {generation} can't be a bundle and stays behind there")]
    NotABundle { name: String, generation: u64 },
    /// A generation on disk can't be read, so what it says of serials doesn't count.
    #[error("generation {number} can't be read: {problem}")]
    GenerationUnreadable { number: u64, problem: String },
    /// The history couldn't be written.
    #[error("the history was not written: {problem}")]
    History { problem: String },
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

fn kernels_are(releases: &[KernelRelease]) -> String {
    let names: Vec<String> = releases.iter().map(ToString::to_string).collect();
    let (noun, verb) = if names.len() == 1 { ("kernel", "is") } else { ("kernels", "are") };
    format!("{noun} {} {verb}", names.join(", "))
}
