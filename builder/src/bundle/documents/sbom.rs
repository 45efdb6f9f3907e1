//! The bill of materials: SPDX 2.3 in JSON.

use std::collections::BTreeMap;

use bundle_format::{Digest, Kernel, KernelRelease, Manifest, SBOM_NAME};
use serde::Serialize;

use super::error::DocumentError;
use super::provenance::VERSION;
use crate::inputs::{KernelOrigin, Package};

/// What SPDX writes where nothing is asserted.
const NO_ASSERTION: &str = "NOASSERTION";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sbom {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: CreationInfo,
    packages: Vec<SpdxPackage>,
    relationships: Vec<Relationship>,
}

#[derive(Debug, Serialize)]
struct CreationInfo {
    created: String,
    creators: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    name: String,
    #[serde(rename = "SPDXID")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<ExternalRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Debug, Serialize)]
struct ExternalRef {
    #[serde(rename = "referenceCategory")]
    category: &'static str,
    #[serde(rename = "referenceType")]
    kind: &'static str,
    #[serde(rename = "referenceLocator")]
    locator: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: String,
    related_spdx_element: String,
    #[serde(rename = "relationshipType")]
    kind: &'static str,
}

impl SpdxPackage {
    fn new(id: String, name: String, version: Option<String>) -> Self {
        Self {
            name,
            id,
            version_info: version,
            download_location: NO_ASSERTION,
            files_analyzed: false,
            license_concluded: NO_ASSERTION,
            license_declared: NO_ASSERTION,
            copyright_text: NO_ASSERTION,
            checksums: Vec::new(),
            external_refs: Vec::new(),
            comment: None,
        }
    }

    fn digest(mut self, digest: Digest) -> Self {
        self.checksums.push(Checksum { algorithm: "SHA256", checksum_value: digest.to_string() });
        self
    }

    /// Where a package of a distribution is to be had, by its package URL.
    fn located(mut self, package: &Package) -> Self {
        self.external_refs.push(ExternalRef {
            category: "PACKAGE-MANAGER",
            kind: "purl",
            locator: package.url(),
        });
        self
    }

    fn comment(mut self, comment: String) -> Self {
        self.comment = Some(comment);
        self
    }
}

pub(super) const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const BUNDLE: &str = "SPDXRef-Bundle";

pub(super) fn of(
    manifest: &Manifest,
    of_kernels: &BTreeMap<KernelRelease, KernelOrigin>,
) -> Result<Sbom, DocumentError> {
    let mut packages = vec![SpdxPackage::new(
        BUNDLE.to_owned(),
        manifest.name.to_string(),
        Some(manifest.version.to_string()),
    )];
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", BUNDLE)];
    // Identifiers know no `_`, so scripts are numbered.
    for (number, script) in manifest.scripts.iter().enumerate() {
        let id = format!("SPDXRef-Script-{number}");
        relationships.push(relation(BUNDLE, "GENERATED_FROM", &id));
        packages
            .push(SpdxPackage::new(id, format!("{}.stp", script.name), None).digest(script.source_sha256));
    }
    for (number, program) in manifest.programs().into_iter().enumerate() {
        let id = format!("SPDXRef-Program-{number}");
        relationships.push(relation(&id, "BUILD_DEPENDENCY_OF", BUNDLE));
        let package = SpdxPackage::new(id, program.path.clone(), None).digest(program.sha256);
        packages.push(package.comment(format!("probed by scripts; build id {}", program.build_id)));
    }
    for (number, toolchain) in manifest.toolchains.iter().enumerate() {
        let tools = [
            ("Systemtap", "systemtap", &toolchain.stap),
            ("Compiler", "compiler of systemtap's own checks", &toolchain.compiler),
        ];
        for (part, name, version) in tools {
            let id = format!("SPDXRef-{part}-{number}");
            relationships.push(relation(&id, "BUILD_TOOL_OF", BUNDLE));
            let package = SpdxPackage::new(id, name.to_owned(), Some(version.clone()));
            packages.push(package.comment(format!("digest of the toolchain: {}", toolchain.digest)));
        }
    }
    for (number, (compiler, kernels)) in manifest.modules_compilers().into_iter().enumerate() {
        let id = format!("SPDXRef-ModuleCompiler-{number}");
        relationships.push(relation(&id, "BUILD_TOOL_OF", BUNDLE));
        let package = SpdxPackage::new(id, "compiler".to_owned(), Some(compiler.to_owned()));
        let releases: Vec<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
        packages.push(package.comment(format!("compiled the modules for kernels {}", releases.join(", "))));
    }
    for (number, kernel) in manifest.kernels_by_release().into_iter().enumerate() {
        // One of which nothing is known had no build tree.
        if kernel.frames.is_empty() && kernel.symvers_sha256.is_none() && kernel.config_sha256.is_none() {
            continue;
        }
        let unknown = KernelOrigin::default();
        let origin = of_kernels.get(&kernel.release).unwrap_or(&unknown);
        let id = |place: usize| format!("SPDXRef-Kernel-{number}-{place}");
        let known = origin.packages.iter().enumerate();
        let mut of_kernel: Vec<SpdxPackage> =
            known.map(|(place, package)| kernel_package(id(place), kernel, package)).collect();
        if of_kernel.is_empty() {
            of_kernel.push(unknown_package(id(0), kernel, origin.has_unread_database));
        }
        relationships
            .extend(of_kernel.iter().map(|package| relation(&package.id, "BUILD_DEPENDENCY_OF", BUNDLE)));
        packages.extend(of_kernel);
    }
    let mut sbom = Sbom {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("{}-{}", manifest.name, manifest.version),
        document_namespace: String::new(),
        creation_info: CreationInfo {
            created: timestamp(manifest.created)?,
            creators: vec![format!("Tool: stap-bundle-{VERSION}")],
        },
        packages,
        relationships,
    };
    let written =
        serde_json::to_vec(&sbom).map_err(|source| DocumentError::Write { name: SBOM_NAME, source })?;
    sbom.document_namespace = namespace(&written);
    Ok(sbom)
}

fn kernel_package(id: String, kernel: &Kernel, package: &Package) -> SpdxPackage {
    let release = &kernel.release;
    let spdx = SpdxPackage::new(id, package.name.clone(), Some(package.version.clone())).located(package);
    match &package.file {
        None => spdx.comment(format!("build tree of kernel {release}, id {}", kernel.id)),
        Some((digest, checked)) => {
            let comment = format!("package of kernel {release}, id {}; {}", kernel.id, checked.in_words());
            spdx.digest(*digest).comment(comment)
        }
    }
}

/// For a build tree that no package is known of.
fn unknown_package(id: String, kernel: &Kernel, has_unread_database: bool) -> SpdxPackage {
    let release = &kernel.release;
    let unread = "; the sysroot has an rpm database that no rpm could read, so its packages are unknown";
    let unread = if has_unread_database { unread } else { "" };
    let comment = format!("build tree of kernel {release}, id {}{unread}", kernel.id);
    SpdxPackage::new(id, format!("kernel headers of {release}"), None).comment(comment)
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship { spdx_element_id: from.to_owned(), related_spdx_element: to.to_owned(), kind }
}

/// A UUID of version 8 (RFC 9562: ours to define), made of the document that still lacks it: another document has another.
fn namespace(written: &[u8]) -> String {
    let hash = Digest::of(written).to_string();
    let mut text = String::from("urn:uuid:");
    for (position, digit) in hash.chars().take(32).enumerate() {
        if matches!(position, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(match position {
            12 | 16 => '8', // version 8, variant 10
            _ => digit,
        });
    }
    text
}

fn timestamp(created: u64) -> Result<String, DocumentError> {
    let no_date = || DocumentError::NoDate { created };
    let seconds = i64::try_from(created).map_err(|_| no_date())?;
    let time = jiff::Timestamp::from_second(seconds).map_err(|_| no_date())?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
