//! `install`: from a bundle's bytes to the current generation.
//!
//! Nothing is written before the manifest is proven and a kernel of it is wanted. Then the lock is
//! taken, what a killed run left is removed, the bundle is checked against what was installed before,
//! and everything goes to a staging directory: wanted kernels are unpacked, and beside it the whole file is copied and
//! checked (`copyist.rs`). Only a file that holds to its last byte is made current. The order of writes is in
//! `generation/staged.rs`.
//!
//! A source that may stall is read to its end into a file without a name before the lock is taken
//! (`spool.rs`); so is one of which only what is whole is wanted.

mod arrive;
mod bases;
mod believe;
mod choice;
mod content;
mod copyist;
mod error;
mod inbox;
mod installation;
mod kept_frames;
mod locked;
mod losses;
mod options;
mod order;
mod others;
mod place;
mod programs;
mod removal;
mod report;
mod source;
mod space;
mod spool;
mod stage;
mod symbols;

pub use arrive::install;
pub use bases::HostBases;
pub(crate) use choice::choose;
pub use error::{DoesNotFit, InstallError};
pub use inbox::{InboxChoice, PassedOver, TakenInbox, newest_in_inbox, refused_in_inbox, waiting_in_inbox};
pub use options::{InstallOptions, KernelChoice};
pub(crate) use order::Past;
pub(crate) use others::carry_others;
pub use removal::Removal;
pub use report::{InstallOutcome, InstallReport, InstallWarning, KernelInstalled, ModuleSigner};
pub use source::BundleSource;
pub(crate) use source::Remembering;
#[cfg(test)]
pub(crate) use space::needed;
pub(crate) use symbols::compare_symbols;
