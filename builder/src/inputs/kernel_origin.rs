//! What a kernel's build tree came from, as far as the kernel store and the databases of its sysroot say.

use std::path::Path;

use bundle_format::Digest;

use super::packages::{Package, owner_by_dpkg};
use super::rpm_database::RpmDatabases;
use crate::sandbox::Sysroot;

/// What a kernel's build tree and debuginfo came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelOrigin {
    /// None if they are unknown.
    pub packages: Vec<Package>,
    /// The sysroot has an rpm database that no rpm could read.
    pub has_unread_database: bool,
}

impl KernelOrigin {
    /// Adds the packages that brought the directory `tree`, as seen inside the sysroot.
    pub(crate) fn add_owners_of(
        &mut self,
        tree: &Path,
        sysroot: &Sysroot,
        toolchain: Option<Digest>,
        rpm: &mut RpmDatabases<'_>,
    ) {
        if let Some(owner) = owner_by_dpkg(sysroot, tree) {
            return self.packages.push(owner);
        }
        match rpm.owners_of(tree, sysroot, toolchain) {
            Some(owners) => self.packages.extend(owners),
            None => self.has_unread_database = true,
        }
    }
}
