//! The bundle that a farm wrote last under a name, kept in its cache, so that nothing is packed again if nothing changed.
//!
//! A bundle's bytes mustn't depend on what this farm built before. So its frames are copied only if all of them would be
//! packed again, in the same order, by the same version of this program, and if it was itself packed without an older
//! bundle: then packing gives what is there already.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bundle_format::{BundleDraft, BundleName, TrustedKeys, VerifiedBundle};
use files::FileError;
use files::read::open_given;
use signing::PrivateKeyFile;
use tempfile::NamedTempFile;

use crate::trust_options::open_verified;

/// Where the bundle of a name is kept.
fn place(cache: &Path, name: &BundleName) -> PathBuf {
    cache.join("packed").join(env!("CARGO_PKG_VERSION")).join(format!("{name}.stapb"))
}

/// The kept bundle, if all frames of `draft` are in it and one of `keys` has signed it. One that can't be read is like none.
pub(super) fn find(
    cache: &Path,
    name: &BundleName,
    draft: &BundleDraft,
    keys: &[PrivateKeyFile],
) -> Option<VerifiedBundle<File>> {
    let path = place(cache, name);
    if keys.is_empty() || !path.is_file() {
        return None;
    }
    let trusted = TrustedKeys::any_of(keys.iter().map(|key| key.public().clone()));
    let kept = open_verified(&path.into(), &trusted).ok()?;
    draft.has_frames_of(kept.manifest()).ok()?.then_some(kept)
}

/// Keeps a copy of a bundle that was packed without an older one, or whose frames were all copied from the kept one.
pub(super) fn keep(cache: &Path, name: &BundleName, bundle: &Path) -> io::Result<()> {
    let path = place(cache, name);
    let directory = path.parent().unwrap_or(cache);
    fs::create_dir_all(directory)?;
    let mut copy = NamedTempFile::new_in(directory)?;
    io::copy(&mut open_given(bundle).map_err(FileError::into_source)?, &mut copy)?;
    copy.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bundle_format::{Digest, KernelDraft, ModuleDraft, ScriptRecord, Toolchain};
    use signing::KeyPairFiles;

    use super::*;

    fn draft(module: &[u8]) -> BundleDraft {
        let mut kernel = KernelDraft::of("6.12.1-test".parse().unwrap(), "x86_64".parse().unwrap());
        kernel.vermagic = Some("6.12.1-test SMP ".to_owned());
        kernel.modules = vec![ModuleDraft::of_bytes("a".parse().unwrap(), module.to_vec())];
        BundleDraft {
            name: "fleet".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            serial: 7,
            created: 7,
            best_before: None,
            roots: None,
            scripts: vec![ScriptRecord::plain("a".parse().unwrap(), Digest::of(b"a"))],
            toolchains: vec![Toolchain {
                stap: "5.6".to_owned(),
                compiler: "gcc 15".to_owned(),
                digest: Digest::of(b"toolchain"),
            }],
            kernels: vec![kernel],
        }
    }

    #[test]
    fn only_the_same_frames_of_the_same_signer_are_taken() {
        let cache = tempfile::tempdir().unwrap();
        let new_key =
            |name: &str| PrivateKeyFile::create(&KeyPairFiles::named(&cache.path().join(name))).unwrap();
        let keys = [new_key("farm")];
        let name = "fleet".parse().unwrap();
        let unsigned = draft(b"module").pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
        let mut bytes = Vec::new();
        signing::sign_with_all(&keys, unsigned).unwrap().write_to(&mut bytes).unwrap();
        let path = cache.path().join("fleet.stapb");
        fs::write(&path, &bytes).unwrap();
        let found =
            |draft: &BundleDraft, keys: &[PrivateKeyFile]| find(cache.path(), &name, draft, keys).is_some();
        assert!(!found(&draft(b"module"), &keys));
        keep(cache.path(), &name, &path).unwrap();
        assert!(found(&draft(b"module"), &keys));
        assert!(!found(&draft(b"edited"), &keys));
        assert!(!found(&draft(b"module"), &[new_key("other")]) && !found(&draft(b"module"), &[]));
        fs::write(place(cache.path(), &name), &bytes[..bytes.len() / 3]).unwrap();
        assert!(!found(&draft(b"module"), &keys));
    }
}
