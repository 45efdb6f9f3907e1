//! Names of the members of a bundle, and of the files in a frame.

use crate::names::checked::KernelRelease;
use crate::names::digest::Digest;

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

const CERTIFICATE_BEGIN: &str = "module-cert-";
const CERTIFICATE_END: &str = ".der";

/// The member that has the certificate with this digest.
#[must_use]
pub fn module_certificate_name(certificate: &Digest) -> String {
    let digits = certificate.to_string();
    format!("{CERTIFICATE_BEGIN}{}{CERTIFICATE_END}", digits.get(..16).unwrap_or_default())
}

/// Whether a member of this name is the certificate of a key that signed modules.
pub(crate) fn is_module_certificate(name: &str) -> bool {
    name.starts_with(CERTIFICATE_BEGIN) && name.ends_with(CERTIFICATE_END)
}
