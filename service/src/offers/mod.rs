//! What could be started: scripts of installed bundles, then those compiled here, then what the host's configuration says
//! of both. Found out once, before anything else is asked.

mod all;
mod candidate;
mod compiled_here;
mod host_settings;
mod installed;

pub(crate) use all::Offers;
pub(crate) use candidate::{
    Candidate, Candidates, Origin, Signature, VerifiedModule, graph_of, with_dependants,
};
#[cfg(test)]
pub(crate) use candidate::{OfferedBy, SignedScript};
pub(crate) use installed::Installed;
pub use installed::LeftOutBundle;
