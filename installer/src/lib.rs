//! Bundle → verified → staged → current generation, on a host without compiler and network.
//!
//! [`install`] takes a bundle from a file or a pipe, believes only what a pinned key signed, and
//! makes it part of a new generation, which becomes current in one step. [`CurrentGeneration`] is the
//! reader's side: whatever it gives has been proven from the kept bundle's signatures down to the bytes.
//!
//! This crate runs no process, asks no `uname` and takes no time from a clock: facts about the host come in as a
//! [`HostIdentity`], paths are resolved beneath a [`FileSystem`](files::FileSystem).
//!
//! The rooms, in the order in which a bundle passes them; each imports only those before it:
//!
//! - `host`: where things are, who may write, what happened, which kernels there are;
//! - `trust`: pins, roots, policy and floors, which judge a bundle;
//! - `generation`: what is installed, and how a new generation becomes current;
//! - `state`: what one command has opened of all that, once;
//! - `compat`: what the unmodified initscript needs of it;
//! - `install`: a bundle's way from its first byte to the current generation;
//! - `keep`: what becomes of it later: rollback, uninstall, gc, fsck, masks;
//! - `onboot`: what the initramfs has of it.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod compat;
mod generation;
mod host;
mod install;
mod keep;
mod onboot;
mod state;
#[cfg(test)]
mod tests;
mod trust;
mod words;

pub use compat::{
    CompatError, ForeignFile, Lacking, Lost, ReconcileReport, lacking, other_scripts, reconcile,
};
pub use generation::{
    BundleSummary, Certificate, Changed, Changes, CurrentGeneration, Events, GenerationError, GenerationList,
    GenerationSummary, InstallEvent, InstalledBundle, KernelChange, ModuleHandle, ModuleKeys, Offer,
    OfferState, Presence, Refusal, RefusalKind, RefusedBundle, VerifiedModuleBytes, list_generations,
};
pub use host::append as append_to_history;
pub use host::paths::{self, CONFIGURATION_LINK, OPTIONS_LINK};
pub use host::version::{NewerState, RUN_RECORD, StateVersion};
pub use host::{
    Domain, DomainError, HistoryEvent, HistoryRecord, HostIdentity, HostPrograms, KernelKeys, LockError,
    Mismatch, OtherProgram, ProgramHere, WriterLock, history, installed_releases, kernel_vermagic,
};
pub use install::{
    BundleSource, DoesNotFit, HostBases, InboxChoice, InstallError, InstallOptions, InstallOutcome,
    InstallReport, InstallWarning, KernelChoice, KernelInstalled, ModuleSigner, PassedOver, Removal,
    TakenInbox, install, newest_in_inbox, refused_in_inbox, waiting_in_inbox,
};
pub use keep::{
    Aging, CollectError, CollectOptions, CollectReport, Collected, FsckError, FsckProblem, FsckReport,
    GoneKernels, LaterKernels, Mask, MaskReport, Masks, MasksError, Mending, PinError, PinReport,
    RepairError, RollbackError, RollbackReport, Spared, SparedBecause, UninstallError, UninstallReport,
    Unmasked, UnpackError, Unpacked, WouldUninstall, aging, collect, fsck, mask, masks, pin, pinned,
    remove_gone_kernels, repair_from, repair_from_kept, rollback, uninstall, unmask,
    unpack_for_later_kernels, unpin, would_uninstall,
};
pub use onboot::{
    GivenScript, ImageError, ImageRecord, ImageStamp, OnbootChange, OnbootError, copy_into_image,
    has_image_records, image_record, onboot_list, set_onboot_list, trust_digest, write_image_record,
    write_onboot_list,
};
pub use trust::policy::{self, Policy, PolicyError, PolicyRefusal};
pub use trust::{
    DomainTrust, FloorsError, JudgeError, Owner, Owners, Pin, PinPlace, RootRecord, RootsUpdate, TrustAdded,
    TrustError, TrustRemoved, TrustStore,
};
