//! `key`: the farm's signing keys.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;
use signing::{KeyPairFiles, PrivateKeyFile};

use crate::bundle_path::a_file;
use crate::commands::farm::key_failure::key_failure;
use crate::commands::farm::module_pair::{ModuleKind, new_module_key};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Make the farm's signing keys
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Make a new key pair: NAME.key (secret, mode 0600) and NAME.pub
    ///
    /// Without --out the pair is ~/.config/stap-bundle/default.key and .pub, which `build` uses if no other is given.
    /// An existing key is never overwritten.
    ///
    /// With --module the key signs kernel modules, for kernels that take signed ones only: NAME.key and its certificate NAME.der, which
    /// each host enrols once (`mokutil --import NAME.der`, then reboot). The certificate is good for modules alone, not for what firmware
    /// boots. With --ca, NAME-ca.der is the certificate to enrol, and it issues NAME.der, whose key signs. Later --issuer NAME-ca issues
    /// another one, and hosts enrol nothing again.
    Generate {
        /// Path of the pair, without suffix.
        #[arg(long, value_name = "DIR/NAME", value_parser = a_file)]
        out: Option<PathBuf>,
        /// Make a key for kernel modules, with its certificate.
        #[arg(long, requires = "out")]
        module: bool,
        /// Its kind: `rsa` (3072 bits, kernels since 4.3) or `p384` (smaller, kernels since 5.13).
        #[arg(long, value_name = "KIND", value_enum, default_value_t, requires = "module")]
        kind: ModuleKind,
        /// Make a CA, too: NAME-ca, which issues the certificate.
        #[arg(long, requires = "module")]
        ca: bool,
        /// Let this CA issue the certificate: CA.key and CA.der.
        #[arg(long, value_name = "DIR/CA", value_parser = a_file, requires = "module", conflicts_with = "ca")]
        issuer: Option<PathBuf>,
    },
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self::Generate { out, module, kind, ca, issuer } = self;
        if let Some(out) = out.as_ref().filter(|_| module) {
            let issuer = issuer.map(|issuer| pair_name("--issuer", issuer)).transpose()?;
            return new_module_key(&pair_name("--out", out.clone())?, kind, ca, issuer.as_deref(), ui);
        }
        let name = out.map_or_else(default_name, |out| pair_name("--out", out))?;
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
fn pair_name(option: &str, given: PathBuf) -> Result<PathBuf, Failure> {
    if given.file_name().is_none() || given.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let what = format!("{option} {}: expected DIR/NAME, found a directory", given.display());
        return Err(Failure::new(Exit::Usage, what).hint(format!("add the pair's name: {option} DIR/NAME")));
    }
    let suffix =
        given.extension().is_some_and(|suffix| suffix == "key" || suffix == "pub" || suffix == "der");
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
