//! Keys that sign kernel modules, for commands that pack.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Limits};
use files::read::read_given;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signing::{
    ModuleCertificate, ModuleDigest, ModuleKeyFile, ModuleSigner, SignElsewhere, Zeroizing, read_passphrase,
};

use crate::bundle_path::a_file;
use crate::commands::farm::key_failure::{key_failure, module_key_failure};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Outputs;
use crate::ui::Ui;

/// Most bytes of a certificate's file.
const MAX_FILE: u64 = 64 << 10;

/// How long a program may take for one signature.
const PATIENCE: Duration = Duration::from_secs(60);

/// The variable from which the kernel's `sign-file` takes a passphrase.
const PIN: &str = "KBUILD_SIGN_PIN";

#[derive(Debug, clap::Args)]
pub(crate) struct ModuleKeyOptions {
    /// Sign the modules with this private key (PKCS#8 PEM), for kernels that take signed ones only (Secure Boot); may be given several
    /// times.
    #[arg(id = "module_key", hide_short_help = true, long = "module-key", value_name = "KEY.pem", value_parser = a_file, requires = "module_cert")]
    keys: Vec<PathBuf>,
    /// The certificate of such a key, DER or PEM, as it is enrolled on the hosts; may be given several times.
    #[arg(id = "module_cert", hide_short_help = true, long = "module-cert", value_name = "CERT.der", value_parser = a_file)]
    certificates: Vec<PathBuf>,
    /// A shell command that signs for the certificates whose key isn't given: it reads a digest and writes the raw signature
    ///
    /// The digest comes on standard input; `STAP_BUNDLE_DIGEST` says which one it is (sha256 or sha384), and `STAP_BUNDLE_CERTIFICATE`
    /// has the certificate's SHA-256. Of ECDSA the signature may be DER or the two numbers one after the other. It is run once for each
    /// module, several at a time, and may take a minute.
    #[arg(
        id = "module_signer",
        hide_short_help = true,
        long = "module-signer",
        value_name = "CMD",
        requires = "module_cert"
    )]
    signer: Option<String>,
    /// The passphrase of the private keys is the first line of FILE [default: `KBUILD_SIGN_PIN`, else it is asked for].
    #[arg(id = "module_passphrase", hide_short_help = true, long = "module-passphrase", value_name = "FILE", value_parser = a_file, requires = "module_key")]
    passphrase: Option<PathBuf>,
}

impl ModuleKeyOptions {
    pub(crate) fn note_inputs(&self, outputs: &mut Outputs) {
        outputs.inputs("the module key", &self.keys);
        outputs.inputs("the module certificate", &self.certificates);
    }

    /// What signs modules; none, if it wasn't asked for. Each certificate is matched with the key that is its own.
    pub(crate) fn signers(&self, cancel: &Cancel, ui: &mut Ui) -> Result<Vec<ModuleSigner>, Failure> {
        let mut keys = Vec::new();
        for path in &self.keys {
            keys.push(self.key(path)?);
        }
        let mut signers: Vec<ModuleSigner> = Vec::new();
        for path in &self.certificates {
            let certificate = certificate(path, ui)?;
            if signers.iter().any(|signer| signer.certificate().id() == certificate.id()) {
                continue;
            }
            signers.push(self.signer_of(path, certificate, &mut keys, cancel)?);
        }
        if let Some(key) = keys.first() {
            let what =
                format!("{}: none of the given certificates belongs to this key", key.path().display());
            return Err(Failure::new(Exit::Usage, what).hint("give its certificate: --module-cert CERT.der"));
        }
        Ok(signers)
    }

    /// What signs for one certificate: its key among `keys`, which is taken out, else the command.
    fn signer_of(
        &self,
        path: &Path,
        certificate: ModuleCertificate,
        keys: &mut Vec<ModuleKeyFile>,
        cancel: &Cancel,
    ) -> Result<ModuleSigner, Failure> {
        if let Some(place) = keys.iter().position(|key| key.is_of(&certificate)) {
            return Ok(ModuleSigner::with_file(certificate, keys.swap_remove(place)));
        }
        if let Some(shell) = self.signer.clone() {
            return Ok(ModuleSigner::elsewhere(
                certificate,
                Box::new(Command { shell, cancel: cancel.clone() }),
            ));
        }
        let what = format!("{}: none of the given keys belongs to this certificate", path.display());
        Err(Failure::new(Exit::Usage, what)
            .hint("give it with --module-key KEY.pem, or what signs with it: --module-signer CMD"))
    }

    fn key(&self, path: &Path) -> Result<ModuleKeyFile, Failure> {
        let passphrase = passphrase_of(path, self.passphrase.as_deref())?;
        ModuleKeyFile::open(path, passphrase).map_err(|error| module_key_failure(&error))
    }
}

/// The passphrase of a private key that has one: from `file`, else from the environment, else from the terminal.
pub(super) fn passphrase_of(key: &Path, file: Option<&Path>) -> Result<Option<Zeroizing<String>>, Failure> {
    if !ModuleKeyFile::is_encrypted(key).map_err(|error| module_key_failure(&error))? {
        return Ok(None);
    }
    if let Some(file) = file {
        return read_passphrase(file).map(Some).map_err(|error| key_failure(&error));
    }
    if let Ok(pin) = std::env::var(PIN) {
        return Ok(Some(Zeroizing::new(pin)));
    }
    Ok(ask(&format!("passphrase of {}: ", key.display())).ok())
}

fn certificate(path: &Path, ui: &mut Ui) -> Result<ModuleCertificate, Failure> {
    let certificate = read_certificate(path)?;
    for warning in certificate.warnings() {
        ui.warning(format!("{}: {warning}", path.display()));
    }
    Ok(certificate)
}

pub(super) fn read_certificate(path: &Path) -> Result<ModuleCertificate, Failure> {
    let bytes = read_given(path, MAX_FILE)
        .map_err(|error| Failure::of(Exit::Storage, &error.into_source()).about(path.display()))?;
    ModuleCertificate::read(&bytes).map_err(|error| {
        Failure::of(Exit::Malformed, &error)
            .about(path.display())
            .hint("`stap-bundle key generate --module` makes a key and a certificate")
    })
}

/// Longest passphrase that can be typed.
const LONGEST: usize = 1024;

/// A terminal that doesn't show what is typed, until the value goes.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn open() -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open("/dev/tty", flags, Mode::empty())?);
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks on the terminal. What is typed goes into one buffer, which is wiped.
fn ask(question: &str) -> io::Result<Zeroizing<String>> {
    let mut silent = Silent::open()?;
    silent.terminal.write_all(question.as_bytes())?;
    let mut typed = Zeroizing::new([0; LONGEST]);
    // A terminal gives a line at a time.
    let len = silent.terminal.read(typed.as_mut())?;
    silent.terminal.write_all(b"\n")?;
    let line = typed.get(..len).unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(io::Error::other)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A command that has the key.
struct Command {
    shell: String,
    cancel: Cancel,
}

impl SignElsewhere for Command {
    fn sign(&self, digest: &ModuleDigest, certificate: &ModuleCertificate) -> io::Result<Vec<u8>> {
        let command = ChildCommand::new("/bin/sh")
            .args(["-c", &self.shell])
            .inherit_environment()
            .env("STAP_BUNDLE_DIGEST", digest.name())
            .env("STAP_BUNDLE_CERTIFICATE", certificate.id().to_string())
            .input(digest.bytes());
        let finished = command.run(&Limits::within(PATIENCE), &self.cancel).map_err(io::Error::other)?;
        if finished.status.success() {
            return Ok(finished.stdout.bytes());
        }
        let said = finished.stderr.text();
        let said = said.trim().lines().next_back().unwrap_or("it said nothing");
        // The command itself may hold a secret.
        Err(io::Error::other(format!("the command of --module-signer: {}: {said}", finished.status)))
    }
}
