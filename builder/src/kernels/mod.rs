//! The farm's kernel store: what packages bring of kernels, unpacked, a directory for each release.
//!
//! ```text
//! kernels/
//!   .lock             held by the command that changes something
//!   REL/
//!     kernel.json     which packages, and how each was checked
//!     root/           what they have, at their own paths: builds lay it over a sysroot
//!   .shared/NAME_VERSION_ARCHITECTURE/
//!                     a package that belongs to no release alone; kernels that need it have links to its files
//! ```
//! Packages come in as files and nothing of them is run: no maintainer script, no package manager. In comes a package
//! (`deb`, `rpm`), is checked (`check`), unpacked (`unpack`), joined to the kernels that it is for (`join`), whose links are
//! completed (`arrange`); then the new directory takes the old one's place in one step.

mod add;
mod arrange;
mod check;
mod contents;
mod deb;
mod debuginfod;
mod error;
mod image;
mod join;
mod package;
mod packing;
mod record;
mod rpm;
mod staged;
mod store;
#[cfg(test)]
mod tests;
mod unpack;

pub use add::{AddReport, AddedPackage};
pub use check::PackageChecks;
pub(crate) use contents::vmlinux_places;
pub use debuginfod::FetchReport;
pub use error::{KernelStoreError, PackageRefusal};
pub(crate) use image::build_id_in;
pub use record::{Checked, PackageFormat, StoredPackage};
pub use store::{KernelStore, StoredKernel};
