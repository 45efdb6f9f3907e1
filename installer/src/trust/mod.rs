//! Whom this host believes, and what it takes from them: pins and roots by domain, the administrator's policy, floors.
//!
//! In come the files below /etc/stap-bundle and the state's records; out go the keys that judge a bundle, and refusals.

mod chain;
mod change;
mod domain_trust;
mod error;
mod floors;
mod host_trust;
mod owners;
mod pattern;
mod pins;
pub mod policy;
mod proof;
mod store;

pub use chain::RootRecord;
pub(crate) use chain::recorded_root;
pub use change::{Pin, PinPlace, TrustAdded, TrustRemoved};
pub use domain_trust::DomainTrust;
pub use error::TrustError;
pub use floors::FloorsError;
pub(crate) use floors::{Floor, FloorState};
pub(crate) use host_trust::HostTrust;
pub use host_trust::JudgeError;
pub use owners::{Owner, Owners};
pub use policy::{Policy, PolicyError, PolicyRefusal};
pub use store::{RootsUpdate, TrustStore};
