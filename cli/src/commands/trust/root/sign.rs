//! Signing the next root, here or elsewhere.

use std::path::PathBuf;

use bundle_format::Digest;
use serde_json::json;

use crate::bundle_path::a_file;
use crate::commands::farm::attached_signature::read_signature;
use crate::commands::farm::key::signing_keys;
use crate::commands::farm::key_failure::sign_failure;
use crate::commands::trust::root::file::{read, write};
use crate::commands::trust::root::show::tell;
use crate::exit::Exit;
use crate::failure::{Failure, root_failure};
use crate::output::{Kind, Outputs, ReplaceOption};
use crate::ui::Ui;

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

impl Sign {
    pub(super) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
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
                let sha256 = Digest::of(&message);
                ui.document_of(
                    "message",
                    &json!({ "message": out, "bytes": message.len(), "sha256": sha256 }),
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
