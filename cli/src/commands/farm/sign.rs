//! `sign`: signatures for a payload or one more for a bundle, with keys that are here or elsewhere.

use std::fs::File;
use std::path::{Path, PathBuf};

use bundle_format::{BundleError, ContainerError, KeyId, Payload, Present, PublicKey};
use serde_json::json;

use crate::bundle_path::a_file;
use crate::commands::bundle::inspect::contents::{Presence, Seen};
use crate::commands::farm::attached_signature::{SIGNATURE, read_signature};
use crate::commands::farm::key::signing_key;
use crate::commands::farm::key_failure::key_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::given;
use crate::output::{Kind, Outputs, ReplaceOption, in_words};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Sign a payload, or add a signature to a bundle
///
/// A payload (`build --no-sign`, `import`) becomes a bundle; a bundle gets one more signature, and nothing else of it
/// changes. Before that every byte is checked and every frame decoded: a damaged file is never signed, nor one that lacks
/// frames (a subset); for a delta, --base names the bundle that it was made from. Whether what it
/// says is right is for you to judge: --dry-run does the checks and shows it, as `inspect` shows a bundle.
///
/// Where the private key lives elsewhere (a token, another machine), --payload-out writes the message to sign, any tool
/// signs it with Ed25519, and --attach makes the bundle. A signature that doesn't fit is refused.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle sign scripts.payload --dry-run\n  stap-bundle sign scripts.payload --key farm.key -o scripts.stapb\n  stap-bundle sign scripts.stapb --key second.key\n  stap-bundle sign scripts.payload --payload-out message\n  openssl pkeyutl -sign -rawin -inkey farm.key -in message -out signature\n  stap-bundle sign scripts.payload --attach farm.pub:signature -o scripts.stapb"
)]
pub(crate) struct Args {
    /// The payload, or the bundle.
    #[arg(value_parser = a_file)]
    file: PathBuf,
    /// Sign with this private key; may be given several times [default: the key that `build` takes].
    #[arg(long, value_name = "NAME.key")]
    key: Vec<PathBuf>,
    /// Add the signature in the file SIG (64 bytes), made with the private half of NAME.pub; may be given several times.
    #[arg(long, value_name = "NAME.pub:SIG")]
    attach: Vec<String>,
    /// Write the message that is to be signed to FILE, and nothing else.
    #[arg(long, value_name = "FILE", value_parser = a_file, conflicts_with_all = ["key", "attach", "output"])]
    payload_out: Option<PathBuf>,
    /// Check the file and show what would be signed; no key is needed, and nothing is written.
    #[arg(long, conflicts_with_all = ["key", "attach", "payload_out", "output"])]
    dry_run: bool,
    /// The full bundle that this delta was made from, so that all of it can be looked into.
    #[arg(long, value_name = "FILE", value_parser = a_file)]
    base: Option<PathBuf>,
    /// The bundle to write; `-` is standard output [default: NAME-VERSION.stapb for a payload; a bundle is replaced].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceOption,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        ui.leave_output_to(self.output.as_deref())?;
        // As it is before it is read.
        let change = Outputs::change(&self.file);
        let payload = self.read()?;
        if self.dry_run {
            return self.show(ui, &payload);
        }
        if let Some(path) = &self.payload_out {
            return self.write_message(ui, &payload, path);
        }
        let mut outputs = self.outputs();
        let signatures = self.signatures(&payload)?;
        let carried: Vec<KeyId> = payload.signers().collect();
        let id = payload.id();
        let default = format!("{}-{}.stapb", payload.manifest().name, payload.manifest().version);
        let kind = Kind::of_bundle(payload.manifest());
        let new = match &self.output {
            Some(path) => Some(path.clone()),
            None => carried.is_empty().then(|| default.into()),
        };
        let place = new.as_deref().map(|path| outputs.place("-o", path, kind)).transpose()?;
        let path = new.unwrap_or_else(|| self.file.clone());
        let mut sealed = payload.attach(&signatures).map_err(|error| self.not_attached(error))?;
        let signers: Vec<String> = sealed.signers().map(|key| key.to_string()).collect();
        let size = match place {
            Some(place) => {
                let (size, written) = place.write(|target| sealed.write_to(target))?;
                written.tell(ui, &path);
                size
            }
            None => change?.write(|target| sealed.write_to(target))?,
        };
        if ui.json {
            ui.document(&json!({ "bundle": path, "bytes": size, "bundle_id": id, "signed_by": signers }));
            return Ok(Exit::Done);
        }
        let written = ui.mark(Mark::Strong, in_words(&path).display());
        ui.line(format!("{written}: {}, {}", bytes(size), count(signers.len(), "signature")));
        ui.line(format!("  bundle id  {id}"));
        for signer in signers {
            ui.line(format!("  signed by  {signer}"));
        }
        if !carried.is_empty() {
            let (noun, verb) = if carried.len() == 1 { ("signature", "is") } else { ("signatures", "are") };
            let text =
                format!("The {noun} that it had {verb} kept as found; `verify` checks with the public keys.");
            ui.progress(text);
        }
        Ok(Exit::Done)
    }

    /// What it reads.
    fn outputs(&self) -> Outputs {
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.input("the file to sign", &self.file);
        outputs.inputs("the base", &self.base);
        outputs.inputs("the key", &self.key);
        for (key, signature) in self.attach.iter().filter_map(|pair| pair.split_once(':')) {
            outputs.input("the key", Path::new(key));
            outputs.input("the signature", Path::new(signature));
        }
        outputs
    }

    fn read(&self) -> Result<Payload<File>, Failure> {
        let name = self.file.display();
        let file = given(&self.file)?;
        if self.file.is_dir() {
            return Err(Failure::new(Exit::Usage, format!("{name} is a directory, expected a payload")));
        }
        let rest = tempfile::tempfile()
            .map_err(|error| Failure::of(Exit::Storage, &error).about("temporary file"))?;
        let base = self.base.as_deref().map(given);
        Payload::read_with(file, rest, base.transpose()?).map_err(|error| self.not_read(error))
    }

    fn show(&self, ui: &mut Ui, payload: &Payload<File>) -> Result<Exit, Failure> {
        let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(self.file.display());
        let size = self.file.metadata().map_err(failed)?.len();
        let signers: Vec<KeyId> = payload.signers().collect();
        // A file that lacks frames isn't read as one that may be signed.
        let total = payload.manifest().frames().len();
        let present = Presence::Known(Present { present: total, total });
        Seen {
            id: payload.id(),
            manifest: payload.manifest(),
            signers: &signers,
            judge: None,
            domain: None,
            present,
            module_keys: Vec::new(),
        }
        .show(ui, &self.file, Some(size));
        Ok(Exit::Done)
    }

    fn write_message(&self, ui: &mut Ui, payload: &Payload<File>, path: &Path) -> Result<Exit, Failure> {
        let message = payload.message();
        let id = payload.id();
        let place = self.outputs().place("--payload-out", path, Kind::Message)?;
        place.write_bytes(&message)?.tell(ui, path);
        if ui.json {
            ui.document_of("message", &json!({ "message": path, "bytes": message.len(), "bundle_id": id }));
            return Ok(Exit::Done);
        }
        ui.line(format!("{}: the message to sign, {}", path.display(), bytes(message.len() as u64)));
        ui.line(format!("  bundle id  {id}"));
        ui.progress(format!(
            "Sign it: openssl pkeyutl -sign -rawin -inkey NAME.key -in {} -out SIG",
            path.display()
        ));
        ui.progress(format!("Then: stap-bundle sign {} --attach NAME.pub:SIG", self.file.display()));
        Ok(Exit::Done)
    }

    /// Those that were made elsewhere, then those by the keys that are here.
    fn signatures(&self, payload: &Payload<File>) -> Result<Vec<(PublicKey, [u8; SIGNATURE])>, Failure> {
        let mut signatures = Vec::new();
        for pair in &self.attach {
            signatures.push(read_signature(pair)?);
        }
        let mut keys: Vec<Option<&Path>> = self.key.iter().map(|path| Some(path.as_path())).collect();
        let variable = std::env::var_os("STAP_BUNDLE_KEY").map(PathBuf::from);
        if keys.is_empty() && self.attach.is_empty() {
            keys.push(variable.as_deref());
        }
        for path in keys {
            let key = signing_key(path)?;
            signatures.push(key.sign_payload(payload).map_err(|error| key_failure(&error))?);
        }
        Ok(signatures)
    }

    fn not_read(&self, error: BundleError) -> Failure {
        let name = format!("{} can't be signed", self.file.display());
        match error {
            BundleError::BaseAbsent { .. } => Failure::from(error)
                .about(name)
                .hint("nothing is signed that wasn't looked into: give the bundle that it was made from, --base FILE"),
            BundleError::AbsentFrame { .. } => {
                let mut failure = Failure::from(error).about(name);
                failure.hints = vec!["nothing is signed that wasn't looked into: sign the whole file".to_owned()];
                failure
            }
            error => Failure::from(error).about(name),
        }
    }

    fn not_attached(&self, error: BundleError) -> Failure {
        match error {
            BundleError::BadSignature { key } => {
                let what = format!("the signature does not fit this payload and key {key}");
                Failure::new(Exit::Trust, what)
                    .about(self.file.display())
                    .hint("the message to sign: stap-bundle sign PAYLOAD --payload-out MESSAGE")
            }
            BundleError::Container(ContainerError::SignatureTwice { key }) => {
                let what = format!("key {key} has signed already; one key counts once");
                Failure::new(Exit::Conflict, what)
                    .about(self.file.display())
                    .hint("sign with another key; a second signature by this one would change nothing")
            }
            error => Failure::from(error).about(self.file.display()),
        }
    }
}
