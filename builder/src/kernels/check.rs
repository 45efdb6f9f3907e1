//! Checking a package before it is unpacked.
//!
//! Signatures by `OpenPGP` are checked by `gpgv`, the program by which apt checks them: one implementation decides on both sides. What decides is its exit code, its line GOODSIG, and VALIDSIG, which names the key.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::Digest;
use child::{Cancel, ChildCommand, Limits, Program};
use tempfile::TempDir;

use super::error::{KernelStoreError, PackageRefusal};
use super::packing::{digest_from, plain_index};
use super::record::{Checked, PackageFormat};
use super::rpm::{Head, decoded};

const GPGV: &str = "gpgv";
/// Time for one signature; a package of a gigabyte takes some seconds.
const LIMIT: Duration = Duration::from_secs(600);
/// Most bytes of an `InRelease` file; Debian's has 200 KB.
const MAX_RELEASE: u64 = 16 << 20;
/// Most bytes of a line of an index.
const MAX_LINE: u64 = 1 << 20;
const SIGNED_TEXT: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const ARMOUR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// By what packages are checked.
#[derive(Debug, Default)]
pub struct PackageChecks {
    keyrings: Vec<PathBuf>,
    /// Digests that signed indexes have, with the key that signed.
    indexed: Vec<(String, HashSet<Digest>)>,
    listed: Option<BTreeSet<Digest>>,
    /// Whether an `InRelease` file was given.
    has_releases: bool,
    /// Keyrings as gpgv reads them, and files for it.
    directory: Option<TempDir>,
}

impl PackageChecks {
    /// Reads keyrings (binary or in armour), `InRelease` and `Packages` files, and lists of digests as `sha256sum` writes
    /// them.
    pub fn read(
        keyrings: &[PathBuf],
        indexes: &[PathBuf],
        lists: &[PathBuf],
    ) -> Result<Self, KernelStoreError> {
        let mut checks = Self::default();
        if !keyrings.is_empty() {
            let directory = tempfile::tempdir()
                .map_err(KernelStoreError::storage("make a directory in", std::env::temp_dir()))?;
            for (number, path) in keyrings.iter().enumerate() {
                let unusable = |why: String| KernelStoreError::Keyring { path: path.clone(), why };
                let bytes = files::read::read_given(path, MAX_RELEASE)
                    .map_err(|error| unusable(error.to_string()))?;
                let bytes =
                    without_armour(&bytes).ok_or_else(|| unusable("its armour is damaged".to_owned()))?;
                let place = directory.path().join(format!("keyring-{number}"));
                std::fs::write(&place, bytes).map_err(KernelStoreError::storage("write", &place))?;
                checks.keyrings.push(place);
            }
            checks.directory = Some(directory);
        }
        checks.read_indexes(indexes)?;
        for path in lists {
            let unusable = |why: String| KernelStoreError::Index { path: path.clone(), why };
            let text = files::read::read_text_given(path, MAX_RELEASE)
                .map_err(|error| unusable(error.to_string()))?;
            let listed: BTreeSet<Digest> = text
                .lines()
                .filter_map(|line| {
                    line.split_ascii_whitespace().next()?.trim_start_matches('\\').parse().ok()
                })
                .collect();
            if listed.is_empty() {
                return Err(unusable("it has no lines as `sha256sum` writes them".to_owned()));
            }
            checks.listed.get_or_insert_default().extend(listed);
        }
        Ok(checks)
    }

    fn read_indexes(&mut self, indexes: &[PathBuf]) -> Result<(), KernelStoreError> {
        let mut releases: Vec<(String, String)> = Vec::new();
        let mut packages = Vec::new();
        for path in indexes {
            let unusable = |why: String| KernelStoreError::Index { path: path.clone(), why };
            let mut start = Vec::new();
            let opened = files::read::open(path).map_err(|error| unusable(error.to_string()))?;
            opened.take(64).read_to_end(&mut start).map_err(|error| unusable(error.to_string()))?;
            if !start.starts_with(SIGNED_TEXT) {
                packages.push(path);
                continue;
            }
            if self.keyrings.is_empty() {
                return Err(unusable("its signature needs a keyring (--keyring)".to_owned()));
            }
            releases.push(self.signed_text(path)?);
        }
        self.has_releases = !releases.is_empty();
        for path in packages {
            let unusable = |why: String| KernelStoreError::Index { path: path.clone(), why };
            let mut opened = files::read::open(path).map_err(|error| unusable(error.to_string()))?;
            let digest =
                digest_from(&mut opened, 0).map_err(|error| unusable(error.to_string()))?.to_string();
            let lists_it = |(_, text): &&(String, String)| {
                text.lines().any(|line| line.split_ascii_whitespace().next() == Some(digest.as_str()))
            };
            let Some((signer, _)) = releases.iter().find(lists_it) else {
                return Err(unusable(format!(
                    "its SHA-256, {digest}, is in no InRelease file that was given"
                )));
            };
            let digests = digests_in(path).map_err(|error| unusable(error.to_string()))?;
            self.indexed.push((signer.clone(), digests));
        }
        Ok(())
    }

    /// How a package file is checked, which has this digest; an error if it fails a check that was asked for.
    pub(super) fn check(
        &self,
        file: &mut File,
        format: PackageFormat,
        digest: Digest,
    ) -> Result<Result<Checked, PackageRefusal>, KernelStoreError> {
        if self.listed.as_ref().is_some_and(|listed| listed.contains(&digest)) {
            return Ok(Ok(Checked::DigestList));
        }
        if let Some((signer, _)) = self.indexed.iter().find(|(_, digests)| digests.contains(&digest)) {
            return Ok(Ok(Checked::Index { signer: signer.clone() }));
        }
        match format {
            PackageFormat::Rpm if !self.keyrings.is_empty() => self.check_rpm(file),
            _ if self.listed.is_some() || !self.indexed.is_empty() => {
                Ok(Err(PackageRefusal::NotListed { found: digest.to_string() }))
            }
            PackageFormat::Deb if !self.keyrings.is_empty() || self.has_releases => {
                Ok(Err(PackageRefusal::NoIndex))
            }
            _ => Ok(Ok(Checked::Unverified)),
        }
    }

    fn check_rpm(&self, file: &mut File) -> Result<Result<Checked, PackageRefusal>, KernelStoreError> {
        let head = match Head::read(file) {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let of_header = head.header_signatures();
        let of_all = head.whole_signatures();
        // A signed header vouches for the payload by its digest; before RPM 4.14 it had none.
        let (signatures, data) = if head.payload_digest().is_some() && !of_header.is_empty() {
            (of_header, self.scratch("header", &mut &head.header.raw[..])?)
        } else if of_all.is_empty() {
            return Ok(Err(if of_header.is_empty() {
                PackageRefusal::Unsigned
            } else {
                PackageRefusal::HalfSigned
            }));
        } else {
            let read = file.seek(SeekFrom::Start(head.header_at));
            read.map_err(KernelStoreError::storage("read", "the package"))?;
            (of_all, self.scratch("package", file)?)
        };
        let mut last = String::new();
        for signature in signatures {
            let signature = self.scratch("signature", &mut &signature[..])?;
            match self.ask(&[signature.as_os_str(), data.as_os_str()])? {
                Ok(signer) => return Ok(Ok(Checked::Signature { signer })),
                Err(said) => last = said,
            }
        }
        Ok(Err(PackageRefusal::Signature { said: last }))
    }

    /// The key that signed an `InRelease` file, and what it signed.
    fn signed_text(&self, path: &Path) -> Result<(String, String), KernelStoreError> {
        let unusable = |why: String| KernelStoreError::Index { path: path.to_owned(), why };
        let output = self.place("release");
        let asked = self.ask(&["--output".as_ref(), output.as_os_str(), path.as_os_str()])?;
        let signer =
            asked.map_err(|said| unusable(format!("its signature is by no key of the keyring: {said}")))?;
        let text =
            files::read::read_text(&output, MAX_RELEASE).map_err(|error| unusable(error.to_string()))?;
        Ok((signer, text))
    }

    /// The fingerprint of the key that signed, or what gpgv said.
    fn ask(&self, args: &[&std::ffi::OsStr]) -> Result<Result<String, String>, KernelStoreError> {
        let program =
            Program::find(GPGV).map_err(|source| KernelStoreError::NoVerifier { program: GPGV, source })?;
        let mut command = ChildCommand::of(&program).args(["--status-fd", "1", "--homedir"]);
        command = command.arg(self.place("").as_os_str());
        for keyring in &self.keyrings {
            command = command.arg("--keyring").arg(keyring);
        }
        let finished = command.args(args).run(&Limits::within(LIMIT), &Cancel::new());
        let finished = finished.map_err(|source| KernelStoreError::NoVerifier { program: GPGV, source })?;
        let status = finished.stdout.text();
        let valid =
            status.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG ")?.split(' ').next());
        // Of a key that was revoked or has expired there is VALIDSIG, and no GOODSIG.
        let is_good = status.lines().any(|line| line.starts_with("[GNUPG:] GOODSIG "));
        Ok(match valid {
            Some(signer) if finished.status.success() && is_good => Ok(signer.to_owned()),
            _ => {
                let said = finished.stderr.text();
                Err(crate::words::quoted(
                    said.lines().last().unwrap_or("nothing").trim_start_matches("gpgv: "),
                ))
            }
        })
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.as_ref().map(|directory| directory.path().join(name)).unwrap_or_default()
    }

    /// A file with these bytes for gpgv.
    fn scratch(&self, name: &str, bytes: &mut impl io::Read) -> Result<PathBuf, KernelStoreError> {
        let place = self.place(name);
        let written = File::create(&place).and_then(|mut file| io::copy(bytes, &mut file));
        written.map_err(KernelStoreError::storage("write", &place))?;
        Ok(place)
    }
}

/// The digests of packages in a Packages file.
fn digests_in(path: &Path) -> io::Result<HashSet<Digest>> {
    let mut index = BufReader::new(plain_index(path)?);
    let mut digests = HashSet::new();
    let mut line = String::new();
    while index.by_ref().take(MAX_LINE).read_line(&mut line)? > 0 {
        let digest = line.strip_prefix("SHA256:").and_then(|digest| digest.trim().parse::<Digest>().ok());
        digests.extend(digest);
        line.clear();
    }
    Ok(digests)
}

/// A keyring as gpgv reads it.
fn without_armour(bytes: &[u8]) -> Option<Vec<u8>> {
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.contains(ARMOUR)) else {
        return Some(bytes.to_owned());
    };
    let mut keys = Vec::new();
    for block in text.split(ARMOUR).skip(1) {
        // Headers end with an empty line; the last line is a checksum.
        let block = block.split("-----END").next()?.replace('\r', "");
        let (_, body) = block.trim_start_matches(' ').split_once("\n\n")?;
        let body: String = body.lines().filter(|line| !line.starts_with('=')).collect();
        keys.extend(decoded(&body)?);
    }
    Some(keys)
}
