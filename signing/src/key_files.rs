//! Key files: `NAME.key` (0600) and `NAME.pub` (0644), never overwritten.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bundle_format::{KeyError, KeyId, Payload, PublicKey, Role};
use rustix::fs::{Mode, OFlags};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::closed_memory::{close_memory, without_traces};
use crate::signing_key::{SigningKey, SigningKeyError};

/// A key file is less than 200 bytes; a larger one is something else.
const MAX_KEY_FILE: usize = 16 << 10;

/// Why a key file couldn't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system said no.
    #[error("{path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A key of that name exists already.
    #[error("{path} exists already; a key is never overwritten")]
    Exists { path: PathBuf },
    /// Others than the owner can read the private key.
    #[error("private key {path} has mode {mode:04o}, expected 0600: others on this machine can read it")]
    Readable { path: PathBuf, mode: u32 },
    /// A pipe or a device can't be read a second time, when it signs.
    #[error(
        "private key {path} is not a regular file; a key is read once before the work begins, and again when it signs"
    )]
    NotAFile { path: PathBuf },
    /// Another key has taken its place since it was looked at.
    #[error("private key {path} was replaced meanwhile: its key id is {found}, expected {expected}")]
    Replaced {
        path: PathBuf,
        /// The key id of the key that was there first.
        expected: KeyId,
        /// The key id of the one that is there now.
        found: KeyId,
    },
    /// Other processes could read the key, so it isn't read.
    #[error("this process's memory can't be closed to others, so no private key is read")]
    Memory {
        #[source]
        source: io::Error,
    },
    /// Not a private key.
    #[error("{path}")]
    Private {
        path: PathBuf,
        #[source]
        source: SigningKeyError,
    },
    /// Not a public key.
    #[error("{path}")]
    Public {
        path: PathBuf,
        #[source]
        source: KeyError,
    },
}

impl KeyFileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
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
        Self { private: with_suffix(name, ".key"), public: with_suffix(name, ".pub") }
    }
}

/// The name with this behind it, whatever dots it has.
pub(crate) fn with_suffix(name: &Path, suffix: &str) -> PathBuf {
    let mut text = OsString::from(name);
    text.push(suffix);
    PathBuf::from(text)
}

/// A private key in its file. It is usable, as far as a look has shown; it is in memory only while it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateKeyFile {
    path: PathBuf,
    public: PublicKey,
}

impl PrivateKeyFile {
    /// Looks whether there is a usable private key at `path` that nobody else can read, and forgets it again.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let public = with_secret(path, |key| key.public().clone())?;
        Ok(Self { path: path.to_owned(), public })
    }

    /// Makes a new key pair and writes both halves; makes the directory (0700) if it isn't there.
    pub fn create(files: &KeyPairFiles) -> Result<Self, KeyFileError> {
        let private = &files.private;
        close_memory().map_err(|source| KeyFileError::Memory { source })?;
        let public = without_traces(|| {
            let key = SigningKey::generate()
                .map_err(|source| KeyFileError::Private { path: private.clone(), source })?;
            write_key_pair(&key, files).map(|()| key.public().clone())
        })?;
        Ok(Self { path: private.clone(), public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Where the private half is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// This key's signature over `message`. Reads the key for it, and wipes it afterwards; refuses a key that isn't the one
    /// that was there at first.
    pub(crate) fn signature(&self, message: &[u8]) -> Result<[u8; 64], KeyFileError> {
        let signed = with_secret(&self.path, |key| {
            if *key.public() == self.public { Ok(key.signature(message)) } else { Err(key.public().id()) }
        })?;
        signed.map_err(|found| KeyFileError::Replaced {
            path: self.path.clone(),
            expected: self.public.id(),
            found,
        })
    }

    /// This key's signature of a checked payload, for [`Payload::attach`].
    pub fn sign_payload<S>(&self, payload: &Payload<S>) -> Result<(PublicKey, [u8; 64]), KeyFileError> {
        Ok((self.public.clone(), self.signature(&payload.message())?))
    }

    /// This key's signature of a build's result, which is none of a bundle.
    pub fn sign_result(&self, result: &[u8]) -> Result<[u8; 64], KeyFileError> {
        self.signature(&Role::BuildResult.signed_message(result))
    }
}

/// Writes both halves of `key`; makes the directory (0700) if it isn't there.
pub(crate) fn write_key_pair(key: &SigningKey, files: &KeyPairFiles) -> Result<(), KeyFileError> {
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
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), KeyFileError> {
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
    files::read::sync_directory(directory).map_err(|error| failed(error.into_source()))
}

/// Reads the private key at `path` for `act`, in memory that is closed to others, and leaves no trace of it there.
fn with_secret<T>(path: &Path, act: impl FnOnce(&SigningKey) -> T) -> Result<T, KeyFileError> {
    close_memory().map_err(|source| KeyFileError::Memory { source })?;
    without_traces(|| read_private_key(path).map(|key| act(&key)))
}

fn read_private_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let text = read_secret_text(path)?;
    SigningKey::from_pem(&text).map_err(|source| KeyFileError::Private { path: path.to_owned(), source })
}

/// The first line of a file that nobody else can read.
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let text = read_secret_text(path)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// The text of a private key's file. Refuses one that others can read.
pub(crate) fn read_secret_text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |source: io::Error| KeyFileError::Io { path: path.to_owned(), source };
    // Not to wait for whoever writes into a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let mut file = File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Readable { path: path.to_owned(), mode });
    }
    // A buffer that grew would leave copies behind.
    let mut buffer = Zeroizing::new([0; MAX_KEY_FILE]);
    let mut len = 0;
    while let Some(room) = buffer.get_mut(len..).filter(|room| !room.is_empty()) {
        match file.read(room).map_err(failed)? {
            0 => break,
            read => len += read,
        }
    }
    let wrong = |source| KeyFileError::Private { path: path.to_owned(), source };
    let text = buffer.get(..len).map(std::str::from_utf8).and_then(Result::ok);
    let text = text.ok_or_else(|| wrong(SigningKeyError::NotPem("it is not UTF-8 text".to_owned())))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_written_once_with_its_modes() {
        let directory = tempfile::tempdir().unwrap();
        let files = KeyPairFiles::named(&directory.path().join("keys/farm"));
        let key = PrivateKeyFile::create(&files).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode(&files.private), mode(&files.public)), (0o600, 0o644));
        assert_eq!(PrivateKeyFile::open(&files.private).unwrap().public(), key.public());
        let public = || PublicKey::from_pem(&fs::read_to_string(&files.public).unwrap()).unwrap();
        assert_eq!(public(), *key.public());
        let again = PrivateKeyFile::create(&files);
        assert!(matches!(again, Err(KeyFileError::Exists { .. })));
        assert_eq!(public(), *key.public());
    }

    #[test]
    fn a_private_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = KeyPairFiles::named(&directory.path().join("farm"));
        write_key_pair(&SigningKey::generate().unwrap(), &files).unwrap();
        fs::set_permissions(&files.private, Permissions::from_mode(0o640)).unwrap();
        let error = PrivateKeyFile::open(&files.private).unwrap_err().to_string();
        assert!(error.contains("0640") && error.contains("0600"), "{error}");
    }

    #[test]
    fn refuses_a_pipe_as_private_key_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("farm.key");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(matches!(PrivateKeyFile::open(&pipe), Err(KeyFileError::NotAFile { .. })));
    }

    #[test]
    fn refuses_a_key_that_took_the_place_of_the_one_that_was_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let named = |name: &str| KeyPairFiles::named(&directory.path().join(name));
        let key = PrivateKeyFile::create(&named("farm")).unwrap();
        let other = PrivateKeyFile::create(&named("other")).unwrap();
        key.signature(b"message").unwrap();
        fs::rename(other.path(), key.path()).unwrap();
        let error = key.signature(b"message").unwrap_err().to_string();
        assert!(error.contains(&key.public().id().to_string()), "{error}");
        assert!(error.contains(&other.public().id().to_string()), "{error}");
    }

    #[test]
    fn a_signature_of_a_result_is_none_of_a_bundle() {
        let directory = tempfile::tempdir().unwrap();
        let key = PrivateKeyFile::create(&KeyPairFiles::named(&directory.path().join("builder"))).unwrap();
        let signature = key.sign_result(b"{}").unwrap();
        let holds = |role: Role| key.public().verifies(&role.signed_message(b"{}"), &signature);
        assert!(holds(Role::BuildResult) && !holds(Role::Manifest) && !holds(Role::Root));
    }
}
