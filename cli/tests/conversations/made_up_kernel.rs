//! Start and stop beneath a directory, as on a host that runs a kernel of this release: the commands take no `--root`, so the
//! service does it itself, and the stand-in for `staprun` loads. The real commands are tested in the virtual machine.

use std::collections::BTreeSet;
use std::path::Path;

use files::FileSystem;
use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use installer::{CurrentGeneration, GenerationError, HostIdentity};
use script_config::{Configuration, GlobalParameters};
use service::{Host, Service, StartChoice, StartOptions, StartReport, StopReport};

/// Starts everything that is installed, as at boot if that is asked for.
pub(crate) fn start(directory: &Path, release: &str, boot: bool) -> Result<StartReport, GenerationError> {
    let current = CurrentGeneration::open(&root(directory))?;
    Ok(with_service(directory, release, current.as_ref(), |service, choice| {
        let guard = boot.then(|| service.boot_guard().unwrap());
        let options = StartOptions { guard: guard.as_ref(), ..StartOptions::default() };
        service.start(choice, &options, &|_| ()).unwrap()
    }))
}

/// The start in an initramfs with this root, of the scripts of its list.
pub(crate) fn start_before_root(directory: &Path, release: &str) -> StartReport {
    let current = CurrentGeneration::open(&root(directory)).unwrap();
    let list = installer::onboot_list(&root(directory)).unwrap();
    with_service(directory, release, current.as_ref(), |service, choice| {
        service.start_before_root(&list, choice.parameters, &|_| ()).unwrap()
    })
}

/// Stops everything that runs; what is installed need not be readable, as for `stop` itself.
pub(crate) fn stop(directory: &Path, release: &str) -> StopReport {
    let current = CurrentGeneration::open(&root(directory)).ok().flatten();
    with_service(directory, release, current.as_ref(), |service, choice| {
        service.stop(choice, &|_| ()).unwrap()
    })
}

/// What the stand-in has loaded; `ext4` is a module of its own.
pub(crate) fn loaded(directory: &Path) -> Vec<String> {
    let mut modules = FakeHost::at(directory).modules().unwrap();
    modules.retain(|name| name != "ext4");
    modules.sort();
    modules
}

fn root(directory: &Path) -> FileSystem {
    FileSystem::open(directory).unwrap()
}

fn with_service<R>(
    directory: &Path,
    release: &str,
    current: Option<&CurrentGeneration>,
    act: impl FnOnce(&Service<'_>, &StartChoice<'_>) -> R,
) -> R {
    let parameters = GlobalParameters { pass_all: false, ..GlobalParameters::default() };
    let mut host = Host::configured(root(directory), &parameters);
    host.staprun = Some(fixtures::stand_in("fake-staprun"));
    host.staprun_environment = vec![(ROOT_VARIABLE.into(), directory.canonicalize().unwrap().into())];
    let identity = HostIdentity {
        release: Some(release.parse().unwrap()),
        machine: std::env::consts::ARCH.parse().unwrap(),
        version: None,
        uname_a: None,
        node: String::new(),
    };
    let named = BTreeSet::new();
    let choice = StartChoice { named: &named, with_requirements: false, parameters: &parameters };
    act(&Service::new(&host, &identity, current, &Configuration::default()), &choice)
}
