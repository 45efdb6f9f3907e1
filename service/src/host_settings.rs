//! What the host's own configuration says of scripts: it may change how a module is run, never what was compiled.
//!
//! A host's `NAME_OPT` replaces a script's run options whole. What it says to the compiler must be nothing, or what the
//! module was made with; else the script is refused, for what runs would not be what the configuration says. A host's
//! `NAME_REQ` adds to what the script requires. Settings that are wrong refuse their script, too: it isn't started with
//! half of its options.

use script_config::{Configuration, ScriptName, ScriptOptions};

use crate::offer::{Offer, RefusedBundle, Source, VerifiedModule};
use crate::refusal::Refusal;

/// What options say to the compiler when they say nothing (INIT-CACHE-03).
const NOTHING_TO_COMPILE: &str = "--";

/// A source as this host has settled it.
pub(crate) struct HostSettings<'s> {
    source: Box<dyn Source + 's>,
    configuration: &'s Configuration,
}

impl<'s> HostSettings<'s> {
    /// `configuration` is the host's own, without what bundles have put there.
    pub(crate) fn new(source: Box<dyn Source + 's>, configuration: &'s Configuration) -> Self {
        Self { source, configuration }
    }

    fn apply(&self, offer: &mut Offer) {
        let settings = match self.configuration.settings_of(&offer.name) {
            Ok(settings) => settings,
            Err(problems) => {
                let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                return refuse(offer, Refusal::HostSettings { detail: told.join("; ") });
            }
        };
        let added: Vec<ScriptName> =
            settings.requires.iter().filter(|name| !offer.requires.contains(name)).cloned().collect();
        offer.requires.extend(added);
        let variable = format!("{}_OPT", offer.name);
        let Some(value) = self.configuration.environment().get(&variable) else { return };
        let place = value.place.as_ref().map_or_else(|| variable.clone(), ToString::to_string);
        match run_options(offer, &settings.options) {
            Ok(run) => {
                offer.run = run;
                offer.options_from = Some(place);
            }
            Err(detail) if offer.bundle.is_local() => {
                refuse(offer, Refusal::LocalOutdated { detail: format!("{place}: {detail}") });
            }
            Err(detail) => refuse(offer, Refusal::HostSettings { detail: format!("{place}: {detail}") }),
        }
    }
}

/// The run options, if what `options` say to the compiler is what the module was made with. What was compiled on this host
/// is made of this very configuration, so there nothing is no leave to differ (INIT-CACHE-02).
fn run_options(offer: &Offer, options: &ScriptOptions) -> Result<Vec<String>, String> {
    let ours = options.opts_line();
    let may_differ = ours == NOTHING_TO_COMPILE && !offer.bundle.is_local();
    if may_differ || ours == offer.opts_line {
        return Ok(options.staprun_args());
    }
    Err(format!("{}_OPT compiles with `{ours}`, the module was made with `{}`", offer.name, offer.opts_line))
}

/// A script that has no module anyway keeps the reason for that.
fn refuse(offer: &mut Offer, refusal: Refusal) {
    if offer.cell.is_ok() {
        offer.cell = Err(refusal);
    }
}

impl Source for HostSettings<'_> {
    fn offers(&self) -> Vec<Offer> {
        let mut offers = self.source.offers();
        for offer in &mut offers {
            self.apply(offer);
        }
        offers
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        self.source.refused_bundles()
    }

    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal> {
        self.source.read(offer)
    }
}
