//! What a fleet runs, and what bundles have for it.
//!
//! Lists of kernels and reports of hosts come in as text; out go hosts with their kernels ([`ListedKernel`]), each host's newest report
//! ([`Collected`]), and for each kernel what its hosts would get of bundles ([`Coverage`]). Nothing here touches a path or a clock.

mod collect;
mod coverage;
mod host_report;
mod kernel_list;

pub use collect::{Collected, NotTaken, collect};
pub use coverage::{
    Coverage, CoveredKernel, FleetHost, Grade, HostKind, KernelCoverage, Loss, Offer, loss, measure,
};
pub use host_report::{HostReport, ReportError, ReportedBundle};
pub use kernel_list::{KernelList, ListedKernel, PassedOver, kernels_in};
