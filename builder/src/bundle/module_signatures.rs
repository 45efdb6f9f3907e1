//! Kernel signatures of a bundle's modules, and a bundle's draft made again from the bundle, to sign its modules.
//!
//! A body is never changed: its signature goes into SET.json as a trailer (`docs/bundle-spec.md`, 8.4).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bundle_format::{
    BundleDraft, BundleError, Extent, Kernel, KernelDraft, Manifest, ModuleDraft, RootChain, Subject,
    VerifiedBundle, VerifiedSet, module_certificate_name, provenance_subjects,
};
use files::FileError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signing::{ModuleCertificate, ModuleSignError, ModuleSigner};

use crate::results::CachedModule;

/// Adds the trailer of each signer to each module of `draft`; one that is there by the same certificate is replaced.
pub fn sign_modules(draft: &mut BundleDraft, signers: &[ModuleSigner]) -> Result<(), ModuleSignError> {
    for signer in signers {
        let certificate = signer.certificate().id();
        let modules: Vec<&ModuleDraft> = draft.kernels.iter().flat_map(|kernel| &kernel.modules).collect();
        let trailers = signer.trailers(&modules)?;
        let modules = draft.kernels.iter_mut().flat_map(|kernel| &mut kernel.modules);
        for (module, trailer) in modules.zip(trailers) {
            let all = &mut module.record.trailers;
            all.retain(|other| other.certificate != certificate);
            all.push(trailer);
            all.sort_by_key(|trailer| trailer.certificate);
        }
    }
    Ok(())
}

/// Makes certificates members of a bundle, beside those that it has.
pub fn add_certificates<'c>(
    extras: &mut Vec<(String, Vec<u8>)>,
    certificates: impl IntoIterator<Item = &'c ModuleCertificate>,
) {
    for certificate in certificates {
        let name = module_certificate_name(&certificate.id());
        extras.retain(|(other, _)| *other != name);
        extras.push((name, certificate.der().to_vec()));
    }
}

/// A provenance, made one of the frames that `manifest` has now; what it says of their making stays. The key that signs the manifest
/// vouches for it.
pub fn provenance_of_frames(raw: &[u8], manifest: &Manifest) -> serde_json::Result<Vec<u8>> {
    let mut statement: Statement<'_> = serde_json::from_slice(raw)?;
    statement.subject = provenance_subjects(manifest);
    serde_json::to_vec(&statement)
}

#[derive(Serialize, Deserialize)]
struct Statement<'r> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: &'r RawValue,
}

/// Why a bundle's modules can't be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedraftError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It refers to another one, whose frames would have to be signed with it.
    #[error("it is a delta; sign the modules of the full bundle, and make the delta of two signed ones")]
    Delta,
    /// Not written by this version.
    #[error("it has a shared uprobes.ko, as kernels before 3.5 need; such bundles can't be made again")]
    Uprobes,
}

/// The draft that `bundle` was packed of. Its modules are unpacked into `directory`, which must live as long as the draft.
pub fn redraft(bundle: VerifiedBundle<File>, directory: &Path) -> Result<BundleDraft, RedraftError> {
    let manifest = bundle.shared_manifest();
    if manifest.from.is_some() {
        return Err(RedraftError::Delta);
    }
    let roots = bundle.roots()?;
    let mut kernels: Vec<KernelDraft> = manifest.kernels.iter().map(kernel_draft).collect();
    let wanted: BTreeSet<_> = manifest.kernels.iter().map(|kernel| kernel.id).collect();
    let mut has_uprobes = false;
    let mut receive = |kernel: &Kernel, set: &VerifiedSet<'_>| {
        has_uprobes |= set.uprobes().is_some();
        let Some(draft) = kernels.iter_mut().find(|draft| draft.id() == kernel.id) else { return Ok(()) };
        for module in set.modules() {
            let path = directory.join(module.record.sha256.to_string());
            std::fs::write(&path, module.bytes).map_err(|error| FileError::new("write", &path, error))?;
            draft
                .modules
                .push(ModuleDraft { record: module.record.clone(), bytes: Arc::new(CachedModule(path)) });
        }
        Ok(())
    };
    bundle.read_content(&wanted, Extent::Everything, &mut receive)?;
    if has_uprobes {
        return Err(RedraftError::Uprobes);
    }
    Ok(draft_of(&manifest, roots, kernels))
}

fn draft_of(manifest: &Manifest, roots: Option<RootChain>, kernels: Vec<KernelDraft>) -> BundleDraft {
    BundleDraft {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        serial: manifest.serial,
        created: manifest.created,
        best_before: manifest.best_before,
        roots,
        scripts: manifest.scripts.clone(),
        toolchains: manifest.toolchains.clone(),
        kernels,
    }
}

fn kernel_draft(kernel: &Kernel) -> KernelDraft {
    KernelDraft {
        release: kernel.release.clone(),
        machine: kernel.machine.clone(),
        uname_v: kernel.uname_v.clone(),
        symvers_sha256: kernel.symvers_sha256,
        config_sha256: kernel.config_sha256,
        compiler: kernel.compiler.clone(),
        modules_compiler: kernel.modules_compiler.clone(),
        vermagic: kernel.vermagic.clone(),
        toolchain: kernel.toolchain,
        modules: Vec::new(),
        red: kernel.red.clone(),
    }
}
