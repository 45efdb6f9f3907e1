//! Names of the members of a bundle, and of the files in a frame.

use crate::names::checked::KernelRelease;

/// Name of the first member.
pub const HEADER_NAME: &str = "stap-bundle";
/// Name of a payload's first member.
pub const PAYLOAD_NAME: &str = "stap-payload";
/// Name of the second member.
pub const SIGNATURES_NAME: &str = "signatures";
/// Name of the third member.
pub const ROOTS_NAME: &str = "roots";
/// Name of the fourth member.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Name of the extra with the bill of materials.
pub const SBOM_NAME: &str = "sbom.spdx.json";
/// Name of the extra with the provenance.
pub const PROVENANCE_NAME: &str = "provenance.intoto.json";
/// Name of the extra with the scripts.
pub const SOURCES_NAME: &str = "sources.tar.zst";
/// Name of the first file of a frame's tar.
pub const SET_NAME: &str = "SET.json";
/// Name of the shared module for user-space probes, last file of a frame's tar where one is needed.
pub const UPROBES_NAME: &str = "uprobes/uprobes.ko";

/// Name of a frame's member.
#[must_use]
pub fn frame_name(index: usize, release: &KernelRelease) -> String {
    format!("kernels/{index:04}-{release}.tar.zst")
}
