//! What is made before a switch, so that the switch moves what stock tools see as well.

use std::path::PathBuf;

use files::FileError;

use crate::compat::places::Places;
use crate::compat::reconcile::{ReadOnly, configuration_link, has_bundles, make_links, write_inside};
use crate::compat::report::{CompatError, ReconcileReport, Work};
use crate::compat::scripts::settle_times;
use crate::compat::wanted::{Wanted, wanted};
use crate::generation::{CurrentGeneration, GenerationError};
use crate::host::HostIdentity;
use crate::state::State;
use crate::trust::PolicyError;

/// Before generation `next` takes the place of `current`: its view, without which no link would lead anywhere after the switch, so
/// what fails there is a reason not to switch; then links of names that only `next` has. These lead nowhere until it is current,
/// and what leads nowhere isn't there for stock tools. Returns what was made outside of generations.
///
/// Nothing of `current`'s is taken away, and no foreign file is touched: that follows the switch, with [`super::reconcile_locked`],
/// which also makes the links again. So a link that fails here is no reason to stop.
pub(crate) fn link_ahead<E>(
    state: &State<'_>,
    identity: &HostIdentity,
    current: Option<&CurrentGeneration>,
    next: u64,
) -> Result<Vec<PathBuf>, E>
where
    E: From<GenerationError> + From<PolicyError> + From<FileError>,
{
    let next = state.generation(next)?;
    let shown = wanted(&next, identity, &mut Vec::new())?;
    write_inside::<E>(state, &next, &shown, &mut ReconcileReport::default())?;
    Ok(link_outside(state, identity, current, (&next, &shown)).unwrap_or_default())
}

fn link_outside(
    state: &State<'_>,
    identity: &HostIdentity,
    current: Option<&CurrentGeneration>,
    (next, shown): (&CurrentGeneration, &Wanted),
) -> Result<Vec<PathBuf>, CompatError> {
    let host = state.host;
    let places = Places::read(host, &mut ReconcileReport::default())?;
    let mut work = Work::default();
    if let Some(current) = current {
        // An earlier version's links lead past the view; they change while it shows what they show.
        let shown = wanted(current, identity, &mut Vec::new())?;
        write_inside::<CompatError>(state, current, &shown, &mut ReconcileReport::default())?;
        make_links(host, &places, &shown, &mut work)?;
    }
    settle_times(host, &places, next, shown, &mut ReconcileReport::default())?;
    if has_bundles(next) {
        ReadOnly::default().pass(configuration_link(host, &places.configuration, true, &mut work))?;
    }
    make_links(host, &places, shown, &mut work)?;
    Ok(work.report.written)
}

/// What was made before the switch and what followed it, as one report.
pub(crate) fn joined(
    ahead: Vec<PathBuf>,
    followed: Result<ReconcileReport, CompatError>,
) -> Result<ReconcileReport, CompatError> {
    followed.map(|report| ReconcileReport { written: [ahead, report.written].concat(), ..report })
}
