//! Key files: `NAME.key` (0600) and `NAME.pub` (0644), never overwritten.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bundle_format::KeyError;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::signing_key::{SigningKey, SigningKeyError};

/// A key file is less than 200 bytes; a larger one is something else.
const MAX_KEY_FILE: u64 = 16 << 10;

/// Why a key file couldn't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system said no.
    #[error("{path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key of that name exists already.
    #[error("{path} exists already; a key is never overwritten")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Others than the owner can read the private key.
    #[error("private key {path} has mode {mode:04o}, expected 0600: others on this machine can read it")]
    Readable {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a private key.
    #[error("{path}")]
    Private {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SigningKeyError,
    },
    /// Not a public key.
    #[error("{path}")]
    Public {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
}

/// Where the two halves are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairFiles {
    /// `NAME.key`.
    pub private: PathBuf,
    /// `NAME.pub`.
    pub public: PathBuf,
}

impl KeyPairFiles {
    /// The files of the pair `name`, a path without suffix.
    #[must_use]
    pub fn named(name: &Path) -> Self {
        let with = |suffix: &str| {
            let mut text = OsString::from(name);
            text.push(suffix);
            PathBuf::from(text)
        };
        Self { private: with(".key"), public: with(".pub") }
    }
}

/// Writes both halves of `key`; makes the directory (0700) if it isn't there.
pub fn write_key_pair(key: &SigningKey, files: &KeyPairFiles) -> Result<(), KeyFileError> {
    for path in [&files.private, &files.public] {
        if path.symlink_metadata().is_ok() {
            return Err(KeyFileError::Exists { path: path.clone() });
        }
    }
    let private =
        key.to_pem().map_err(|source| KeyFileError::Private { path: files.private.clone(), source })?;
    let public = key
        .public()
        .to_pem()
        .map_err(|source| KeyFileError::Public { path: files.public.clone(), source })?;
    write_new(&files.private, private.as_bytes(), 0o600)?;
    write_new(&files.public, public.as_bytes(), 0o644)
}

/// Writes a file that appears whole or not at all, and never over another.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let failed = |source: io::Error| KeyFileError::Io { path: path.to_owned(), source };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.exists() {
        fs::create_dir_all(directory).map_err(failed)?;
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    let mut file = NamedTempFile::new_in(directory).map_err(failed)?;
    file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => failed(error.error),
    })?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// Reads a private key; refuses one that others can read.
pub fn read_private_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let failed = |source: io::Error| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable { path: path.to_owned(), mode });
    }
    let mut pem = Zeroizing::new(String::new());
    file.take(MAX_KEY_FILE).read_to_string(&mut pem).map_err(failed)?;
    SigningKey::from_pem(&pem).map_err(|source| KeyFileError::Private { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use bundle_format::PublicKey;

    use super::*;

    #[test]
    fn a_pair_is_written_once_with_its_modes() {
        let directory = tempfile::tempdir().unwrap();
        let files = KeyPairFiles::named(&directory.path().join("keys/farm"));
        let key = SigningKey::generate().unwrap();
        write_key_pair(&key, &files).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode(&files.private), mode(&files.public)), (0o600, 0o644));
        assert_eq!(read_private_key(&files.private).unwrap().public(), key.public());
        let public = || PublicKey::from_pem(&fs::read_to_string(&files.public).unwrap()).unwrap();
        assert_eq!(public(), *key.public());
        let again = write_key_pair(&SigningKey::generate().unwrap(), &files);
        assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        assert_eq!(public(), *key.public());
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = KeyPairFiles::named(&directory.path().join("farm"));
        write_key_pair(&SigningKey::generate().unwrap(), &files).unwrap();
        fs::set_permissions(&files.private, Permissions::from_mode(0o640)).unwrap();
        let error = read_private_key(&files.private).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("0600"), "{error}");
    }
}
