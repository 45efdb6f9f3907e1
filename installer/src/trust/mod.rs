//! Whom this host believes, and what it takes from them: pins and roots, the administrator's policy, floors.
//!
//! In come the files below /etc/stap-bundle and the state's records; out go the keys that judge a bundle, and refusals.

mod chain;
mod domain;
mod error;
mod floors;
mod host_trust;
mod pins;
pub mod policy;
mod proof;
mod store;

pub use chain::RootRecord;
pub(crate) use chain::recorded_root;
pub use domain::{Domain, DomainError};
pub use error::TrustError;
pub use floors::FloorsError;
pub(crate) use floors::{Floor, FloorState};
pub(crate) use host_trust::HostTrust;
pub use policy::{Policy, PolicyError, PolicyRefusal};
pub use store::{RootsUpdate, TrustAdded, TrustRemoved, TrustStore};
