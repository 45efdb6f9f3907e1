//! What every command of the production host needs: its root, its identity, its configuration, its current
//! generation, and the words for what can go wrong with them.

mod identity;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bundle_format::RootError;
use files::{FileError, FileSystem};
use installer::{
    CompatError, CurrentGeneration, Domain, FloorsError, GenerationError, LockError, PolicyError,
    ReconcileReport, TrustError, TrustStore,
};
use script_config::{Configuration, GlobalParameters, has_errors};

use crate::config_files;
use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::global::Global;
use crate::kernel_clock;
use crate::ui::Ui;

pub(crate) use identity::identity;

/// The link by which one generation is current, in the directory above it.
const CURRENT_LINK: &str = "stap-bundle/current";

/// What to do where that link is lost.
const NO_CURRENT: &str =
    "stap-bundle list shows the generations; to make generation N current: stap-bundle rollback N";

/// What every command takes that changes something on a host.
#[derive(Debug, clap::Args)]
pub(crate) struct LockOptions {
    /// Wait so many seconds while another stap-bundle is writing.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

impl LockOptions {
    /// How long to wait for another writer.
    pub(crate) const fn wait(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

/// Opens the root that `--root` names, or the real one.
pub(crate) fn open_root(global: &Global) -> Result<FileSystem, Failure> {
    FileSystem::open(global.root.as_deref().unwrap_or(Path::new("/"))).map_err(|error| match &global.root {
        Some(root) => Failure::of(Exit::Storage, &error.into_source())
            .about(format!("--root {}", root.display()))
            .hint("name the directory in which a host's files are, such as a mounted image"),
        None => storage_failure(&error),
    })
}

/// Reads this host's pins; a file there that is no pin is passed over, with a warning.
pub(crate) fn open_trust(global: &Global, ui: &mut Ui) -> Result<TrustStore, Failure> {
    let store = TrustStore::open(&open_root(global)?).map_err(|error| trust_failure(&error))?;
    for problem in store.problems() {
        ui.warning(format!("{}; it is passed over", trust_failure(problem).one_line()));
    }
    for alarm in alarms(&store) {
        ui.warning(alarm);
    }
    Ok(store)
}

/// ` in domain team-a`; nothing for `default`, which a host with one domain needn't know of.
pub(crate) fn in_domain(domain: &Domain) -> String {
    if domain.is_default() { String::new() } else { format!(" in domain {domain}") }
}

/// What is wrong with the accepted chain of roots, in words.
pub(crate) fn alarms(store: &TrustStore) -> Vec<String> {
    let spoilt = |(file, what): (String, String)| {
        format!(
            "{file}, a copy of the accepted chain of roots, can't be used: {what}; the next install, or `stap-bundle fsck --repair`, makes it again"
        )
    };
    let lost = store.domains().iter().filter_map(|trust| {
        let failure = trust_failure(&trust.check().err()?);
        Some(format!("nothing is believed{}: {}", in_domain(trust.domain()), failure.one_line()))
    });
    store.alarms().into_iter().map(spoilt).chain(lost).collect()
}

/// The clock, for best-before and the history; under `--root` this machine's clock says nothing.
pub(crate) fn now(global: &Global) -> Option<u64> {
    if global.root.is_some() {
        return None;
    }
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whether something keeps the clock right that [`now`] reads.
pub(crate) fn clock_is_synchronised(global: &Global) -> bool {
    global.root.is_none() && kernel_clock::is_synchronised()
}

/// The id of this boot; `None` under `--root` and where the kernel doesn't tell.
pub(crate) fn boot_id(global: &Global) -> Option<String> {
    let read = || open_root(global).ok()?.read_file("/proc/sys/kernel/random/boot_id", 64).ok();
    let id = global.root.is_none().then(read).flatten()?;
    Some(String::from_utf8_lossy(&id).trim().to_owned())
}

/// What the initscript's configuration says on this host.
#[derive(Debug)]
pub(crate) struct HostConfiguration {
    /// Its parameters, by all files.
    pub(crate) parameters: GlobalParameters,
    /// Settings of scripts, by all files but the one that an install has put there.
    pub(crate) own: Configuration,
    /// Whether all of it could be read.
    pub(crate) is_good: bool,
}

/// The initscript's configuration on this host.
pub(crate) fn configuration(
    global: &Global,
    config: Option<&Path>,
    ui: &mut Ui,
) -> Result<HostConfiguration, Failure> {
    if global.root.is_some() {
        return Ok(HostConfiguration {
            parameters: GlobalParameters::default(),
            own: Configuration::default(),
            is_good: true,
        });
    }
    let loaded = config_files::load(config)?;
    for words in loaded.words_for_a_host() {
        ui.warning(words);
    }
    for failure in &loaded.unreadable {
        ui.warning(format!("{}; it is passed over", failure.what));
    }
    let is_good = loaded.unreadable.is_empty() && !has_errors(&loaded.problems);
    let own = loaded.of_this_host();
    Ok(HostConfiguration { parameters: loaded.configuration.parameters().clone(), own, is_good })
}

/// Opens the current generation; `None` where nothing is installed.
pub(crate) fn current(root: &FileSystem) -> Result<Option<CurrentGeneration>, Failure> {
    CurrentGeneration::open(root).map_err(|error| generation_failure(&error))
}

/// Commands that load or remove modules act on this very machine.
pub(crate) fn refuse_root(global: &Global, command: &str) -> Result<(), Failure> {
    if global.root.is_none() {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("`{command}` takes no --root: no kernel runs in a directory"))
        .hint("run it on the host itself"))
}

/// Tells what became of the initscript's links and options; returns the exit code that says so.
pub(crate) fn tell_compat(ui: &mut Ui, compat: &Result<ReconcileReport, CompatError>) -> Exit {
    match compat {
        Ok(report) => {
            for (from, to) in &report.moved {
                ui.progress(format!("{} was foreign and is now {}", from.display(), to.display()));
            }
            for foreign in &report.foreign {
                ui.warning(format!(
                    "{} is a foreign {}: it is left alone and never used by `start`; move it away, or install with \
                     --move-foreign, to have the bundle's there",
                    foreign.path.display(),
                    foreign.what
                ));
            }
            for lacking in &report.lacking {
                ui.warning(lacking.to_string());
            }
            for warning in &report.warnings {
                ui.warning(warning);
            }
            if report.foreign.is_empty() { Exit::Done } else { Exit::Conflict }
        }
        Err(error) => {
            let failure = Failure::of(Exit::Storage, error);
            ui.warning(format!("the initscript's cache is not up to date: {}", failure.one_line()));
            failure.exit
        }
    }
}

/// The same as a JSON value.
pub(crate) fn compat_json(compat: &Result<ReconcileReport, CompatError>) -> serde_json::Value {
    match compat {
        Ok(report) => {
            let foreign: Vec<_> = report
                .foreign
                .iter()
                .map(|foreign| serde_json::json!({ "path": foreign.path, "what": foreign.what }))
                .collect();
            let lacking: Vec<String> = report.lacking.iter().map(ToString::to_string).collect();
            serde_json::json!({
                "lacking": lacking, "written": report.written, "removed": report.removed, "moved": report.moved, "foreign": foreign, "warnings": report.warnings,
            })
        }
        Err(error) => serde_json::json!({ "error": Failure::of(Exit::Storage, error).one_line() }),
    }
}

/// A change that is done without a line of its own in the history is no failure.
pub(crate) fn tell_history(ui: &mut Ui, unwritten: Option<&FileError>) {
    if let Some(error) = unwritten {
        ui.warning(format!("the history was not written: {}", storage_failure(error).one_line()));
    }
}

pub(crate) fn storage_failure(error: &FileError) -> Failure {
    if error.path().ends_with(CURRENT_LINK) && !error.is_device() {
        return Failure::of(Exit::Malformed, error).hint(NO_CURRENT);
    }
    Failure::of(Exit::Storage, error)
}

pub(crate) fn lock_failure(error: &LockError) -> Failure {
    match error {
        LockError::Locked(_) => Failure::of(Exit::Locked, error)
            .hint("wait until it has ended, and try again; most commands take --wait SECONDS"),
        LockError::Storage(error) => storage_failure(error),
    }
}

pub(crate) fn policy_failure(error: &PolicyError) -> Failure {
    match error {
        PolicyError::Storage(error) => storage_failure(error),
        PolicyError::Malformed { .. } => Failure::of(Exit::Malformed, error)
            .hint("half a policy would be none, so nothing is installed before it is mended"),
        PolicyError::Unprotected(_) => Failure::of(Exit::Trust, error)
            .hint("others could allow anything there: give it to root, and let nobody else write"),
    }
}

pub(crate) fn floors_failure(error: &FloorsError) -> Failure {
    match error {
        FloorsError::Storage(error) => storage_failure(error),
        FloorsError::Unprotected(_) => Failure::of(Exit::Trust, error)
            .hint("others could bring back old bundles there: give it to root, and let nobody else write"),
    }
}

pub(crate) fn trust_failure(error: &TrustError) -> Failure {
    match error {
        TrustError::Lock(error) => lock_failure(error),
        TrustError::Storage(error) => storage_failure(error),
        TrustError::Ambiguous { .. } => Failure::of(Exit::Failed, error)
            .hint("give more of the id or, where domains share the key, --domain NAME; `stap-bundle trust list` shows both"),
        TrustError::Unknown { .. } => {
            Failure::of(Exit::Failed, error).hint("`stap-bundle trust list` shows the pinned keys")
        }
        TrustError::Unprotected(_) | TrustError::UnprotectedPin { .. } => Failure::of(Exit::Trust, error).hint(
            "others could pin a key there: give it to root, and let nobody else write",
        ),
        TrustError::UnprotectedChain(_) => Failure::of(Exit::Trust, error).hint(
            "others could change there whom this host believes: give it to root, and let nobody else write",
        ),
        TrustError::NewerChain { .. } | TrustError::PinnedChain { source: RootError::Critical { .. }, .. } => {
            Failure::of(Exit::NotBuilt, error)
        }
        TrustError::Chain { unreadable: true, .. } => Failure::of(Exit::Storage, error),
        TrustError::Chain { .. } | TrustError::PinnedChain { .. } => Failure::of(Exit::Trust, error)
            .hint("as long as it is damaged nothing is believed; remove the file and bring the farm's newest roots: stap-bundle trust update FILE"),
        TrustError::ChainLost { .. } => Failure::of(Exit::Trust, error)
            .hint("stap-bundle trust update FILE.stapr; where no key is pinned, stap-bundle trust add FILE.stapr"),
        TrustError::Roots(source) => root_failure(source),
        TrustError::ChainRules { domain, .. } => Failure::of(Exit::Trust, error)
            .hint("let the farm add the key with a new root, and bring that: stap-bundle trust update FILE")
            .hint(format!("to believe another farm there instead: stap-bundle trust remove --domain {domain}, and pin its key")),
        TrustError::NotOwned { .. } => Failure::of(Exit::Trust, error)
            .hint("stap-bundle trust list shows which domain owns what"),
        TrustError::Owned { .. } => Failure::of(Exit::Trust, error)
            .hint("until it is mended it isn't known who may sign what, so nothing is believed"),
        TrustError::Overlap { .. } | TrustError::ManyDomains { .. } => Failure::of(Exit::Conflict, error)
            .hint("choose patterns that leave each name to one domain; `stap-bundle trust list` shows them"),
        TrustError::OwnsNothing { domain } => Failure::of(Exit::Usage, error)
            .hint(format!("such as --bundles '{domain}-*'")),
        TrustError::DefaultOwnsTheRest => Failure::of(Exit::Usage, error)
            .hint("name a domain of its own: --domain NAME"),
        TrustError::NoDomain { .. } => Failure::of(Exit::Failed, error)
            .hint("`stap-bundle trust list` shows the domains"),
        TrustError::SeveralDomains { .. } => Failure::of(Exit::Usage, error)
            .hint("say which one is meant: --domain NAME"),
        TrustError::Overtaken { .. } => Failure::of(Exit::Locked, error),
        _ => Failure::of(Exit::Trust, error),
    }
}

pub(crate) fn generation_failure(error: &GenerationError) -> Failure {
    match error {
        GenerationError::Trust(error) => trust_failure(error),
        GenerationError::Storage(error) if error.is_device() => storage_failure(error),
        GenerationError::Storage(error) => match storage_failure(error) {
            Failure { exit: Exit::Storage, .. } => Failure::of(Exit::Malformed, error),
            other => other,
        },
        GenerationError::Unprotected(_) => Failure::of(Exit::Trust, error).hint(
            "others could bring back an older generation there: give it to root, and let nobody else write",
        ),
        GenerationError::Missing { .. } => Failure::of(Exit::Malformed, error).hint(NO_CURRENT),
        GenerationError::Held(_) => Failure::of(Exit::Locked, error)
            .hint("a collection (`stap-bundle gc`) has it for a moment; if that process hangs, end it and try again"),
        _ => Failure::of(Exit::Failed, error),
    }
}
