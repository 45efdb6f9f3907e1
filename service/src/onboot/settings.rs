//! What decides, beside the modules, what starts from an image: run options, masks, trust, the boot guard, and this program.

use bundle_format::Digest;
use installer::{masks, trust_digest};

use crate::boot::{GuardRecord, GuardStage};
use crate::host::Host;
use crate::offers::Offers;
use crate::onboot::fitness::Fitness;

/// A digest of it, for the scripts that fit. `None` if it isn't known, so that it can't be compared.
pub(super) fn settings(host: &Host, offers: &Offers<'_>, fitness: &Fitness) -> Option<Digest> {
    let masks = masks(&host.files).ok()?;
    let guard = GuardRecord::read(host).ok()?.filter(|record| record.bundles == offers.bundle_ids());
    // Before the first boot there is no record.
    let stage = guard.as_ref().map_or(GuardStage::SideBySide, |record| record.stage);
    let mut all = vec![
        env!("CARGO_PKG_VERSION").to_owned(),
        trust_digest(&host.files).ok()?.to_string(),
        format!("{stage:?}"),
    ];
    for name in fitness.fit.keys() {
        let script = offers.get(name)?;
        let is_culprit = guard.as_ref().is_some_and(|record| record.culprits.contains(name));
        let is_masked = masks.contains_key(name);
        all.push(format!("{name} {is_masked} {is_culprit} {:?} {:?}", script.run, script.requires));
    }
    Some(Digest::of(all.join("\n").as_bytes()))
}
