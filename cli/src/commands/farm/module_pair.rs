//! `key generate --module`: a key for kernel modules, and its certificate.

use std::path::{Path, PathBuf};

use serde_json::json;
use signing::{ModuleCertificate, ModuleKeyFile, ModuleKeyFiles, ModuleKeyKind};

use crate::commands::farm::key_failure::{generate_failure, module_key_failure};
use crate::commands::farm::module_keys::{passphrase_of, read_certificate};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

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

/// Makes the pair `name`; with `ca` also NAME-ca, which issues it.
pub(super) fn new_module_key(
    name: &Path,
    kind: ModuleKind,
    ca: bool,
    issuer: Option<&Path>,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let failed = |error| generate_failure(&error);
    let files = ModuleKeyFiles::named(name);
    files.check_absent().map_err(failed)?;
    let new_ca = ca.then(|| {
        let mut name = name.as_os_str().to_owned();
        name.push("-ca");
        PathBuf::from(name)
    });
    if let Some(name) = &new_ca {
        signing::generate(&ModuleKeyFiles::named(name), kind.into(), &common_name(name), true, None)
            .map_err(failed)?;
    }
    let by = new_ca.as_deref().or(issuer);
    let issuer = by.map(read_issuer).transpose()?;
    let issuer = issuer.as_ref().map(|(certificate, key)| (certificate, key));
    let certificate =
        signing::generate(&files, kind.into(), &common_name(name), false, issuer).map_err(failed)?;
    let enrolled =
        by.map_or_else(|| files.certificate.clone(), |name| ModuleKeyFiles::named(name).certificate);
    let ca_key = new_ca.map(|name| ModuleKeyFiles::named(&name).key);
    if ui.json {
        ui.document(&json!({
            "private": files.key, "certificate": files.certificate, "certificate_sha256": certificate.id(),
            "key_id": certificate.key_id(), "enrol": enrolled, "ca_private": ca_key,
        }));
        return Ok(Exit::Done);
    }
    ui.line(format!("private key: {}  (mode 0600; keep it on the farm)", files.key.display()));
    ui.line(format!("certificate: {}, {}", files.certificate.display(), certificate.algorithm()));
    ui.line(format!("key id:      {}", certificate.key_id()));
    if let Some(key) = ca_key {
        ui.line(format!("CA's key:    {}  (mode 0600; keep it offline, it signs no modules)", key.display()));
    }
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
    let certificate = read_certificate(&files.certificate)?;
    let failed = |error| module_key_failure(&error);
    let passphrase = passphrase_of(&files.key, None)?;
    let key = ModuleKeyFile::open(&files.key, passphrase).map_err(failed)?;
    Ok((certificate, key))
}
