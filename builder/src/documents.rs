//! What a bundle says of its making: a bill of materials (SPDX 2.3) and a provenance (in-toto Statement v1 with the SLSA
//! v1 predicate), `docs/bundle-spec.md`, section 7. Both depend on the inputs alone: no clock, host, user or path.

use std::collections::BTreeMap;

use bundle_format::{
    Digest, FieldHasher, Kernel, Manifest, PREDICATE_TYPE, PROVENANCE_NAME, SBOM_NAME, STATEMENT_TYPE,
    Subject, provenance_subjects,
};
use serde::Serialize;

use crate::packages::Package;

/// How the modules were made, as SLSA names kinds of builds.
const BUILD_TYPE: &str = "urn:stap-bundle:build:1";
/// Who made them, as far as no farm is named: the program.
const BUILDER: &str = "urn:stap-bundle:builder";
/// What SPDX writes where nothing is asserted.
const NO_ASSERTION: &str = "NOASSERTION";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why the documents can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// `created` is beyond the calendar.
    #[error("{created} seconds since 1970 is no date")]
    NoDate {
        /// The number.
        created: u64,
    },
    /// A document can't be written.
    #[error("{name} can't be written")]
    Write {
        /// The extra's name.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// Both documents for the bundle of this manifest, whose name, serial and frames are settled. `headers` has for kernels, by
/// release, the package that the build tree came from.
pub fn documents(
    manifest: &Manifest,
    headers: &BTreeMap<String, Package>,
) -> Result<Vec<(String, Vec<u8>)>, DocumentError> {
    let write = |name: &'static str, document: serde_json::Result<Vec<u8>>| {
        document.map(|bytes| (name.to_owned(), bytes)).map_err(|source| DocumentError::Write { name, source })
    };
    Ok(vec![
        write(SBOM_NAME, serde_json::to_vec(&sbom(manifest, headers)?))?,
        write(PROVENANCE_NAME, serde_json::to_vec(&provenance(manifest)))?,
    ])
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sbom {
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
            comment: None,
        }
    }

    fn digest(mut self, digest: Digest) -> Self {
        self.checksums.push(Checksum { algorithm: "SHA256", checksum_value: digest.to_string() });
        self
    }

    fn comment(mut self, comment: String) -> Self {
        self.comment = Some(comment);
        self
    }
}

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const BUNDLE: &str = "SPDXRef-Bundle";

fn sbom(manifest: &Manifest, headers: &BTreeMap<String, Package>) -> Result<Sbom, DocumentError> {
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
    for (number, toolchain) in manifest.toolchains.iter().enumerate() {
        let tools =
            [("Systemtap", "systemtap", &toolchain.stap), ("Compiler", "compiler", &toolchain.compiler)];
        for (part, name, version) in tools {
            let id = format!("SPDXRef-{part}-{number}");
            relationships.push(relation(&id, "BUILD_TOOL_OF", BUNDLE));
            let package = SpdxPackage::new(id, name.to_owned(), Some(version.clone()));
            packages.push(package.comment(format!("digest of the toolchain: {}", toolchain.digest)));
        }
    }
    for (number, kernel) in manifest.kernels_by_release().into_iter().enumerate() {
        let id = format!("SPDXRef-Headers-{number}");
        relationships.push(relation(&id, "BUILD_DEPENDENCY_OF", BUNDLE));
        packages.push(headers_package(id, kernel, headers.get(kernel.release.as_str())));
    }
    Ok(Sbom {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: format!("{}-{}", manifest.name, manifest.version),
        document_namespace: namespace(manifest),
        creation_info: CreationInfo {
            created: timestamp(manifest.created)?,
            creators: vec![format!("Tool: stap-bundle-{VERSION}")],
        },
        packages,
        relationships,
    })
}

fn headers_package(id: String, kernel: &Kernel, package: Option<&Package>) -> SpdxPackage {
    let release = &kernel.release;
    let comment = format!("build tree of kernel {release}, id {}", kernel.id);
    let spdx = match package {
        Some(package) => SpdxPackage::new(id, package.name.clone(), Some(package.version.clone())),
        None => SpdxPackage::new(id, format!("kernel headers of {release}"), None),
    };
    spdx.comment(comment)
}

fn relation(from: &str, kind: &'static str, to: &str) -> Relationship {
    Relationship { spdx_element_id: from.to_owned(), related_spdx_element: to.to_owned(), kind }
}

/// A UUID of version 8 (RFC 9562: ours to define), made of what makes this bundle another one.
fn namespace(manifest: &Manifest) -> String {
    let hash = FieldHasher::new()
        .field("stap-bundle sbom 1")
        .field(manifest.name.to_string())
        .field(manifest.epoch.to_be_bytes())
        .field(manifest.serial.to_be_bytes())
        .field(manifest.content.as_bytes())
        .finish()
        .to_string();
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

#[derive(Debug, Serialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: &'static str,
    external_parameters: ExternalParameters,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Debug, Serialize)]
struct ExternalParameters {
    name: String,
    version: String,
    serial: u64,
    epoch: u64,
    created: u64,
    scripts: Vec<String>,
    kernels: Vec<String>,
}

/// A resource descriptor of in-toto.
#[derive(Debug, Serialize)]
struct Resource {
    name: String,
    digest: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Debug, Serialize)]
struct Builder {
    id: &'static str,
    version: BTreeMap<&'static str, String>,
}

fn provenance(manifest: &Manifest) -> Statement {
    let resource = |name: String, digest: Digest| Resource {
        name,
        digest: BTreeMap::from([("sha256", digest.to_string())]),
    };
    let scripts = manifest.scripts.iter();
    let mut dependencies: Vec<Resource> =
        scripts.map(|script| resource(format!("{}.stp", script.name), script.source_sha256)).collect();
    for toolchain in &manifest.toolchains {
        dependencies.push(resource(
            format!("systemtap {}; {}", toolchain.stap, toolchain.compiler),
            toolchain.digest,
        ));
    }
    for kernel in manifest.kernels_by_release() {
        let facts = [("Module.symvers", kernel.symvers_sha256), ("auto.conf", kernel.config_sha256)];
        for (file, digest) in facts {
            dependencies
                .extend(digest.map(|digest| resource(format!("{file} of {}", kernel.release), digest)));
        }
    }
    Statement {
        kind: STATEMENT_TYPE,
        subject: provenance_subjects(manifest),
        predicate_type: PREDICATE_TYPE,
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE,
                external_parameters: ExternalParameters {
                    name: manifest.name.to_string(),
                    version: manifest.version.to_string(),
                    serial: manifest.serial,
                    epoch: manifest.epoch,
                    created: manifest.created,
                    scripts: manifest.scripts.iter().map(|script| script.name.to_string()).collect(),
                    kernels: manifest
                        .kernels_by_release()
                        .iter()
                        .map(|kernel| kernel.release.to_string())
                        .collect(),
                },
                resolved_dependencies: dependencies,
            },
            run_details: RunDetails {
                builder: Builder {
                    id: BUILDER,
                    version: BTreeMap::from([("stap-bundle", VERSION.to_owned())]),
                },
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use bundle_format::{BundleDraft, KernelDraft, ModuleDraft, RedCell, ScriptRecord, Toolchain};
    use serde_json::Value;

    use super::*;

    fn manifest() -> Manifest {
        let mut kernel = KernelDraft::of("6.12.1-test".parse().unwrap(), "x86_64".parse().unwrap());
        kernel.vermagic = Some("6.12.1-test SMP ".to_owned());
        kernel.symvers_sha256 = Some(Digest::of(b"symvers"));
        kernel.modules = vec![ModuleDraft::of_bytes("disk_io".parse().unwrap(), vec![1; 3000])];
        kernel.red = vec![RedCell { script: "net_rx".parse().unwrap(), reason: "no probe".to_owned() }];
        let script = |name: &str| ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
        let draft = BundleDraft {
            name: "fleet".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            serial: 7,
            created: 1_735_689_600,
            best_before: None,
            scripts: vec![script("disk_io"), script("net_rx")],
            toolchains: vec![Toolchain {
                stap: "5.6".to_owned(),
                compiler: "gcc 15".to_owned(),
                digest: Digest::of(b"toolchain"),
            }],
            kernels: vec![kernel],
            roots: None,
        };
        draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap().manifest().clone()
    }

    fn both() -> (Value, Value) {
        let package =
            Package { name: "linux-headers-6.12.1-test".to_owned(), version: "6.12.1-1".to_owned() };
        let headers = BTreeMap::from([("6.12.1-test".to_owned(), package)]);
        let documents = documents(&manifest(), &headers).unwrap();
        let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [SBOM_NAME, PROVENANCE_NAME]);
        let parse = |at: usize| serde_json::from_slice(&documents[at].1).unwrap();
        (parse(0), parse(1))
    }

    /// The fields that the published JSON schema of SPDX 2.3 requires, and the forms that its specification gives.
    #[test]
    fn the_bill_of_materials_has_what_spdx_requires() {
        let (sbom, _) = both();
        for field in ["SPDXID", "creationInfo", "dataLicense", "name", "spdxVersion", "documentNamespace"] {
            assert!(!sbom[field].is_null(), "{field}");
        }
        assert_eq!((&sbom["spdxVersion"], &sbom["dataLicense"]), (&"SPDX-2.3".into(), &"CC0-1.0".into()));
        assert_eq!(sbom["creationInfo"]["created"], "2025-01-01T00:00:00Z");
        assert!(sbom["creationInfo"]["creators"][0].as_str().unwrap().starts_with("Tool: stap-bundle-"));
        let namespace = sbom["documentNamespace"].as_str().unwrap();
        assert!(namespace.starts_with("urn:uuid:") && namespace.len() == 9 + 36 && !namespace.contains('#'));
        let packages = sbom["packages"].as_array().unwrap();
        let mut ids = vec![DOCUMENT.to_owned()];
        for package in packages {
            for field in ["SPDXID", "name", "downloadLocation"] {
                assert!(package[field].is_string(), "{field} of {package}");
            }
            let id = package["SPDXID"].as_str().unwrap();
            let rest = id.strip_prefix("SPDXRef-").unwrap();
            assert!(rest.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)), "{id}");
            assert!(!ids.contains(&id.to_owned()), "{id} stands twice");
            ids.push(id.to_owned());
            for checksum in package["checksums"].as_array().into_iter().flatten() {
                assert_eq!(checksum["algorithm"], "SHA256");
                assert_eq!(checksum["checksumValue"].as_str().unwrap().len(), 64);
            }
        }
        // Not among SPDX's kinds of relationship: the schema would refuse it.
        let kinds = ["DESCRIBES", "GENERATED_FROM", "BUILD_TOOL_OF", "BUILD_DEPENDENCY_OF"];
        for relation in sbom["relationships"].as_array().unwrap() {
            for end in ["spdxElementId", "relatedSpdxElement"] {
                assert!(ids.contains(&relation[end].as_str().unwrap().to_owned()), "{relation}");
            }
            assert!(kinds.contains(&relation["relationshipType"].as_str().unwrap()), "{relation}");
        }
        let names: Vec<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            ["fleet", "disk_io.stp", "net_rx.stp", "systemtap", "compiler", "linux-headers-6.12.1-test"]
        );
    }

    #[test]
    fn the_provenance_is_about_the_frames() {
        let (_, provenance) = both();
        let manifest = manifest();
        assert_eq!(provenance["_type"], STATEMENT_TYPE);
        assert_eq!(provenance["predicateType"], PREDICATE_TYPE);
        let subjects = provenance["subject"].as_array().unwrap();
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0]["name"], "kernels/0000-6.12.1-test.tar.zst");
        assert_eq!(subjects[0]["digest"]["sha256"], manifest.frames()[0].frame.sha256.to_string());
        let definition = &provenance["predicate"]["buildDefinition"];
        assert_eq!(definition["buildType"], BUILD_TYPE);
        assert_eq!(definition["externalParameters"]["kernels"][0], "6.12.1-test");
        assert_eq!(definition["resolvedDependencies"].as_array().unwrap().len(), 4);
        assert!(provenance["predicate"]["runDetails"]["builder"]["id"].as_str().unwrap().contains(':'));
    }

    #[test]
    fn documents_depend_on_the_inputs_alone() {
        let again = || documents(&manifest(), &BTreeMap::new()).unwrap();
        assert_eq!(again(), again());
        let mut other = manifest();
        other.serial += 1;
        assert_ne!(documents(&other, &BTreeMap::new()).unwrap()[0], again()[0]);
        let hidden = ["HOME", "USER", "LOGNAME", "HOSTNAME", "PWD"].map(std::env::var);
        let text: Vec<String> =
            again().iter().map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect();
        for secret in hidden.into_iter().flatten().filter(|secret| secret.len() > 4) {
            assert!(text.iter().all(|text| !text.contains(&secret)), "{secret}");
        }
    }
}
