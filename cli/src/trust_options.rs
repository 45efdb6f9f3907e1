//! Which keys a command believes: those it was given, a directory of them, or this host's pins.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bundle_format::{
    BaseBundle, BaseFile, Bases, BundleError, FileKind, Judge, NoBases, PublicKey, RawBundle, Root,
    RootChain, TrustedKeys, VerifiedBundle, file_kind, limits,
};
use clap::Args;

use crate::bundle_path::BundlePath;
use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::given_file::given;
use crate::global::Global;
use crate::ui::Ui;
use crate::words::count;

/// A key file is less than 200 bytes; a larger one is something else.
const MAX_KEY_FILE: u64 = 16 << 10;

/// Keys to verify with.
#[derive(Debug, Args)]
pub(crate) struct TrustOptions {
    /// Believe this public key; may be given several times. A bundle with roots is judged by its newest root, to which
    /// one of the keys must lead.
    #[arg(long, value_name = "NAME.pub")]
    pub(crate) key: Vec<PathBuf>,
    /// Believe every `*.pub` in DIR, or the chain of roots in its `*.stapr`, beside which keys don't count.
    #[arg(long, value_name = "DIR", conflicts_with = "key")]
    pub(crate) trust: Option<PathBuf>,
}

impl TrustOptions {
    /// Whether any key was named.
    pub(crate) const fn is_given(&self) -> bool {
        !self.key.is_empty() || self.trust.is_some()
    }

    /// Whom these bundles are to be signed by: the keys named, else this host's pins. A bundle that isn't there is said first.
    pub(crate) fn keys(
        &self,
        bundles: &[&BundlePath],
        global: &Global,
        ui: &mut Ui,
    ) -> Result<Believed, Failure> {
        bundles.iter().try_for_each(|bundle| bundle.look())?;
        match &self.trust {
            Some(directory) => keys_of_directory(directory).map(Believed::Keys),
            None if self.key.is_empty() => host_keys(global, ui),
            None => any_of(&self.key).map(Believed::Keys),
        }
    }
}

/// Whom a command believes.
pub(crate) enum Believed {
    /// The keys that were named, for any bundle.
    Keys(TrustedKeys),
    /// This host's pins and chains, each domain for its own bundles.
    #[cfg(feature = "host")]
    Host(installer::TrustStore),
}

impl Believed {
    /// Verifies who signed a bundle, and on a host in which domain.
    pub(crate) fn verify(
        &self,
        raw: RawBundle<File>,
    ) -> Result<(VerifiedBundle<File>, Option<String>), Failure> {
        match self {
            Self::Keys(keys) => {
                Ok((raw.verify(keys).map_err(|error| not_verified(error, &keys.keys()))?, None))
            }
            #[cfg(feature = "host")]
            Self::Host(store) => {
                let not_believed = |error| match error {
                    installer::JudgeError::Bundle(error) => not_believed_here(error, store),
                    installer::JudgeError::Trust(error) => crate::host::trust_failure(&error),
                };
                let (domain, judge) = store.judge(&raw).map_err(not_believed)?;
                let verified = raw.verify_by(judge).map_err(|error| not_believed(error.into()))?;
                Ok((verified, Some(domain.to_string())))
            }
        }
    }
}

/// What a directory of `--trust` holds: a chain of roots, else keys, each believed alone.
pub(crate) fn keys_of_directory(directory: &Path) -> Result<TrustedKeys, Failure> {
    match roots_of(directory)? {
        Some(file) => Ok(TrustedKeys::by_chain(read_roots(&file)?)),
        None => any_of(&files_of(directory, "pub")?),
    }
}

/// The public keys in a directory, `*.pub`.
#[cfg(feature = "farm")]
pub(crate) fn public_keys_in(directory: &Path) -> Result<Vec<PublicKey>, Failure> {
    files_of(directory, "pub")?.iter().map(|path| read_public_key(path)).collect()
}

fn any_of(files: &[PathBuf]) -> Result<TrustedKeys, Failure> {
    let keys = files.iter().map(|path| read_public_key(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(TrustedKeys::any_of(keys))
}

#[cfg(feature = "host")]
fn host_keys(global: &Global, ui: &mut Ui) -> Result<Believed, Failure> {
    let store = crate::host::open_trust(global, ui)?;
    if store.is_empty() { Err(no_key()) } else { Ok(Believed::Host(store)) }
}

#[cfg(not(feature = "host"))]
fn host_keys(_: &Global, _: &mut Ui) -> Result<Believed, Failure> {
    Err(no_key())
}

fn no_key() -> Failure {
    Failure::new(Exit::Trust, "no key to verify with: none was given and this host pins none")
        .hint("give the farm's public key: --key NAME.pub")
        .hint("or pin it on this host: stap-bundle trust add NAME.pub")
}

/// The one file of roots in `directory`, if there is one.
fn roots_of(directory: &Path) -> Result<Option<PathBuf>, Failure> {
    let files = files_in(directory, "stapr")?;
    if files.len() > 1 {
        let what = format!("{}: there are {} files *.stapr in it", directory.display(), files.len());
        return Err(Failure::new(Exit::Trust, what).hint("leave one; a chain has one file"));
    }
    Ok(files.into_iter().next())
}

/// Reads a file of roots for which its user vouches.
pub(crate) fn read_roots(path: &Path) -> Result<RootChain, Failure> {
    let about = |failure: Failure| failure.about(path.display());
    let bytes = read_roots_file(path)?;
    RootChain::read_trusted(&bytes).map_err(|error| about(root_failure(&error)))
}

/// The bytes of a file of roots.
pub(crate) fn read_roots_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    given(path)?
        .take(limits::MAX_ROOTS + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::of(Exit::Storage, &error).about(path.display()))?;
    if bytes.starts_with(b"-----BEGIN") {
        let what = format!("{} is a key, expected a file of roots", path.display());
        return Err(Failure::new(Exit::Usage, what)
            .hint("a file of roots is what `stap-bundle trust root create` writes"));
    }
    refuse_bundle(path, &bytes, "a file of roots (.stapr)")?;
    Ok(bytes)
}

fn files_of(directory: &Path, suffix: &str) -> Result<Vec<PathBuf>, Failure> {
    let files = files_in(directory, suffix)?;
    if files.is_empty() {
        let what = format!("{}: there is no *.{suffix} in it", directory.display());
        return Err(Failure::new(Exit::Trust, what));
    }
    Ok(files)
}

fn files_in(directory: &Path, suffix: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(directory).max_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(directory).display();
            match error.io_error() {
                Some(error) => Failure::of(Exit::Storage, error).about(path),
                None => Failure::of(Exit::Storage, &error),
            }
        })?;
        if entry.path().extension().is_some_and(|found| found == suffix) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Reads a public key file.
pub(crate) fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let name = path.display();
    let mut bytes = Vec::new();
    given(path)?
        .take(MAX_KEY_FILE)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::of(Exit::Storage, &error).about(&name))?;
    refuse_bundle(path, &bytes, "a public key (.pub)")?;
    // A key is ASCII; other bytes make it no key below, with words for that.
    let pem = String::from_utf8_lossy(&bytes);
    if pem.contains("PRIVATE KEY") {
        return Err(Failure::new(Exit::Usage, format!("{name} is a private key, expected a public one"))
            .hint("give the file with the suffix .pub, and keep this one on the farm"));
    }
    PublicKey::from_pem(&pem).map_err(|error| {
        Failure::of(Exit::Malformed, &error)
            .about(&name)
            .hint("a public key is what `stap-bundle key generate` writes as NAME.pub")
    })
}

/// Refuses a bundle in the place of something smaller, by its name.
fn refuse_bundle(path: &Path, beginning: &[u8], expected: &str) -> Result<(), Failure> {
    let what = match file_kind(beginning) {
        Some(FileKind::Bundle(_)) => "a bundle",
        Some(FileKind::Payload) => "an unsigned payload",
        Some(FileKind::Part) => "a part of a split bundle",
        None => return Ok(()),
    };
    Err(Failure::new(Exit::Usage, format!("{} is {what}, expected {expected}", path.display())))
}

/// Opens a bundle up to its manifest.
pub(crate) fn open_raw(path: &BundlePath) -> Result<RawBundle<File>, Failure> {
    RawBundle::read(path.open()?).map_err(|error| Failure::from(error).about(path.display()))
}

/// Opens a bundle and verifies who signed it.
#[cfg(feature = "farm")]
pub(crate) fn open_verified(path: &BundlePath, keys: &TrustedKeys) -> Result<VerifiedBundle<File>, Failure> {
    open_raw(path)?.verify(keys).map_err(|error| not_verified(error, &keys.keys()).about(path.display()))
}

/// The same by whom a command believes.
pub(crate) fn open_believed(path: &BundlePath, believed: &Believed) -> Result<VerifiedBundle<File>, Failure> {
    let verified = believed.verify(open_raw(path)?).map_err(|failure| failure.about(path.display()))?;
    Ok(verified.0)
}

/// What a believed delta refers to, from the file that `--base` names; nothing without one, and a full bundle needs none.
/// The delta names it by its id, which proves it, whoever signed it.
pub(crate) fn open_base(path: Option<&Path>, from: Option<&BaseBundle>) -> Result<Box<dyn Bases>, Failure> {
    let Some((path, from)) = path.zip(from) else { return Ok(Box::new(NoBases)) };
    let about = |error| {
        Failure::from(error).about(path.display()).hint(format!(
            "this is a delta of version {} (bundle id {}): give that bundle with --base FILE",
            from.version, from.id
        ))
    };
    let raw = open_raw(&path.to_owned().into())?;
    let base = raw.verify_named(from).and_then(BaseFile::open).map_err(about)?;
    base.check_is_full().map_err(about)?;
    Ok(Box::new(base))
}

/// The same from a bundle that is at hand anyway, if it is the one that a delta names.
pub(crate) fn base_if_named(
    path: &BundlePath,
    from: Option<&BaseBundle>,
    believed: &Believed,
) -> Result<Box<dyn Bases>, Failure> {
    if from.is_none() || path.is_input() {
        return Ok(Box::new(NoBases));
    }
    let base = BaseFile::open(open_believed(path, believed)?);
    let base = base.map_err(|error| Failure::from(error).about(path.display()))?;
    Ok(if from.is_some_and(|from| from.id == base.bundle().id) { Box::new(base) } else { Box::new(NoBases) })
}

/// Why a bundle isn't believed; where the keys are the reason, those that are believed here are named too.
pub(crate) fn not_verified(error: BundleError, keys: &[PublicKey]) -> Failure {
    let believed: Vec<String> = match &error {
        BundleError::NotTrusted { .. } => keys.iter().map(|key| key.id().short()).collect(),
        _ => Vec::new(),
    };
    let mut failure = Failure::from(error);
    if !believed.is_empty() {
        let (noun, verb) = if believed.len() == 1 { ("key", "is") } else { ("keys", "are") };
        failure.because.push(format!("only {noun} {} {verb} trusted here", believed.join(", ")));
    }
    failure
}

/// The same on a host; where that has several domains, a key is pinned in one of them.
#[cfg(feature = "host")]
pub(crate) fn not_believed_here(error: BundleError, store: &installer::TrustStore) -> Failure {
    const PIN: &str = "stap-bundle trust add NAME.pub";
    let mut failure = not_verified(error, &store.all_keys());
    if store.domains().len() > 1 && failure.hints.iter().any(|hint| hint.contains(PIN)) {
        for hint in &mut failure.hints {
            *hint = hint.replace(PIN, &format!("{PIN} --domain DOMAIN"));
        }
        return failure.hint("`stap-bundle trust list` shows which domain owns the bundle's name");
    }
    failure
}

/// By whose keys a bundle was judged, for the `judged by` line; nothing where single keys were given or pinned.
pub(crate) fn judged_by(judge: &Judge) -> Option<String> {
    let root = judge.root()?;
    let name = &root.document().name;
    let version = root.version();
    let threshold = judge.threshold();
    Some(format!("root {version} of {name}, which asks for {}", count(threshold, "signature")))
}

/// The same as JSON.
pub(crate) fn judged_by_document(judge: &Judge) -> serde_json::Value {
    let root = judge.root();
    serde_json::json!({
        "root": root.map(Root::version), "root_name": root.map(|root| root.document().name.to_string()),
        "threshold": judge.threshold(),
    })
}
