//! What the host's own configuration says of scripts: it may change how a module is run, never what was compiled.
//!
//! A host's `NAME_OPT` replaces a script's run options whole. What it says to the compiler must be nothing, or what the
//! module was made with; else the script is refused, for what runs would not be what the configuration says. A host's
//! `NAME_REQ` adds to what the script requires, as long as the requirements go in no circle. Settings that are wrong refuse
//! their script, too: it isn't started with half of its options. Nothing of this concerns any other script.

use std::collections::BTreeSet;

use script_config::{Configuration, ScriptName, ScriptOptions};

use crate::local::LocalRecord;
use crate::offers::candidate::{Candidate, Candidates, Origin, graph_of};
use crate::reasons::StartRefusal;

/// `configuration` is the host's own, without what bundles have put there.
pub(crate) fn apply(configuration: &Configuration, candidates: &mut Candidates) {
    let settings = Settings { configuration };
    settings.require(candidates);
    for candidate in candidates.values_mut() {
        settings.run(candidate);
    }
}

/// What the host's configuration says.
struct Settings<'c> {
    configuration: &'c Configuration,
}

/// What a host's configuration adds to the requirements of one script.
struct Added {
    script: ScriptName,
    requires: Vec<ScriptName>,
}

impl Settings<'_> {
    /// Adds requirements; where they lead back to the script, it is refused and they don't count.
    fn require(&self, candidates: &mut Candidates) {
        let mut added = Vec::new();
        for candidate in candidates.values_mut() {
            let own = self.configuration.requirements_of(&candidate.name).into_iter();
            let requires: Vec<ScriptName> = own.filter(|name| !candidate.requires.contains(name)).collect();
            if !requires.is_empty() {
                candidate.requires.extend(requires.iter().cloned());
                added.push(Added { script: candidate.name.clone(), requires });
            }
        }
        if added.is_empty() {
            return;
        }
        let mut graph = graph_of(candidates, &BTreeSet::new());
        for Added { script, requires } in added {
            let leads_back =
                |name: &&ScriptName| **name == script || graph.requirements_of(name).contains(&script);
            let Some(culprit) = requires.iter().find(leads_back) else { continue };
            let Some(candidate) = candidates.get_mut(&script) else { continue };
            let place = self.place_of(&format!("{script}_REQ"));
            let detail = format!("{place}: {script} would require {culprit}, which requires {script}");
            candidate.requires.retain(|name| !requires.contains(name));
            candidate.refuse(StartRefusal::HostSettings { detail });
            graph = graph_of(candidates, &BTreeSet::new());
        }
    }

    fn run(&self, candidate: &mut Candidate) {
        let settings = match self.configuration.settings_of(&candidate.name) {
            Ok(settings) => settings,
            Err(problems) => {
                let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
                return candidate.refuse(StartRefusal::HostSettings { detail: said.join("; ") });
            }
        };
        let variable = format!("{}_OPT", candidate.name);
        if !self.says_something_of(candidate, &variable) {
            return;
        }
        let place = self.place_of(&variable);
        match run_options(candidate, &settings.options) {
            Ok(run) if run == candidate.run || candidate.cell.is_err() => {}
            Ok(run) => {
                candidate.run = run;
                candidate.options_from = Some(place);
            }
            Err(why) => {
                let detail = format!("{place}: {why}");
                candidate.refuse(if matches!(candidate.origin, Origin::Local(_)) {
                    StartRefusal::LocalOutdated { detail }
                } else {
                    StartRefusal::HostSettings { detail }
                });
            }
        }
    }

    /// A bundle has its options with it, and an adopted module its `.opts`, so only a line that is there counts. What was compiled on this host was made of
    /// this configuration, so there the lack of a line counts too (INIT-CACHE-02): unless there is no configuration, as
    /// under `--root`, or the line may be in a file that can't be read.
    fn says_something_of(&self, candidate: &Candidate, variable: &str) -> bool {
        let environment = self.configuration.environment();
        let is_known = environment.iter().next().is_some() && self.configuration.skipped_files().is_empty();
        let is_local =
            matches!(&candidate.origin, Origin::Local(LocalRecord::Good(record)) if record.adopted.is_none());
        environment.get(variable).is_some() || (is_local && is_known)
    }

    fn place_of(&self, variable: &str) -> String {
        self.configuration.origin(variable).map_or_else(|| variable.to_owned(), ToString::to_string)
    }
}

/// The run options, if what `options` say to the compiler is nothing, or what the module was made with.
fn run_options(candidate: &Candidate, options: &ScriptOptions) -> Result<Vec<String>, String> {
    let ours = options.opts_line();
    let compile = options.compile_args();
    let arguments = options.script_args();
    let made_with = match &candidate.origin {
        Origin::Bundle(signed) => {
            let record = &signed.record;
            let says_nothing = compile.is_empty() && arguments.is_empty();
            let is_same = says_nothing || (record.compile == compile && record.arguments == arguments);
            Some(&record.opts_line).filter(|_| !is_same)
        }
        Origin::Local(LocalRecord::Good(record)) => Some(&record.opts_line).filter(|line| **line != ours),
        // Refused in any case, for a better reason.
        Origin::RefusedBundle(_) | Origin::NotCompiled | Origin::Local(_) => None,
    };
    match made_with {
        None => Ok(options.staprun_args()),
        Some(line) => {
            let name = &candidate.name;
            Err(format!("{name}_OPT compiles with `{ours}`, the module was made with `{line}`"))
        }
    }
}
