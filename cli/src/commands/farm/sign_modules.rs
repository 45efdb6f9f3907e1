//! `sign-modules`: kernel signatures for the modules of a bundle that is there already.

use std::fs::File;
use std::path::PathBuf;

use builder::RedraftError;
use bundle_format::{BundleDraft, BundleKind, Manifest, PROVENANCE_NAME, TrustedKeys, VerifiedBundle};
use child::Cancel;
use serde_json::json;
use signing::{ModuleSigner, PrivateKeyFile};

use crate::bundle_path::{BundlePath, a_file};
use crate::commands::farm::key::signing_keys;
use crate::commands::farm::key_failure::{module_sign_failure, sign_failure};
use crate::commands::farm::module_keys::ModuleKeyOptions;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Kind, Outputs, ReplaceOption, in_words};
use crate::signals::cancel_on_signals;
use crate::trust_options::{keys_of_directory, open_verified};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Sign a bundle's modules, for kernels that take signed ones only
///
/// Nothing is compiled. The modules stay as they are: the signatures go beside them, and a host appends one when it loads the module.
/// So the new bundle has the same name, version, serial and content; hosts that have the unsigned one install it. Signatures that it
/// has by other certificates stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  stap-bundle key generate --module --out modules\n  stap-bundle sign-modules scripts.stapb --module-key modules.key --module-cert modules.der -o signed.stapb"
)]
pub(crate) struct Args {
    /// The bundle.
    #[arg(value_name = "BUNDLE", value_parser = a_file)]
    file: PathBuf,
    #[command(flatten)]
    module_keys: ModuleKeyOptions,
    /// The private key to sign the new bundle with; may be given several times [default: the key that `build` takes].
    #[arg(long, value_name = "NAME.key", env = "STAP_BUNDLE_KEY")]
    key: Vec<PathBuf>,
    /// Who may have signed the bundle: every `*.pub` in DIR [default: --key].
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// The file to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE", required = true)]
    output: PathBuf,
    #[command(flatten)]
    replace: ReplaceOption,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        ui.leave_output_to(Some(&self.output))?;
        let cancel = Cancel::new();
        cancel_on_signals(&cancel)?;
        let signers = self.module_keys.signers(&cancel, ui)?;
        if signers.is_empty() {
            return Err(Failure::new(Exit::Usage, "no certificate was given to sign the modules with")
                .hint("--module-cert CERT.der --module-key KEY.pem"));
        }
        let keys = signing_keys(&self.key)?;
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.input("the bundle", &self.file);
        outputs.inputs("the key", &self.key);
        self.module_keys.note_inputs(&mut outputs);
        let place = outputs.place("-o", &self.output, Kind::Bundle(BundleKind::Full))?;
        let storage = |error: std::io::Error| Failure::of(Exit::Storage, &error).about("temporary file");
        let directory = tempfile::tempdir().map_err(storage)?;
        let bundle = self.open(&keys)?;
        let id = bundle.id();
        let mut draft = builder::redraft(bundle, directory.path()).map_err(|error| self.not_read(error))?;
        builder::sign_modules(&mut draft, &signers).map_err(|error| module_sign_failure(&error))?;
        let again = self.open(&keys)?;
        if again.id() != id {
            return Err(Failure::new(
                Exit::NoBundle,
                format!("{} was replaced meanwhile", self.file.display()),
            ));
        }
        let spool = tempfile::tempfile().map_err(storage)?;
        let mut unsigned = draft.pack(spool, &mut |_| {})?;
        if unsigned.manifest().content != again.manifest().content {
            let what = "the signed bundle has another content than the one that was read";
            return Err(Failure::new(Exit::NoBundle, what).hint("this is a fault of stap-bundle: report it"));
        }
        let extras = self.extras(again, unsigned.manifest(), &signers)?;
        unsigned = unsigned.with_extras(extras)?;
        let mut signed =
            signing::sign_with_all(&keys, unsigned).map_err(|error| sign_failure(error, Failure::from))?;
        let new = signed.id();
        let (size, written) = place.write(|target| signed.write_to(target))?;
        written.tell(ui, &self.output);
        self.tell(ui, &draft, &signers, size, &new.to_string());
        Ok(Exit::Done)
    }

    fn open(&self, keys: &[PrivateKeyFile]) -> Result<VerifiedBundle<File>, Failure> {
        let trusted = match &self.trust {
            Some(directory) => keys_of_directory(directory)?,
            None => TrustedKeys::any_of(keys.iter().map(|key| key.public().clone())),
        };
        open_verified(&BundlePath::from(self.file.clone()), &trusted).map_err(|failure| match failure.exit {
            Exit::Trust if self.trust.is_none() => Failure { hints: Vec::new(), ..failure }
                .hint("if another key has signed it, put its public half into a directory: --trust DIR"),
            _ => failure,
        })
    }

    /// Those that the bundle has, and the certificates. The provenance becomes one of the new frames.
    fn extras(
        &self,
        bundle: VerifiedBundle<File>,
        manifest: &Manifest,
        signers: &[ModuleSigner],
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut extras = bundle.extras().map_err(|error| Failure::from(error).about(self.file.display()))?;
        for (_, raw) in extras.iter_mut().filter(|(name, _)| name == PROVENANCE_NAME) {
            *raw = builder::provenance_of_frames(raw, manifest)
                .map_err(|error| Failure::of(Exit::Malformed, &error).about(PROVENANCE_NAME))?;
        }
        builder::add_certificates(&mut extras, signers.iter().map(ModuleSigner::certificate));
        Ok(extras)
    }

    fn not_read(&self, error: RedraftError) -> Failure {
        let failure = match error {
            RedraftError::Bundle(error) => Failure::from(error),
            other => Failure::of(Exit::NoBundle, &other),
        };
        failure.about(self.file.display())
    }

    fn tell(&self, ui: &mut Ui, draft: &BundleDraft, signers: &[ModuleSigner], size: u64, id: &str) {
        let modules: usize = draft.kernels.iter().map(|kernel| kernel.modules.len()).sum();
        if ui.json {
            let certificates: Vec<_> = signers.iter().map(|signer| signer.certificate().id()).collect();
            ui.document(&json!({
                "bundle": self.output, "bytes": size, "bundle_id": id, "modules": modules, "certificates": certificates,
            }));
            return;
        }
        let written = ui.mark(Mark::Strong, in_words(&self.output).display());
        ui.line(format!("{written}: {}, {} signed", bytes(size), count(modules, "module")));
        for signer in signers {
            let certificate = signer.certificate();
            ui.line(format!(
                "  by {}, {}, key id {}",
                certificate.subject(),
                certificate.algorithm(),
                certificate.key_id()
            ));
        }
        ui.line(format!("  bundle id  {id}"));
    }
}
