//! What everything else is named by: names that come from outside, digests, ids, keys. Text and bytes come in, each
//! checked once; typed values go out.

mod checked;
mod digest;
mod id;
mod kernel_id;
mod keys;
mod members;

pub use checked::{
    BundleName, BundleVersion, GroupName, KernelRelease, Machine, NameError, ScriptName, ScriptNameError,
};
pub(crate) use digest::of_hexadecimal;
pub use digest::{Digest, DigestError, FieldHasher, HashingWriter, hexadecimal};
pub use id::BundleId;
pub use kernel_id::KernelId;
pub use keys::{KeyError, KeyId, KeyStatus, PublicKey, Role};
pub(crate) use members::{
    HEADER_NAME, MANIFEST_NAME, PAYLOAD_NAME, ROOTS_NAME, SIGNATURES_NAME, UPROBES_NAME, frame_name,
    is_module_certificate,
};
pub use members::{PROVENANCE_NAME, SBOM_NAME, SET_NAME, SOURCES_NAME, module_certificate_name};
