//! Changes of the next root: its keys, its threshold, its epoch, what it revokes.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bundle_format::{
    BundleName, Digest, KeyStatus, PublicKey, RevokedSerials, RootDocument, RootError, RootKey, RootName,
    RootsFile,
};

use crate::commands::farm::source_date::source_date_epoch;
use crate::commands::trust::root::file::{read, to_bytes, write};
use crate::commands::trust::root::show::tell;
use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::output::{Kind, Outputs, Replace};
use crate::trust_options::read_public_key;
use crate::ui::Ui;
use crate::words::count;

/// What to revoke.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("revoked").args(["key_id", "bundle", "content"]).required(true).multiple(true)))]
#[group(skip)]
pub(crate) struct Revoke {
    /// The file of roots.
    pub(super) file: PathBuf,
    /// A key, by its id or the beginning of it; may be given several times.
    #[arg(long, value_name = "KEY-ID")]
    key_id: Vec<String>,
    /// Bundles of this name, with --serials.
    #[arg(long, value_name = "NAME", requires = "serials")]
    bundle: Option<BundleName>,
    /// One serial, or a range: the first and the last.
    #[arg(long, value_name = "N|FIRST..LAST", requires = "bundle", value_parser = serials)]
    serials: Option<(u64, u64)>,
    /// The epoch of those serials.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "bundle")]
    epoch: u64,
    /// Bundles with this content digest, which `inspect` shows; may be given several times.
    #[arg(long, value_name = "SHA256")]
    content: Vec<Digest>,
}

fn serials(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err("expected N or FIRST..LAST, the first not above the last".to_owned()),
    }
}

pub(super) fn read_keys(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Failure> {
    paths.iter().map(|path| read_public_key(path)).collect()
}

/// When a root is made: `SOURCE_DATE_EPOCH`, else the clock; a root is a decision and has no input with a time.
fn now() -> Result<u64, Failure> {
    if let Some(time) = source_date_epoch()? {
        return Ok(time);
    }
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

pub(super) fn create(
    keys: &[PathBuf],
    threshold: u64,
    name: RootName,
    output: &Path,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    // A chain is never replaced: hosts follow it, and nothing brings it back.
    let mut outputs = Outputs::new(Replace::Never);
    outputs.inputs("the key", keys);
    let place = outputs.place("-o", output, Kind::Roots)?;
    let mut document = RootDocument::first(name, Vec::new(), threshold, now()?);
    for key in read_keys(keys)? {
        add_key(&mut document, &key)?;
    }
    document.keys.sort_by(|a, b| a.public.as_bytes().cmp(b.public.as_bytes()));
    let roots = RootsFile::create(document).map_err(|error| refused(&error))?;
    place.write_bytes(&to_bytes(output, &roots)?)?.tell(ui, output);
    tell(&roots, output, ui);
    Ok(Exit::Done)
}

/// A change that the rules for roots forbid is a wrong command, not a bad file.
fn refused(error: &RootError) -> Failure {
    let failure = Failure { exit: Exit::Usage, ..root_failure(error) };
    if matches!(error, RootError::Document { problem, .. } if problem.contains("threshold")) {
        return failure.hint("add a key first, or set another threshold with `trust root set-threshold`");
    }
    failure
}

pub(super) fn change(
    path: &Path,
    ui: &mut Ui,
    apply: impl FnOnce(&mut RootDocument) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let file = Outputs::change(path)?;
    let mut roots = read(path)?;
    let about = |error| root_failure(&error).about(path.display());
    let mut document = roots.next().map_err(about)?;
    let before = document.clone();
    apply(&mut document)?;
    if document == before {
        let what = format!("{}: root {} says so already", path.display(), document.version);
        return Err(Failure::new(Exit::Usage, what).hint("`trust root show FILE` shows it"));
    }
    document.created = document.created.max(now()?);
    let lost = roots.change(document).map_err(|error| refused(&error).about(path.display()))?;
    write(file, path, &roots)?;
    if lost > 0 {
        let what = count(lost, "signature");
        ui.warning(format!("the root was changed, so {what} on it were taken away"));
    }
    tell(&roots, path, ui);
    Ok(Exit::Done)
}

pub(super) fn add_key(root: &mut RootDocument, key: &PublicKey) -> Result<(), Failure> {
    let id = key.id();
    match root.keys.iter_mut().find(|listed| listed.public == *key) {
        None => root.keys.push(RootKey { public: key.clone(), status: KeyStatus::Active }),
        Some(listed) if listed.status == KeyStatus::Retired => listed.status = KeyStatus::Active,
        Some(listed) => {
            return Err(Failure::new(Exit::Usage, format!("key {id} is {} already", listed.status)));
        }
    }
    Ok(())
}

pub(super) fn set_status(root: &mut RootDocument, prefix: &str, status: KeyStatus) -> Result<(), Failure> {
    let mut found = Vec::new();
    for key in &mut root.keys {
        if !prefix.is_empty() && key.public.id().to_string().starts_with(prefix) {
            found.push(key);
        }
    }
    let number = found.len();
    match found.into_iter().next().filter(|_| number == 1) {
        Some(key) if key.status == KeyStatus::Revoked => {
            let what = format!("key {} is revoked, and stays so", key.public.id());
            Err(Failure::new(Exit::Usage, what))
        }
        Some(key) => {
            key.status = status;
            Ok(())
        }
        None => Err(Failure::new(Exit::Usage, format!("{number} keys of the chain begin with `{prefix}`"))
            .hint("`trust root show FILE` lists them")),
    }
}

impl Revoke {
    pub(super) fn apply(&self, root: &mut RootDocument) -> Result<(), Failure> {
        for id in &self.key_id {
            set_status(root, id, KeyStatus::Revoked)?;
        }
        if let (Some(name), Some((first, last))) = (&self.bundle, self.serials) {
            let name = name.clone();
            add_range(&mut root.revoked_serials, RevokedSerials { name, epoch: self.epoch, first, last });
        }
        root.revoked_contents.extend(&self.content);
        root.revoked_contents.sort();
        root.revoked_contents.dedup();
        Ok(())
    }
}

/// Adds a range; those that overlap or touch it become one with it.
fn add_range(ranges: &mut Vec<RevokedSerials>, mut new: RevokedSerials) {
    ranges.retain(|old| {
        let same = old.name == new.name && old.epoch == new.epoch;
        let apart = old.last.saturating_add(1) < new.first || new.last.saturating_add(1) < old.first;
        if same && !apart {
            new.first = new.first.min(old.first);
            new.last = new.last.max(old.last);
        }
        !same || apart
    });
    ranges.push(new);
    ranges.sort();
}
