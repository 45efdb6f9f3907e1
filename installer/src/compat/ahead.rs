//! What is made before a switch, so that the switch moves what stock tools see as well.

use std::path::PathBuf;

use crate::compat::places::Places;
use crate::compat::reconcile::{configuration_link, has_bundles, make_links, show, write_inside};
use crate::compat::report::{CompatError, ReconcileReport, Work};
use crate::compat::scripts::settle_times;
use crate::compat::wanted::wanted;
use crate::generation::CurrentGeneration;
use crate::host::HostIdentity;
use crate::state::State;

/// Before generation `next` takes the place of `current`: links of names that only `next` has. They lead nowhere until it is
/// current, and what leads nowhere isn't there for stock tools. Returns what was made outside of generations.
///
/// Nothing of `current`'s is taken away, and no foreign file is touched: that follows the switch, with [`super::reconcile_locked`],
/// which also does all of this again. So what fails here is no reason to stop.
pub(crate) fn link_ahead(
    state: &State<'_>,
    identity: &HostIdentity,
    current: Option<&CurrentGeneration>,
    next: u64,
) -> Vec<PathBuf> {
    let made = || -> Result<Vec<PathBuf>, CompatError> {
        if current.is_some() {
            // An earlier version's links lead past the view; they change while it shows what they show.
            show(state, identity, current, &mut Work::default())?;
        }
        let next = state.generation(next)?;
        let host = state.host;
        let places = Places::read(host, &mut ReconcileReport::default())?;
        let wanted = wanted(&next, identity, &mut Vec::new())?;
        let mut inside = ReconcileReport::default();
        write_inside(state, &next, &wanted, &mut inside)?;
        settle_times(host, &places, &next, &wanted, &mut inside)?;
        let mut work = Work::default();
        if has_bundles(&next) {
            configuration_link(host, &places.configuration, true, &mut work)?;
        }
        make_links(host, &places, &wanted, &mut work)?;
        Ok(work.report.written)
    };
    made().unwrap_or_default()
}

/// What was made before the switch and what followed it, as one report.
pub(crate) fn joined(
    ahead: Vec<PathBuf>,
    followed: Result<ReconcileReport, CompatError>,
) -> Result<ReconcileReport, CompatError> {
    followed.map(|report| ReconcileReport { written: [ahead, report.written].concat(), ..report })
}
