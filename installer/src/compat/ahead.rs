//! What is made before a switch, so that the switch moves what stock tools see as well.

use std::path::PathBuf;

use files::FileError;

use crate::compat::configuration::{has_bundles, link_both, write_options, write_switches};
use crate::compat::places::Places;
use crate::compat::reconcile::make_links;
use crate::compat::report::{CompatError, ReadOnly, ReconcileReport, Work};
use crate::compat::scripts::settle_times;
use crate::compat::view::write_view;
use crate::compat::wanted::{Wanted, wanted};
use crate::generation::{CurrentGeneration, GenerationError};
use crate::host::HostIdentity;
use crate::state::State;
use crate::trust::PolicyError;

/// Before generation `next` takes the place of `current`: its view and configuration, without which no link would lead anywhere
/// after the switch, so what fails there is a reason not to switch; then links of names that only `next` has. These lead nowhere
/// until it is current, and what leads nowhere isn't there for stock tools. Returns what was made outside of generations.
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
    let report = &mut ReconcileReport::default();
    write_options(&next, report)?;
    write_switches::<E>(state, &next, report)?;
    write_view(&next, &shown, report)?;
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
        write_view(current, &shown, &mut ReconcileReport::default())?;
        make_links(host, &places, &shown, &mut work)?;
    }
    settle_times(host, &places, next, shown, &mut ReconcileReport::default())?;
    if has_bundles(next) {
        ReadOnly::default().pass(link_both(host, &places.configuration, &mut work))?;
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
