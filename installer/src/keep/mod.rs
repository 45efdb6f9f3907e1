//! What becomes of installed bundles: gone back to, taken away, collected, checked and mended, unpacked for a later kernel; and
//! which scripts are masked.

mod aging;
mod collect;
mod fsck;
mod gone_kernels;
mod later_kernel;
mod leaving;
mod masks;
mod pins;
mod repair;
mod rollback;
mod uninstall;
mod uninstall_error;

pub use aging::{Aging, aging};
pub use collect::{CollectError, CollectOptions, CollectReport, Collected, Spared, SparedBecause, collect};
pub use fsck::{FsckError, FsckProblem, FsckReport, Mending, fsck};
pub use gone_kernels::{GoneKernels, remove_gone_kernels};
pub use later_kernel::{LaterKernels, UnpackError, Unpacked, unpack_for_later_kernels};
pub use masks::{Mask, MaskReport, Masks, MasksError, Unmasked, mask, masks, unmask};
pub use pins::{PinError, PinReport, pin, pinned, unpin};
pub use repair::{RepairError, repair_from, repair_from_kept};
pub use rollback::{RollbackError, RollbackReport, rollback};
pub use uninstall::{UninstallReport, WouldUninstall, uninstall, would_uninstall};
pub use uninstall_error::UninstallError;
