//! `key`: the farm's signing keys.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use files::read::read_given;
use serde_json::json;
use signing::{
    GenerateError, KeyPairFiles, ModuleCertificate, ModuleKeyFile, ModuleKeyFiles, ModuleKeyKind,
    PrivateKeyFile,
};

use crate::bundle_path::a_file;
use crate::commands::farm::key_failure::{key_failure, module_key_failure};
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
    ///
    /// With --module the key signs kernel modules, for hosts whose kernel takes signed modules only: NAME.key and its certificate
    /// NAME.der, which each host enrols once (`mokutil --import NAME.der`, then reboot). The certificate is good for modules alone, not
    /// for what firmware boots. With --ca the enrolled certificate is NAME-ca.der and the one that signs, NAME.der, is issued by it; then
    /// --issuer NAME-ca makes the next one, and no host has to enrol anything again whose kernel trusts a CA's leaves.
    Generate {
        /// Path of the pair, without suffix.
        #[arg(long, value_name = "DIR/NAME", value_parser = a_file)]
        out: Option<PathBuf>,
        /// Make a key for kernel modules, with its certificate.
        #[arg(long, requires = "out")]
        module: bool,
        /// Its kind: `rsa` (3072 bits, each kernel since 3.7) or `p384` (since 5.13, smaller).
        #[arg(long, value_name = "KIND", value_enum, default_value_t, requires = "module")]
        kind: ModuleKind,
        /// Make a CA too, NAME-ca, which issues the certificate.
        #[arg(long, requires = "module")]
        ca: bool,
        /// Let this CA issue the certificate: CA.key and CA.der.
        #[arg(long, value_name = "DIR/CA", value_parser = a_file, requires = "module", conflicts_with = "ca")]
        issuer: Option<PathBuf>,
    },
}

/// The kind of a new key for modules.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum ModuleKind {
    #[default]
    Rsa,
    P384,
}

impl From<ModuleKind> for ModuleKeyKind {
    fn from(kind: ModuleKind) -> Self {
        match kind {
            ModuleKind::Rsa => Self::Rsa,
            ModuleKind::P384 => Self::P384,
        }
    }
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        let Self::Generate { out, module, kind, ca, issuer } = self;
        if let Some(out) = out.as_ref().filter(|_| module) {
            return generate_for_modules(&pair_name(out.clone())?, kind.into(), ca, issuer, ui);
        }
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

fn generate_for_modules(
    name: &Path,
    kind: ModuleKeyKind,
    ca: bool,
    issuer: Option<PathBuf>,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let files = ModuleKeyFiles::named(name);
    let mut enrolled = files.certificate.clone();
    let mut by = issuer.map(pair_name).transpose()?;
    if ca {
        let mut ca_name = name.as_os_str().to_owned();
        ca_name.push("-ca");
        let ca_name = PathBuf::from(ca_name);
        let of_ca = ModuleKeyFiles::named(&ca_name);
        signing::generate(&of_ca, kind, &common_name(&ca_name), true, None)
            .map_err(|error| generate_failure(&error))?;
        by = Some(ca_name);
    }
    let issuer = by.as_deref().map(read_issuer).transpose()?;
    if let Some(by) = &by {
        enrolled = ModuleKeyFiles::named(by).certificate;
    }
    let issuer = issuer.as_ref().map(|(certificate, key)| (certificate, key));
    let certificate = signing::generate(&files, kind, &common_name(name), false, issuer)
        .map_err(|error| generate_failure(&error))?;
    if ui.json {
        ui.document(&json!({
            "private": files.key, "certificate": files.certificate, "certificate_sha256": certificate.id(),
            "key_id": certificate.key_id(), "enrol": enrolled,
        }));
        return Ok(Exit::Done);
    }
    ui.line(format!("private key: {}  (mode 0600; keep it on the farm)", files.key.display()));
    ui.line(format!("certificate: {}, {}", files.certificate.display(), certificate.algorithm()));
    ui.line(format!("key id:      {}", certificate.key_id()));
    ui.progress(format!("On each host, once: mokutil --import {}, then reboot", enrolled.display()));
    Ok(Exit::Done)
}

/// What firmware and tools call it.
fn common_name(pair: &Path) -> String {
    let name = pair.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{} kernel modules", name.chars().map(plain).collect::<String>())
}

fn read_issuer(name: &Path) -> Result<(ModuleCertificate, ModuleKeyFile), Failure> {
    let files = ModuleKeyFiles::named(name);
    let bytes = read_given(&files.certificate, MAX_KEY)
        .map_err(|error| Failure::of(Exit::Storage, &error).about(files.certificate.display()))?;
    let certificate = ModuleCertificate::read(&bytes)
        .map_err(|error| Failure::of(Exit::Malformed, &error).about(files.certificate.display()))?;
    let key = ModuleKeyFile::open(&files.key, None).map_err(|error| module_key_failure(&error))?;
    Ok((certificate, key))
}

fn generate_failure(error: &GenerateError) -> Failure {
    match error {
        GenerateError::File(error) => key_failure(error),
        GenerateError::Key(error) => module_key_failure(error),
        GenerateError::OtherIssuer | GenerateError::NoCa => Failure::of(Exit::Usage, error),
        _ => Failure::of(Exit::Failed, error),
    }
}

/// The pair's name as given; a suffix that belongs to one of the two files is taken away.
fn pair_name(given: PathBuf) -> Result<PathBuf, Failure> {
    if given.file_name().is_none() || given.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let what = format!("--out {}: expected DIR/NAME, found a directory", given.display());
        return Err(Failure::new(Exit::Usage, what).hint("add the pair's name: --out DIR/NAME"));
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

/// Most bytes of what may be a key.
const MAX_KEY: u64 = 64 << 10;
