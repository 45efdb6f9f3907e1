//! `inbox/`: where `install` looks without a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use bundle_format::RawBundle;
use files::{FileSystem, optional};

use crate::host::paths::INBOX;
use crate::host::{HostIdentity, HostKernels};
use crate::install::choice::choose;
use crate::install::error::InstallError;
use crate::install::options::InstallOptions;
use crate::trust::{Policy, TrustStore};
use files::with_causes;

/// How the files in the inbox end that are looked at.
const SUFFIX: &str = ".stapb";

/// What the inbox has for this host.
#[derive(Debug)]
pub struct InboxChoice {
    /// The newest bundle that fits: its path on the host, and the open file.
    pub chosen: Option<(PathBuf, File)>,
    /// What was passed over, by name.
    pub passed_over: Vec<PassedOver>,
}

/// A file in the inbox that isn't installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub path: PathBuf,
    pub reason: String,
}

/// Looks for the bundle in the inbox with the highest (epoch, serial), which is what orders bundles, among those that are believed and have a kernel for
/// this host. The install itself reads and judges it anew, so a file that is changed meanwhile gains nothing.
pub fn newest_in_inbox(
    host: &FileSystem,
    identity: &HostIdentity,
    options: &InstallOptions,
) -> Result<InboxChoice, InstallError> {
    let mut passed_over = Vec::new();
    let mut fitting: Vec<((u64, u64, u64), PathBuf, File)> = Vec::new();
    let directory = optional(host.open_dir(INBOX))?;
    let trust = TrustStore::open(host)?;
    let policy = Policy::read(host)?;
    let here = HostKernels::read(host, identity)?;
    let names = directory.as_ref().map(files::Directory::entries).transpose()?.unwrap_or_default();
    for name in names.iter().filter(|name| name.ends_with(SUFFIX) && !name.starts_with('.')) {
        let Some(directory) = &directory else { continue };
        let look = || -> Result<_, InstallError> {
            let bundle = RawBundle::read(directory.open_file(name)?)?;
            let (_, judge) = trust.judge(&bundle)?;
            let bundle = bundle.verify_by(judge)?;
            let manifest = bundle.manifest();
            policy.check(manifest, bundle.signers())?;
            choose(manifest, &here, &options.kernels)?;
            Ok((manifest.epoch, manifest.serial, manifest.created))
        };
        let path = Path::new(INBOX).join(name);
        match look() {
            Ok(age) => match directory.open_file(name) {
                Ok(file) => fitting.push((age, path, file)),
                // Swapped or removed since it was judged.
                Err(error) => passed_over.push(PassedOver { path, reason: with_causes(&error) }),
            },
            Err(error) => passed_over.push(PassedOver { path, reason: with_causes(&error) }),
        }
    }
    fitting.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let chosen = fitting.pop().map(|(_, path, file)| (path, file));
    let older = fitting
        .into_iter()
        .map(|(_, path, _)| PassedOver { path, reason: "another file there is newer".to_owned() });
    passed_over.extend(older);
    passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(InboxChoice { chosen, passed_over })
}
