//! What could be started: scripts of installed bundles, then those compiled here, then what the host's configuration says
//! of both. Found out once, before anything else is asked.

mod generation;
mod host_settings;
mod local_source;
mod offer;

pub(crate) use generation::{Generation, Nothing};
pub(crate) use host_settings::HostSettings;
pub(crate) use local_source::WithLocal;
pub use offer::RefusedBundle;
#[cfg(test)]
pub(crate) use offer::{CompiledWith, OfferedBy};
pub(crate) use offer::{Offer, Source, VerifiedModule, graph_of};
