//! The other bundles of the current generation: those that a new one takes along.

use bundle_format::BundleName;
use files::FileError;

use crate::generation::{CurrentGeneration, Events, InstallEvent, RefusedBundle, Staging};
use crate::install::report::InstallWarning;

/// Gives all bundles of `current` but the one called `leaving` a place in the new generation too.
pub(crate) fn carry_others(
    current: &CurrentGeneration,
    staging: &mut Staging<'_>,
    leaving: Option<&BundleName>,
    warnings: &mut Vec<InstallWarning>,
    events: &mut Events<'_>,
) -> Result<(), FileError> {
    let old = current.directory();
    for bundle in current.bundles().iter().filter(|bundle| Some(&bundle.name) != leaving) {
        let missing = staging.carry_over(old, &bundle.name, bundle.id, &bundle.manifest)?;
        told(&bundle.name, missing, warnings, events);
    }
    for (name, refused) in other_refused(current, leaving) {
        let missing = match refused.claimed() {
            Some((id, manifest)) => staging.carry_over(old, &name, id, manifest)?,
            None => staging.carry_wreck(old, refused).map(|()| Vec::new())?,
        };
        told(&name, missing, warnings, events);
        warnings.push(InstallWarning::OtherRefused {
            name: refused.name.clone(),
            reason: refused.reason.clone(),
        });
    }
    let strays = current.refused_bundles().iter().filter(|refused| bundle_name(refused).is_none());
    let generation = current.number();
    warnings.extend(strays.map(|stray| InstallWarning::NotABundle { name: stray.name.clone(), generation }));
    Ok(())
}

fn told(
    name: &BundleName,
    missing: Vec<String>,
    warnings: &mut Vec<InstallWarning>,
    events: &mut Events<'_>,
) {
    let missing = missing.into_iter();
    warnings.extend(missing.map(|path| InstallWarning::OtherDamaged { name: name.clone(), path }));
    events(InstallEvent::CarriedOver { name: name.clone() });
}

/// The bundles of `current` that aren't believed, without the one called `leaving`.
pub(super) fn other_refused<'c>(
    current: &'c CurrentGeneration,
    leaving: Option<&BundleName>,
) -> impl Iterator<Item = (BundleName, &'c RefusedBundle)> {
    let named = current.refused_bundles().iter().filter_map(|refused| Some((bundle_name(refused)?, refused)));
    named.filter(move |(name, _)| Some(name) != leaving)
}

fn bundle_name(refused: &RefusedBundle) -> Option<BundleName> {
    refused.name.parse().ok()
}

pub(super) fn is_refused(current: &CurrentGeneration, name: &BundleName) -> bool {
    current.refused_bundles().iter().any(|refused| refused.name == name.as_str())
}
