//! Failures of private keys, in words.

use std::path::Path;

use files::read::read_text_given;
use signing::{GenerateError, KeyFileError, ModuleKeyError, ModuleSignError, SignError};

use crate::exit::Exit;
use crate::failure::Failure;

/// Most bytes of what may be a key.
const MAX_KEY: u64 = 64 << 10;

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

/// Whether somebody gave the other half: its mode would be the wrong thing to talk about.
fn is_public(path: &Path) -> bool {
    read_text_given(path, MAX_KEY).is_ok_and(|text| text.contains("BEGIN PUBLIC KEY"))
}

pub(crate) fn module_key_failure(error: &ModuleKeyError) -> Failure {
    match error {
        ModuleKeyError::File(error @ KeyFileError::Private { .. }) => Failure::of(Exit::Malformed, error),
        ModuleKeyError::File(error) => key_failure(error),
        ModuleKeyError::Traditional { path, .. } => Failure::of(Exit::Malformed, error)
            .hint(format!("openssl pkcs8 -topk8 -in {} -out NEW.key && chmod 600 NEW.key", path.display())),
        ModuleKeyError::NoPassphrase { .. } => Failure::of(Exit::Trust, error)
            .hint("set KBUILD_SIGN_PIN, or run the command at a terminal; what signs modules also takes --module-passphrase FILE"),
        ModuleKeyError::WrongPassphrase { .. } | ModuleKeyError::Replaced { .. } => {
            Failure::of(Exit::Trust, error)
        }
        ModuleKeyError::Kind { .. } => Failure::of(Exit::Malformed, error)
            .hint("`stap-bundle key generate --module` makes one that kernels take"),
        _ => Failure::of(Exit::Malformed, error),
    }
}

pub(crate) fn module_sign_failure(error: &ModuleSignError) -> Failure {
    match error {
        ModuleSignError::Key(error) => module_key_failure(error),
        ModuleSignError::Module { .. } => Failure::of(Exit::Storage, error),
        _ => Failure::of(Exit::NoBundle, error),
    }
}

pub(crate) fn generate_failure(error: &GenerateError) -> Failure {
    match error {
        GenerateError::File(error) => key_failure(error),
        GenerateError::Key(error) => module_key_failure(error),
        GenerateError::OtherIssuer | GenerateError::NoCa | GenerateError::SameName(_) => {
            Failure::of(Exit::Usage, error)
        }
        _ => Failure::of(Exit::Failed, error),
    }
}
