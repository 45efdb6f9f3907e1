//! Bundle → verified → staged → current generation, on a host without compiler and network.
//!
//! [`install`] reads a bundle once, from a file or a pipe, believes only what a pinned key signed, and
//! makes it part of a new generation, which becomes current in one step. [`CurrentGeneration`] is the
//! reader's side: whatever it gives has been proven from the kept bundle's signatures down to the bytes.
//!
//! This crate runs no process, asks no `uname` and reads no clock: facts about the host come in as a
//! [`HostIdentity`], paths are resolved beneath a [`HostRoot`].

mod compat;
mod directory;
mod events;
mod generation;
mod history;
mod identity;
mod install;
mod lock;
pub mod paths;
mod rollback;
mod root;
mod roots;
mod storage;
#[cfg(test)]
mod tests;
mod trust;
mod words;

pub use compat::{CompatError, ForeignFile, ReconcileReport, reconcile};
pub use directory::Directory;
pub use events::{Events, InstallEvent};
pub use generation::{
    BundleSummary, CurrentGeneration, GenerationError, GenerationSummary, InstalledBundle, ModuleHandle,
    Offer, OfferState, Refusal, RefusedBundle, VerifiedModuleBytes, list_generations,
};
pub use history::{HistoryEvent, HistoryRecord, history};
pub use identity::{HostIdentity, Mismatch};
pub use install::{
    DoesNotFit, InstallError, InstallOptions, InstallOutcome, InstallReport, InstallWarning, KernelChoice,
    KernelInstalled, install,
};
pub use lock::{LockError, WriterLock};
pub use rollback::{RollbackError, RollbackReport, rollback};
pub use root::{HostRoot, Unprotected};
pub use roots::{Domain, DomainError, RootRecord};
pub use storage::StorageError;
pub use trust::{PinChange, RootsUpdate, TrustError, TrustStore};
