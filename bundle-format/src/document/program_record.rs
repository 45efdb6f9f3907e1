//! A program or library in user space that a script probes.

use serde::{Deserialize, Serialize};

use crate::limits::MAX_BUILD_ID;
use crate::names::{Digest, KernelId};

/// A program or library that a script probes, as the farm had it: the script's modules know addresses in that build alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// Where it is: absolute, without links.
    pub path: String,
    /// Its ELF build id in lower-case hexadecimal digits.
    pub build_id: String,
    /// Digest of its file on the farm.
    pub sha256: Digest,
    /// The kernels whose module is made for it; empty for all that have a module of the script.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<KernelId>,
}

impl ProgramRecord {
    /// Whether the module for this kernel is made for it.
    #[must_use]
    pub fn is_for(&self, kernel: &KernelId) -> bool {
        self.kernels.is_empty() || self.kernels.contains(kernel)
    }

    pub(crate) fn is_sound(&self) -> bool {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let len = self.build_id.len();
        let has_id = (2..=2 * MAX_BUILD_ID).contains(&len) && len.is_multiple_of(2);
        let in_order = self.kernels.is_sorted_by(|a, b| a < b);
        has_id && in_order && self.build_id.bytes().all(digit) && self.path.starts_with('/')
    }
}
