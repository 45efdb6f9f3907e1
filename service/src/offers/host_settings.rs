//! What the host's own configuration says of scripts: it may change how a module is run, never what was compiled.
//!
//! A host's `NAME_OPT` replaces a script's run options whole. What it says to the compiler must be nothing, or what the
//! module was made with; else the script is refused, for what runs would not be what the configuration says. A host's
//! `NAME_REQ` adds to what the script requires, as long as the requirements go in no circle. Settings that are wrong refuse
//! their script, too: it isn't started with half of its options. Nothing of this concerns any other script.

use std::collections::BTreeSet;

use script_config::{Configuration, DependencyGraph, ScriptName, ScriptOptions};

use crate::offers::offer::{CompiledWith, Offer, RefusedBundle, Source, VerifiedModule, graph_of};
use crate::reasons::Refusal;

/// A source as this host has settled it.
pub(crate) struct HostSettings<'s> {
    source: Box<dyn Source + 's>,
    offers: Vec<Offer>,
}

/// What the host's configuration says.
struct Settings<'c> {
    configuration: &'c Configuration,
}

/// What a host's configuration adds to the requirements of one script.
struct Added {
    /// Its place among the offers.
    place: usize,
    requires: Vec<ScriptName>,
}

impl<'s> HostSettings<'s> {
    /// `configuration` is the host's own, without what bundles have put there.
    pub(crate) fn new(source: Box<dyn Source + 's>, configuration: &Configuration) -> Self {
        let mut offers = source.offers().to_vec();
        let settings = Settings { configuration };
        settings.require(&mut offers);
        for offer in &mut offers {
            settings.run(offer);
        }
        Self { source, offers }
    }
}

impl Settings<'_> {
    /// Adds requirements; where they lead back to the script, it is refused and they don't count.
    fn require(&self, offers: &mut [Offer]) {
        let mut added = Vec::new();
        for (place, offer) in offers.iter_mut().enumerate() {
            let own = self.configuration.requirements_of(&offer.name).into_iter();
            let requires: Vec<ScriptName> = own.filter(|name| !offer.requires.contains(name)).collect();
            if !requires.is_empty() {
                offer.requires.extend(requires.iter().cloned());
                added.push(Added { place, requires });
            }
        }
        if added.is_empty() {
            return;
        }
        let mut graph = graph(offers);
        for Added { place, requires } in added {
            let Some(offer) = offers.get_mut(place) else { continue };
            let leads_back = |name: &&ScriptName| {
                **name == offer.name || graph.requirements_of(name).contains(&offer.name)
            };
            let Some(culprit) = requires.iter().find(leads_back) else { continue };
            let variable = format!("{}_REQ", offer.name);
            let (place, name) = (self.place_of(&variable), &offer.name);
            let detail = format!("{place}: {name} would require {culprit}, which requires {name}");
            offer.requires.retain(|name| !requires.contains(name));
            refuse(offer, Refusal::HostSettings { detail });
            graph = self::graph(offers);
        }
    }

    fn run(&self, offer: &mut Offer) {
        let settings = match self.configuration.settings_of(&offer.name) {
            Ok(settings) => settings,
            Err(problems) => {
                let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
                return refuse(offer, Refusal::HostSettings { detail: told.join("; ") });
            }
        };
        let variable = format!("{}_OPT", offer.name);
        if !self.says_something_of(offer, &variable) {
            return;
        }
        let place = self.place_of(&variable);
        match run_options(offer, &settings.options) {
            Ok(run) if run == offer.run || offer.cell.is_err() => {}
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

    /// A bundle has its options with it, so only a line that is there counts. What was compiled on this host was made of
    /// this configuration, so there the lack of a line counts too (INIT-CACHE-02): unless there is no configuration, as
    /// under `--root`, or the line may be in a file that can't be read.
    fn says_something_of(&self, offer: &Offer, variable: &str) -> bool {
        let environment = self.configuration.environment();
        let is_known = environment.iter().next().is_some() && self.configuration.skipped_files().is_empty();
        environment.get(variable).is_some() || (offer.bundle.is_local() && is_known)
    }

    fn place_of(&self, variable: &str) -> String {
        self.configuration.origin(variable).map_or_else(|| variable.to_owned(), ToString::to_string)
    }
}

fn graph(offers: &[Offer]) -> DependencyGraph {
    graph_of(offers, &BTreeSet::new())
}

/// The run options, if what `options` say to the compiler is what the module was made with.
fn run_options(offer: &Offer, options: &ScriptOptions) -> Result<Vec<String>, String> {
    let (compile, arguments) = (options.compile_args(), options.script_args());
    let (is_same, made_with) = match &offer.compiled_with {
        CompiledWith::Options { opts_line, .. } if compile.is_empty() && arguments.is_empty() => {
            (true, opts_line)
        }
        CompiledWith::Options { compile: signed, arguments: words, opts_line } => {
            (*signed == compile && words == arguments, opts_line)
        }
        CompiledWith::Line(opts_line) => (options.opts_line() == *opts_line, opts_line),
    };
    if is_same {
        return Ok(options.staprun_args());
    }
    let ours = options.opts_line();
    Err(format!("{}_OPT compiles with `{ours}`, the module was made with `{made_with}`", offer.name))
}

/// A script that has no module anyway keeps the reason for that.
fn refuse(offer: &mut Offer, refusal: Refusal) {
    if offer.cell.is_ok() {
        offer.cell = Err(refusal);
    }
}

impl Source for HostSettings<'_> {
    fn offers(&self) -> &[Offer] {
        &self.offers
    }

    fn refused_bundles(&self) -> Vec<RefusedBundle> {
        self.source.refused_bundles()
    }

    fn read(&self, offer: &Offer) -> Result<VerifiedModule, Refusal> {
        self.source.read(offer)
    }
}
