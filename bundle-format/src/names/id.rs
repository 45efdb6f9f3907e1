//! What is named by a digest of what it is. Each kind is a type of its own, so that none stands in for another.

use crate::names::digest::Digest;

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Digest);

        impl $name {
            /// The id with these 32 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(Digest::from_bytes(bytes))
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            /// The first 16 hexadecimal digits, for people and names of directories.
            #[must_use]
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}
pub(super) use digest_id;

digest_id!(
    /// The SHA-256 of the raw manifest: what names a bundle. Signatures and absent frames don't change it.
    BundleId
);

impl BundleId {
    /// The id of the bundle with this raw manifest.
    #[must_use]
    pub fn of_manifest(raw: &[u8]) -> Self {
        Self(Digest::of(raw))
    }
}
