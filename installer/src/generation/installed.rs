//! Installed bundles whose signatures hold.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::{Arc, OnceLock};

use bundle_format::{
    BundleError, BundleId, BundleName, BundleVersion, Digest, Extent, KernelId, KeyId, Manifest, RawBundle,
    TrustedKeys, Twin, VerifiedBundle,
};
use files::{Directory, FileError, optional};

use crate::generation::refused::BundleRefusal;
use crate::host::Domain;
use crate::host::paths::{BASE_FILE, BUNDLE_FILE, ROOT_RECORD, SETS};
use crate::trust::{HostTrust, RootRecord, recorded_root};

/// An installed bundle whose signatures hold.
#[derive(Debug)]
pub struct InstalledBundle {
    pub name: BundleName,
    /// The domain that owns its name, whose keys judged it.
    pub domain: Domain,
    /// Its version for people.
    pub version: BundleVersion,
    pub serial: u64,
    pub id: BundleId,
    /// Seconds since 1970, as signed.
    pub created: u64,
    /// Seconds since 1970 after which it should be replaced, as signed.
    pub best_before: Option<u64>,
    /// Trusted keys whose signatures hold.
    pub signers: Vec<KeyId>,
    /// The signed account.
    pub manifest: Arc<Manifest>,
    /// The root by which it was accepted; `None` where a pin was enough.
    pub root: Option<RootRecord>,
    /// What judged it just now.
    trusted: TrustedKeys,
    directory: Directory,
    sets: OnceLock<Option<(Directory, BTreeSet<String>)>>,
}

impl InstalledBundle {
    /// Reads the kept file from its first byte to its last.
    pub(crate) fn check_kept(&self) -> Result<(), BundleError> {
        self.verified()?.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(())).map(|_| ())
    }

    /// The kept file, proven once more, for who reads its content.
    pub fn verified(&self) -> Result<VerifiedBundle<File>, BundleError> {
        let file = self.kept().map_err(|error| BundleError::Receiver(Box::new(error)))?;
        RawBundle::read(file)?.verify(&self.trusted)
    }

    /// What judges this bundle if it comes once more: not the newest root, but the one that accepted it.
    pub(crate) const fn trusted(&self) -> &TrustedKeys {
        &self.trusted
    }

    /// The bundle as it arrived: a source for installing more of its kernels.
    pub fn kept(&self) -> Result<File, FileError> {
        self.directory.open_file(BUNDLE_FILE)
    }

    /// The full bundle that a delta was made from, where it is kept beside it.
    pub(crate) fn kept_base(&self) -> Result<File, FileError> {
        self.directory.open_file(BASE_FILE)
    }

    /// The directory of its files.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The directory of its SET.json files and their names, read once: of a bundle's many kernels, few are unpacked.
    fn sets(&self) -> Result<Option<&(Directory, BTreeSet<String>)>, FileError> {
        if let Some(known) = self.sets.get() {
            return Ok(known.as_ref());
        }
        let sets = optional(self.directory.open_dir(SETS))?;
        let found = sets.map(|sets| sets.entries().map(|names| (sets, names.into_iter().collect())));
        let found = found.transpose()?;
        Ok(self.sets.get_or_init(|| found).as_ref())
    }

    /// The raw SET.json at `position` among the sets of `kernel`; `None` if it wasn't unpacked.
    pub(crate) fn raw_set(&self, kernel: &KernelId, position: usize) -> Result<Option<Vec<u8>>, FileError> {
        let Some((sets, names)) = self.sets()? else { return Ok(None) };
        let name = set_file_name(kernel, position);
        if names.contains(&name) { sets.read_file(&name, MAX_SET).map(Some) } else { Ok(None) }
    }
}

/// Most bytes of a SET.json: its frame's plain tar holds it.
pub(crate) const MAX_SET: u64 = bundle_format::limits::MAX_PLAIN_FRAME;

/// The file of a SET.json in `sets/`. A kernel with more modules than one frame takes has several.
pub(crate) fn set_file_name(kernel: &KernelId, position: usize) -> String {
    match position {
        0 => format!("{}.json", kernel.short()),
        later => format!("{}.{}.json", kernel.short(), later + 1),
    }
}

pub(super) fn read_bundle(
    all: &Directory,
    name: &str,
    trust: &HostTrust,
    known: Option<&Twin>,
) -> Result<InstalledBundle, BundleRefusal> {
    let directory = all.open_dir(name)?;
    let root = recorded_root(&directory, ROOT_RECORD)?;
    let owner = trust.owner(name)?;
    let judged = || -> Result<_, BundleRefusal> {
        let trusted = owner.for_installed(root.as_ref())?;
        let verified = RawBundle::read(directory.open_file(BUNDLE_FILE)?)?.verify_again(&trusted, known)?;
        Ok((trusted, verified))
    };
    let (trusted, verified) = judged().map_err(|refusal| {
        let signed_in = refusal.signed_in(trust, owner.domain(), root.as_ref());
        signed_in.map_or(refusal, |domain| trust.not_owned(name, domain).into())
    })?;
    let manifest = verified.shared_manifest();
    if manifest.name.as_str() != name {
        return Err(BundleRefusal::Name { found: manifest.name.clone() });
    }
    Ok(InstalledBundle {
        name: manifest.name.clone(),
        domain: owner.domain().clone(),
        version: manifest.version.clone(),
        serial: manifest.serial,
        id: verified.id(),
        created: manifest.created,
        best_before: manifest.best_before,
        signers: verified.signers().to_vec(),
        manifest,
        root,
        trusted,
        directory,
        sets: OnceLock::new(),
    })
}

/// The digest that the manifest has for the set at `position` of `kernel`.
pub(crate) fn set_digest(manifest: &Manifest, kernel: &KernelId, position: usize) -> Option<Digest> {
    let kernel = manifest.kernels.iter().find(|candidate| candidate.id == *kernel)?;
    kernel.frames.get(position).map(|frame| frame.set_sha256)
}
