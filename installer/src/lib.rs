//! Bundle → verified → staged → current generation, on a host without compiler and network.
//!
//! [`install`] takes a bundle from a file or a pipe, believes only what a pinned key signed, and
//! makes it part of a new generation, which becomes current in one step. [`CurrentGeneration`] is the
//! reader's side: whatever it gives has been proven from the kept bundle's signatures down to the bytes.
//!
//! This crate runs no process, asks no `uname` and takes no time from a clock: facts about the host come in as a
//! [`HostIdentity`], paths are resolved beneath a [`FileSystem`](files::FileSystem).

mod aging;
mod collect;
mod compat;
mod domain;
mod events;
mod floors;
mod fsck;
mod generation;
mod history;
mod host_kernels;
mod host_trust;
mod identity;
mod install;
mod later_kernel;
mod lock;
pub mod paths;
mod pins;
pub mod policy;
mod rollback;
mod roots;
#[cfg(test)]
mod tests;
mod trust;
mod trust_error;
mod trust_pins;
mod uninstall;
mod words;

pub use aging::{Aging, aging};
pub use collect::{CollectError, CollectOptions, CollectReport, Collected, Spared, SparedBecause, collect};
pub use compat::{CompatError, ForeignFile, ReconcileReport, other_scripts, reconcile};
pub use domain::{Domain, DomainError};
pub use events::{Events, InstallEvent};
pub use floors::FloorsError;
pub use fsck::{FsckProblem, FsckReport, Mending, RepairError, fsck, repair_from, repair_from_kept};
pub use generation::{
    BundleSummary, CurrentGeneration, GenerationError, GenerationSummary, InstalledBundle, ModuleHandle,
    Offer, OfferState, Refusal, RefusalKind, RefusedBundle, VerifiedModuleBytes, list_generations,
};
pub use history::{HistoryEvent, HistoryRecord, history};
pub use identity::{HostIdentity, Mismatch};
pub use install::{
    BundleSource, DoesNotFit, InboxChoice, InstallError, InstallOptions, InstallOutcome, InstallReport,
    InstallWarning, KernelChoice, KernelInstalled, PassedOver, install, newest_in_inbox,
};
pub use later_kernel::{UnpackError, Unpacked, unpack_for_running_kernel};
pub use lock::{LockError, WriterLock};
pub use paths::CONFIGURATION_LINK;
pub use pins::{PinError, PinReport, pin, pinned, unpin};
pub use policy::{Policy, PolicyError, PolicyRefusal};
pub use rollback::{RollbackError, RollbackReport, rollback};
pub use roots::RootRecord;
pub use trust::{RootsUpdate, TrustAdded, TrustRemoved, TrustStore};
pub use trust_error::TrustError;
pub use uninstall::{UninstallError, UninstallReport, uninstall};
