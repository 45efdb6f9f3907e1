//! `key`: the farm's signing keys.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use files::read::read_text_given;
use serde_json::json;
use signing::{KeyFileError, KeyPairFiles, PrivateKeyFile, SignError};

use crate::bundle_path::a_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Make the farm's signing keys
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Make a new key pair: NAME.key (secret, mode 0600) and NAME.pub
    ///
    /// Without --out the pair is ~/.config/stap-bundle/default.key and .pub, which `build` uses unless told
    /// otherwise. An existing key is never overwritten.
    Generate {
        /// Path of the pair, without suffix.
        #[arg(long, value_name = "DIR/NAME", value_parser = a_file)]
        out: Option<PathBuf>,
    },
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self::Generate { out } = self;
        let name = out.map_or_else(default_name, pair_name)?;
        let files = KeyPairFiles::named(&name);
        let key = PrivateKeyFile::create(&files).map_err(|error| key_failure(&error))?;
        if ui.json {
            ui.document(&json!({
                "private": files.private, "public": files.public, "key_id": key.public().id().to_string()
            }));
            return Ok(Exit::Done);
        }
        ui.line(format!("private key: {}  (mode 0600; keep it on the farm)", files.private.display()));
        ui.line(format!("public key:  {}", files.public.display()));
        ui.line(format!("key id:      {}", key.public().id()));
        ui.progress(format!("On each host: stap-bundle trust add {}", files.public.display()));
        Ok(Exit::Done)
    }
}

/// The pair's name as given; a suffix that belongs to one of the two files is taken away.
fn pair_name(given: PathBuf) -> Result<PathBuf, Failure> {
    if given.file_name().is_none() || given.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let what = format!("--out {}: expected DIR/NAME, found a directory", given.display());
        return Err(Failure::new(Exit::Usage, what).hint("add the pair's name: --out DIR/NAME"));
    }
    let suffix = given.extension().is_some_and(|suffix| suffix == "key" || suffix == "pub");
    Ok(if suffix { given.with_extension("") } else { given })
}

/// `~/.config/stap-bundle/default`, where the pair is made and looked for.
pub(crate) fn default_name() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
    config.map(|config| config.join("stap-bundle/default")).ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_CONFIG_HOME nor HOME is set")
            .hint("name the key: `key generate --out DIR/NAME`, `build --key NAME.key`")
    })
}

/// The keys to sign with, looked at but not held: those given, each once, else the one of [`signing_key`].
pub(crate) fn signing_keys(given: &[PathBuf]) -> Result<Vec<PrivateKeyFile>, Failure> {
    if given.is_empty() {
        return Ok(vec![signing_key(None)?]);
    }
    let mut keys: Vec<PrivateKeyFile> = Vec::new();
    for path in given {
        let key = signing_key(Some(path))?;
        if !keys.iter().any(|known| known.public() == key.public()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// The key that `build` signs with: `--key`, else `$STAP_BUNDLE_KEY` (which clap puts there too), else the default.
pub(crate) fn signing_key(given: Option<&Path>) -> Result<PrivateKeyFile, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => KeyPairFiles::named(&default_name()?).private,
    };
    PrivateKeyFile::open(&path).map_err(|error| {
        let failure = key_failure(&error);
        if error.is_absent() && given.is_none() {
            Failure::new(Exit::Trust, format!("no signing key: there is no {}", path.display()))
                .hint("make one: stap-bundle key generate")
                .hint("or name one: --key NAME.key, or the variable STAP_BUNDLE_KEY")
        } else {
            failure
        }
    })
}

/// Most bytes of what may be a key.
const MAX_KEY: u64 = 64 << 10;

/// Whether somebody gave the other half: its mode would be the wrong thing to talk about.
fn is_public(path: &Path) -> bool {
    read_text_given(path, MAX_KEY).is_ok_and(|text| text.contains("BEGIN PUBLIC KEY"))
}

/// Why nothing was signed; `document` says what of the other reasons.
pub(crate) fn sign_failure<E: std::error::Error>(
    error: SignError<E>,
    document: impl FnOnce(E) -> Failure,
) -> Failure {
    match error {
        SignError::Key(error) => key_failure(&error),
        SignError::Document(error) => document(error),
    }
}

pub(crate) fn key_failure(error: &KeyFileError) -> Failure {
    match error {
        KeyFileError::Io { path, source } => {
            Failure::of(Exit::Storage, source).about(format_args!("key file {}", path.display()))
        }
        KeyFileError::Exists { .. } => Failure::of(Exit::Conflict, error)
            .hint("give another name with --out DIR/NAME, or move the old key away"),
        KeyFileError::Readable { path, .. } if is_public(path) => {
            let what = format!("{} is a public key, expected the private one", path.display());
            Failure::new(Exit::Usage, what).hint("give the file with the suffix .key")
        }
        KeyFileError::Readable { path, .. } => {
            Failure::of(Exit::Trust, error).hint(format!("chmod 600 {}", path.display()))
        }
        KeyFileError::NotAFile { .. } => {
            Failure::of(Exit::Usage, error).hint("copy the key into a file of mode 0600")
        }
        KeyFileError::Replaced { .. } => {
            Failure::of(Exit::Trust, error).hint("run the same command again, with the intended key")
        }
        KeyFileError::Memory { .. } => Failure::of(Exit::Failed, error)
            .hint("prctl(PR_SET_DUMPABLE) and setrlimit(RLIMIT_CORE) must be allowed here"),
        KeyFileError::Private { path, source } => {
            Failure::of(Exit::Malformed, source).about(format_args!("key file {}", path.display()))
        }
        KeyFileError::Public { path, source } => {
            Failure::of(Exit::Malformed, source).about(format_args!("key file {}", path.display()))
        }
    }
}
