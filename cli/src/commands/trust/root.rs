//! `trust root`: the farm's chains of roots. Each change makes or alters the next root in the file; it counts when
//! enough keys have signed it.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bundle_format::{
    BundleName, Digest, KeyStatus, Lacking, PublicKey, RevokedSerials, RootDocument, RootKey, RootName,
    RootsFile,
};
use clap::Subcommand;
use serde_json::json;

use crate::bundle_path::a_file;
use crate::commands::farm::attached_signature::read_signature;
use crate::commands::farm::key::{sign_failure, signing_keys};
use crate::commands::trust::display;
use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::output::{Change, Kind, Outputs, Replace, ReplaceOption};
use crate::trust_options::{read_public_key, read_roots_file};
use crate::ui::{Mark, Ui};
use crate::words::count;

/// Make and sign the farm's chain of roots: which keys count, how many must sign, what is revoked
///
/// A file of roots (`.stapr`) holds the whole chain. A change makes the next root, or alters it while it isn't signed
/// by enough keys: as many as the root before it asks for, and as many as it asks for itself. `build --roots FILE` sends
/// the chain along with each bundle; `trust update FILE` on a host takes it alone.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Begin a chain: root 1 with these keys
    Create {
        /// A public key that may sign; may be given several times.
        #[arg(long, value_name = "NAME.pub", required = true)]
        key: Vec<PathBuf>,
        /// How many of the keys must sign a bundle or a root.
        #[arg(long, value_name = "K", default_value_t = 1)]
        threshold: u64,
        /// The chain's name.
        #[arg(long, default_value = "default")]
        name: RootName,
        /// The file to write.
        #[arg(short, long, value_name = "FILE.stapr", value_parser = a_file)]
        output: PathBuf,
    },
    /// Let further keys sign from the next root on
    AddKey {
        /// The file of roots.
        file: PathBuf,
        /// A public key; may be given several times.
        #[arg(long, value_name = "NAME.pub", required = true)]
        key: Vec<PathBuf>,
    },
    /// Let a key sign nothing new; what it signed before stays good
    RetireKey {
        /// The file of roots.
        file: PathBuf,
        /// The key id, or its beginning.
        #[arg(value_name = "KEY-ID")]
        id: String,
    },
    /// Change how many keys must sign
    SetThreshold {
        /// The file of roots.
        file: PathBuf,
        /// How many.
        #[arg(value_name = "K")]
        threshold: u64,
    },
    /// Revoke a key, or bundles, for ever: hosts refuse what is installed too
    Revoke(Revoke),
    /// Raise the epoch by one: bundles of a lower epoch are older than any of the new one
    RaiseEpoch {
        /// The file of roots.
        file: PathBuf,
    },
    /// Sign the next root, here or with a key that lives elsewhere
    ///
    /// For a key that lives elsewhere: --payload-out writes the bytes to sign, `openssl pkeyutl -sign -rawin` or any other
    /// tool signs them with Ed25519, and --attach adds the 64 bytes of the signature.
    Sign(Sign),
    /// Show the newest root, and which signatures it lacks
    Show {
        /// The file of roots.
        file: PathBuf,
    },
}

/// What to revoke.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("revoked").args(["key_id", "bundle", "content"]).required(true).multiple(true)))]
#[group(skip)]
pub(crate) struct Revoke {
    /// The file of roots.
    file: PathBuf,
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

/// How to sign.
#[derive(Debug, clap::Args)]
pub(crate) struct Sign {
    /// The file of roots.
    file: PathBuf,
    /// The private key to sign with; may be given several times [default: ~/.config/stap-bundle/default.key].
    #[arg(long, value_name = "NAME.key", env = "STAP_BUNDLE_KEY")]
    key: Vec<PathBuf>,
    /// Write the bytes to sign to FILE, and sign nothing here.
    #[arg(long, value_name = "FILE", value_parser = a_file, conflicts_with = "attach")]
    payload_out: Option<PathBuf>,
    /// Add the signature in the file SIG (64 bytes), made with the private half of NAME.pub; may be given several times.
    #[arg(long, value_name = "NAME.pub:SIG")]
    attach: Vec<String>,
    #[command(flatten)]
    replace: ReplaceOption,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Create { key, threshold, name, output } => create(&key, threshold, name, &output, ui),
            Self::AddKey { file, key } => {
                let keys = read_keys(&key)?;
                change(&file, ui, |root| keys.iter().try_for_each(|key| add_key(root, key)))
            }
            Self::RetireKey { file, id } => {
                change(&file, ui, |root| set_status(root, &id, KeyStatus::Retired))
            }
            Self::SetThreshold { file, threshold } => change(&file, ui, |root| {
                root.threshold = threshold;
                Ok(())
            }),
            Self::Revoke(revoke) => change(&revoke.file, ui, |root| revoke.apply(root)),
            Self::RaiseEpoch { file } => change(&file, ui, |root| {
                root.epoch = root.epoch.saturating_add(1);
                Ok(())
            }),
            Self::Sign(sign) => sign.run(ui),
            Self::Show { file } => {
                let roots = read(&file)?;
                tell(&roots, &file, ui);
                Ok(Exit::Done)
            }
        }
    }
}

fn serials(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err("expected N or FIRST..LAST, the first not above the last".to_owned()),
    }
}

fn read(path: &Path) -> Result<RootsFile, Failure> {
    let bytes = read_roots_file(path)?;
    RootsFile::read(&bytes).map_err(|error| root_failure(&error).about(path.display()))
}

fn to_bytes(path: &Path, roots: &RootsFile) -> Result<Vec<u8>, Failure> {
    roots.to_bytes().map_err(|error| root_failure(&error).about(path.display()))
}

/// Writes the changed file, whole or not at all.
fn write(change: Change, path: &Path, roots: &RootsFile) -> Result<(), Failure> {
    let bytes = to_bytes(path, roots)?;
    change.write(|target| target.write_all(&bytes).map_err(|error| Failure::of(Exit::Storage, &error)))
}

fn read_keys(paths: &[PathBuf]) -> Result<Vec<PublicKey>, Failure> {
    paths.iter().map(|path| read_public_key(path)).collect()
}

/// When a root is made: `SOURCE_DATE_EPOCH`, else the clock; a root is a decision and has no input with a time.
fn now() -> Result<u64, Failure> {
    if let Some(time) = crate::commands::farm::source_date::source_date_epoch()? {
        return Ok(time);
    }
    Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn create(
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
fn refused(error: &bundle_format::RootError) -> Failure {
    let failure = Failure { exit: Exit::Usage, ..root_failure(error) };
    if matches!(error, bundle_format::RootError::Document { problem, .. } if problem.contains("threshold")) {
        return failure.hint("add a key first, or set another threshold with `trust root set-threshold`");
    }
    failure
}

fn change(
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

fn add_key(root: &mut RootDocument, key: &PublicKey) -> Result<(), Failure> {
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

fn set_status(root: &mut RootDocument, prefix: &str, status: KeyStatus) -> Result<(), Failure> {
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
    fn apply(&self, root: &mut RootDocument) -> Result<(), Failure> {
        for id in &self.key_id {
            set_status(root, id, KeyStatus::Revoked)?;
        }
        if let (Some(name), Some((first, last))) = (&self.bundle, self.serials) {
            let (name, epoch) = (name.clone(), self.epoch);
            add_range(&mut root.revoked_serials, RevokedSerials { name, epoch, first, last });
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
            (new.first, new.last) = (new.first.min(old.first), new.last.max(old.last));
        }
        !same || apart
    });
    ranges.push(new);
    ranges.sort();
}

impl Sign {
    fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let path = self.file.as_path();
        let file = Outputs::change(path)?;
        let mut roots = read(path)?;
        let about = |error| root_failure(&error).about(path.display());
        let Some(pending) = roots.pending() else {
            let what = format!("{}: its newest root has all its signatures", path.display());
            return Err(Failure::new(Exit::Usage, what));
        };
        if let Some(out) = &self.payload_out {
            let message = pending.message();
            let mut outputs = Outputs::new(self.replace.replace);
            outputs.input("the file of roots", path);
            outputs.inputs("the key", &self.key);
            outputs.place("--payload-out", out, Kind::Message)?.write_bytes(&message)?.tell(ui, out);
            if ui.json {
                ui.document(
                    &json!({ "payload": out, "bytes": message.len(), "sha256": Digest::of(&message) }),
                );
                return Ok(Exit::Done);
            }
            let version = pending.document().version;
            ui.line(format!("{}: {} bytes to sign for root {version}", out.display(), message.len()));
            ui.progress("Elsewhere: openssl pkeyutl -sign -rawin -inkey NAME.key -in PAYLOAD -out SIGNATURE");
            ui.progress(format!("Then: trust root sign {} --attach NAME.pub:SIGNATURE", path.display()));
            return Ok(Exit::Done);
        }
        for pair in &self.attach {
            let (key, signature) = read_signature(pair)?;
            roots.attach(&key, signature).map_err(about)?;
        }
        // A key in the environment is meant for who signs here.
        if self.attach.is_empty() {
            for key in signing_keys(&self.key)? {
                if roots.pending().is_none() {
                    break;
                }
                signing::sign_root(&key, &mut roots).map_err(|error| sign_failure(error, about))?;
            }
        }
        write(file, path, &roots)?;
        tell(&roots, path, ui);
        Ok(Exit::Done)
    }
}

/// What the newest root says and lacks.
fn tell(roots: &RootsFile, path: &Path, ui: &mut Ui) {
    let (document, signers) = match (roots.pending(), roots.chain()) {
        (Some(pending), _) => (pending.document(), pending.signers()),
        (None, Some(chain)) => (chain.newest().document(), chain.newest().signers()),
        (None, None) => return,
    };
    let lacking = roots.lacking();
    if ui.json {
        let lacks: Vec<_> = lacking
            .iter()
            .map(|lack| {
                let candidates: Vec<_> = lack.candidates.iter().map(ToString::to_string).collect();
                json!({ "keys_of": keys_of(lack, document), "valid": lack.valid, "threshold": lack.threshold, "candidates": candidates })
            })
            .collect();
        let root = display::json(document, &signers);
        ui.document(&json!({ "file": path, "complete": lacking.is_empty(), "lacks": lacks, "root": root }));
        return;
    }
    let mark = if lacking.is_empty() {
        ui.mark(Mark::Good, "complete")
    } else {
        ui.mark(Mark::Attention, "lacks signatures")
    };
    let (name, version) = (&document.name, document.version);
    ui.line(format!("{}: root {version} of chain {name}, {mark}", path.display()));
    display::show(ui, document, &signers);
    for lack in &lacking {
        let candidates: Vec<String> = lack.candidates.iter().map(bundle_format::KeyId::short).collect();
        let missing = lack.threshold - lack.valid;
        ui.line(format!(
            "lacks {missing} of {} by the keys of {}: {}",
            count(lack.threshold, "signature"),
            keys_of(lack, document),
            candidates.join(", ")
        ));
    }
}

/// Whose keys: those of the root before, or the root's own.
fn keys_of(lack: &Lacking, document: &RootDocument) -> String {
    let version = match lack.whose {
        bundle_format::Signatures::Predecessor => document.version - 1,
        bundle_format::Signatures::Own => document.version,
    };
    format!("root {version}")
}
