//! What `start`, `stop` and `status` share: their arguments, and a service on this host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use installer::{
    CurrentGeneration, HostIdentity, InstallOptions, LaterKernels, RefusalKind, TrustStore, lacking,
    other_scripts,
};
use script_config::{Configuration, GlobalParameters, ScriptName};
use service::{
    Host, LeftOutBundle, Reason, Service, ServiceError, ServiceEvent, StartChoice, StateError, StatusReport,
};

use crate::commands::host::install::install_failure;
use crate::commands::host::unpack::unpack;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::host::{self, HostConfiguration};
use crate::ui::{Mark, Ui};
use crate::way_out::WayOut;

/// How long a start waits for another writer before it goes on with what is unpacked.
const UNPACK_WAIT: Duration = Duration::from_secs(30);

/// Scripts and where their configuration is.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// The initscript's global configuration file.
    #[arg(short, long, value_name = "CONFIG", help = format!("The initscript's global configuration file [default: {}]", crate::config_files::DEFAULT_CONFIG))]
    pub(crate) config: Option<PathBuf>,
    /// Only these scripts.
    pub(crate) script: Vec<ScriptName>,
}

/// A host with its current generation and its configuration.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) host: Host,
    pub(crate) identity: HostIdentity,
    pub(crate) current: Option<CurrentGeneration>,
    /// Why it can't be read, where that ends nothing: something is installed.
    pub(crate) unreadable: Option<Failure>,
    pub(crate) parameters: GlobalParameters,
    /// This host's own settings of scripts.
    pub(crate) own: Configuration,
    pub(crate) named: BTreeSet<ScriptName>,
    /// The global configuration file that was given.
    #[cfg_attr(not(feature = "farm"), expect(dead_code, reason = "only a compile reads it again"))]
    pub(crate) config: Option<PathBuf>,
    /// Whether the configuration and the installed generation could be read whole.
    pub(crate) all_is_good: bool,
}

/// What AUTOCOMPILE did before a start.
#[derive(Debug)]
pub(crate) struct Autocompiled {
    /// Whether no compile failed.
    pub(crate) all_well: bool,
    /// Modules that there are now and weren't before.
    pub(crate) modules: usize,
    /// Scripts that were to be compiled and have no module, each with the reason.
    pub(crate) failed: BTreeMap<ScriptName, String>,
}

impl Default for Autocompiled {
    /// Nothing was to be done.
    fn default() -> Self {
        Self { all_well: true, modules: 0, failed: BTreeMap::new() }
    }
}

/// What a command does about a generation that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A start has nothing that it could believe: it ends.
    Ends,
    /// What runs can be stopped without it: a warning.
    Warns,
    /// It is one of the report's errors.
    Reported,
}

impl Selection {
    /// Opens what the command works on.
    pub(crate) fn open(&self, global: &Global, damage: Damage, ui: &mut Ui) -> Result<Opened, Failure> {
        let root = host::open_root(global)?;
        let identity = host::identity(global, &root)?;
        let HostConfiguration { parameters, own, is_good: mut all_is_good } =
            host::configuration(global, self.config.as_deref(), ui)?;
        let mut unreadable = None;
        let current = match host::current(&root) {
            Err(failure) if damage != Damage::Ends => {
                all_is_good = false;
                let failure = failure.of_command(&ui.command, global.root.as_deref());
                let failure = failure.about("what is installed can't be read");
                if damage == Damage::Warns {
                    ui.warning(failure.one_line());
                }
                unreadable = Some(failure);
                None
            }
            current => current?,
        };
        let host = Host::configured(root, &parameters);
        let moves = identity
            .release
            .as_ref()
            .map(|release| service::unpacked_too_deep(&host, release, &parameters.config_path));
        for command in moves.unwrap_or_default() {
            ui.warning(format!("tar has unpacked into the cache with whole paths; to be found: {command}"));
        }
        Ok(Opened {
            host,
            identity,
            current,
            unreadable,
            parameters,
            own,
            named: self.script.iter().cloned().collect(),
            config: self.config.clone(),
            all_is_good,
        })
    }
}

impl Opened {
    /// A kernel that came after the bundles: unpacks what they have for it from where they are kept. Where that can't be
    /// done, a start goes on with what there is.
    pub(crate) fn unpack_for_this_kernel(&mut self, global: &Global, ui: &mut Ui) {
        let failures = self.try_to_unpack(global, ui).unwrap_or_else(|failure| vec![failure]);
        for failure in failures {
            // The other writer may be doing this very thing; that alone doesn't fail a start.
            self.all_is_good &= failure.exit == Exit::Locked;
            let why = failure.one_line();
            ui.warning(format!("what a bundle has for this kernel wasn't unpacked: {why}"));
        }
    }

    /// Scripts of this host that aren't the ones which the installed modules were made from.
    fn other_scripts(&self) -> Vec<String> {
        let Some(current) = &self.current else { return Vec::new() };
        other_scripts(&self.host.files, current).unwrap_or_else(|error| {
            let failure = Failure::of(Exit::Storage, &error);
            vec![format!("scripts were not compared: {}", failure.one_line())]
        })
    }

    /// What stock tools lack of what is installed.
    fn lacking(&self) -> Vec<String> {
        let Some(current) = &self.current else { return Vec::new() };
        match lacking(&self.host.files, &self.identity, current) {
            Ok(lacking) => lacking.iter().map(ToString::to_string).collect(),
            Err(error) => {
                let failure = Failure::of(Exit::Storage, &error);
                vec![format!("what the initscript sees was not looked at: {}", failure.one_line())]
            }
        }
    }

    fn try_to_unpack(&mut self, global: &Global, ui: &mut Ui) -> Result<Vec<Failure>, Failure> {
        let Some(current) = &self.current else { return Ok(Vec::new()) };
        let root = &self.host.files;
        let options =
            InstallOptions { now: host::now(global), wait: UNPACK_WAIT, ..InstallOptions::default() };
        let unpacked = unpack(root, &self.identity, current, LaterKernels::Running, &options, ui)?;
        if !unpacked.reports.is_empty() {
            self.current = host::current(root)?;
        }
        Ok(unpacked.failures.into_iter().map(|error| install_failure(error, root)).collect())
    }

    /// The service.
    pub(crate) fn service(&self) -> Service<'_> {
        let service = self.service_of(self.current.as_ref());
        match &self.unreadable {
            Some(failure) => service.without_knowing(state_error(failure)),
            None => service,
        }
    }

    /// Looks at the named scripts, or at all, and at what this host keeps for them.
    pub(crate) fn status(&self) -> Result<Status, Failure> {
        let mut report = self.service().status(self.named()).map_err(|error| service_failure(&error))?;
        report.warnings.extend(self.other_scripts());
        report.warnings.extend(self.lacking());
        match TrustStore::open(&self.host.files) {
            Ok(store) => report.warnings.extend(host::alarms(&store)),
            // Nothing that is installed could be read then, which is said already.
            Err(_) if self.unreadable.is_some() => {}
            Err(error) => report.errors.push(state_error(&host::trust_failure(&error))),
        }
        let unreadable = self.unreadable.as_ref().map(|failure| failure.exit);
        let refused = unreadable.or_else(|| report.errors.first().map(|error| exit_of(error.kind)));
        Ok(Status { report, refused })
    }

    /// The service of another generation.
    pub(crate) fn service_of<'o>(&'o self, generation: Option<&'o CurrentGeneration>) -> Service<'o> {
        Service::new(&self.host, &self.identity, generation, &self.own)
    }

    /// The service as the host would be under another kernel.
    pub(crate) fn service_as<'o>(&'o self, identity: &'o HostIdentity) -> Service<'o> {
        Service::new(&self.host, identity, self.current.as_ref(), &self.own)
    }

    /// Says once that `LOG_FILE` can't be written, if it can't: nothing ends for it.
    pub(crate) fn say_unlogged(&self, ui: &mut Ui) {
        if let Some(why) = self.host.unlogged() {
            ui.warning(format!("nothing is logged in {} (LOG_FILE): {why}", self.host.log_file.display()));
        }
    }

    /// Which scripts it is about.
    pub(crate) fn choice(&self, with_requirements: bool) -> StartChoice<'_> {
        StartChoice { named: &self.named, with_requirements, parameters: &self.parameters }
    }

    /// The machine.
    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }

    /// The scripts named.
    pub(crate) const fn named(&self) -> &BTreeSet<ScriptName> {
        &self.named
    }
}

/// What a host says about itself.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) report: StatusReport,
    /// How a command ends for state that is refused or damaged; `None` if the report is the whole truth.
    pub(crate) refused: Option<Exit>,
}

fn state_error(failure: &Failure) -> StateError {
    let kind = match failure.exit {
        Exit::Trust => RefusalKind::NotBelieved,
        Exit::Storage | Exit::Locked => RefusalKind::Unreadable,
        _ => RefusalKind::Damaged,
    };
    StateError::of(kind, failure.one_line())
}

/// How a command ends for state of that kind.
pub(crate) const fn exit_of(kind: RefusalKind) -> Exit {
    match kind {
        RefusalKind::NotBelieved => Exit::Trust,
        RefusalKind::Damaged => Exit::Malformed,
        RefusalKind::Unreadable => Exit::Storage,
    }
}

/// A happening in words.
pub(crate) fn sentence(event: &ServiceEvent) -> Option<String> {
    Some(match event {
        ServiceEvent::Planned { ready, refused: 0 } => {
            format!("verified {}", crate::words::count(*ready, "module"))
        }
        ServiceEvent::Planned { ready, refused } => {
            format!("verified {}, refused {refused}", crate::words::count(*ready, "module"))
        }
        ServiceEvent::Started(script, took) => format!("  started {script} ({:.1} s)", took.as_secs_f64()),
        ServiceEvent::Done(script, took) => {
            format!("  {script} has done its work ({:.1} s)", took.as_secs_f64())
        }
        ServiceEvent::Failed(script, reason) => format!("  {script} did not start: {}", reason.text),
        ServiceEvent::StoppingAgain(script) => {
            format!("  stopping {script} again, because of an earlier failure")
        }
        ServiceEvent::Stopped(script, took) => format!("  stopped {script} ({:.1} s)", took.as_secs_f64()),
        ServiceEvent::StopFailed(script, text) => format!("  {script} could not be stopped: {text}"),
        _ => return None,
    })
}

/// A reason and what to do about it, on two lines.
pub(crate) fn explain(reason: &Reason) -> String {
    if reason.advice.is_empty() {
        reason.text.clone()
    } else {
        format!("{}\n    {}", reason.text, reason.advice)
    }
}

/// Bundles that aren't believed; scripts of theirs may be missing.
pub(crate) fn show_refused_bundles(ui: &mut Ui, bundles: &[LeftOutBundle]) {
    for refused in bundles {
        let name = ui.mark(Mark::Bad, format!("bundle {}", refused.bundle));
        ui.finding(format!("{name} is refused: {}", explain(&refused.reason)));
    }
}

pub(crate) fn service_failure(error: &ServiceError) -> Failure {
    let exit = match error {
        ServiceError::Locked { .. } => Exit::Locked,
        ServiceError::Dependency(_) => Exit::Order,
        ServiceError::File(_) => Exit::Storage,
        _ => Exit::Failed,
    };
    let failure = Failure::of(exit, error);
    match error {
        ServiceError::Locked(_) => {
            failure.hint("wait until it has ended, and try again; if that process hangs, end it")
        }
        // Whom it belongs to shows that an ordinary user asks.
        ServiceError::UnsafeDirectory { .. } if !rustix::process::geteuid().is_root() => {
            let what = "only root writes to /run/stap-bundle";
            Failure { way_out: Box::new(WayOut::denied()), ..Failure::new(Exit::Storage, what) }
                .hint("run it as root")
        }
        ServiceError::StopRefused(_) => failure.hint("stop those first; or add -R, which stops them too"),
        ServiceError::WouldNotRestart { .. } => {
            failure.hint("to have it stopped: stap-bundle stop; to have it started again: stap-bundle unmask")
        }
        _ => failure,
    }
}
