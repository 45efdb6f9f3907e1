//! What a bundle says of its making: a bill of materials (SPDX 2.3) and a provenance (in-toto Statement v1 with the SLSA
//! v1 predicate), `docs/bundle-spec.md`, section 7. Both depend on the inputs alone: no clock, host, user or path.

use std::collections::BTreeMap;

use bundle_format::{KernelRelease, Manifest, PROVENANCE_NAME, SBOM_NAME};

use crate::inputs::KernelOrigin;
use crate::job::Cell;

mod error;
mod provenance;
mod sbom;

pub use error::DocumentError;

/// Both documents for the bundle of this manifest, whose name, serial and frames are settled. `origins` has for kernels, by
/// release, what build tree and debuginfo came from; `by_servers` are the cells that compile servers have made, `unsigned` those
/// whose results were taken although no known builder has signed them.
pub fn documents(
    manifest: &Manifest,
    origins: &BTreeMap<KernelRelease, KernelOrigin>,
    by_servers: &[&Cell],
    unsigned: &[Cell],
) -> Result<Vec<(String, Vec<u8>)>, DocumentError> {
    let write = |name: &'static str, document: serde_json::Result<Vec<u8>>| {
        document.map(|bytes| (name.to_owned(), bytes)).map_err(|source| DocumentError::Write { name, source })
    };
    Ok(vec![
        write(SBOM_NAME, serde_json::to_vec(&sbom::of(manifest, origins)?))?,
        write(PROVENANCE_NAME, serde_json::to_vec(&provenance::of(manifest, origins, by_servers, unsigned)))?,
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Cursor;

    use bundle_format::{
        BundleDraft, Digest, KernelDraft, ModuleDraft, PREDICATE_TYPE, ProgramRecord, RedCell,
        STATEMENT_TYPE, ScriptRecord, Toolchain,
    };
    use serde_json::Value;

    use super::provenance::BUILD_TYPE;
    use super::sbom::DOCUMENT;
    use super::*;
    use crate::inputs::Package;
    use crate::kernels::PackageFormat;

    fn manifest() -> Manifest {
        let mut kernel = KernelDraft::of("6.12.1-test".parse().unwrap(), "x86_64".parse().unwrap());
        kernel.vermagic = Some("6.12.1-test SMP ".to_owned());
        kernel.symvers_sha256 = Some(Digest::of(b"symvers"));
        kernel.modules = vec![ModuleDraft::of_bytes("disk_io".parse().unwrap(), vec![1; 3000])];
        kernel.red = vec![RedCell {
            script: "net_rx".parse().unwrap(),
            reason: "no probe".to_owned(),
            skipped: false,
        }];
        let script = |name: &str| ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
        let mut with_options = script("disk_io");
        with_options.options = "-g \"two words\"".to_owned();
        with_options.compile = vec!["-g".to_owned()];
        with_options.arguments = vec!["two words".to_owned()];
        let draft = BundleDraft {
            name: "fleet".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            serial: 7,
            created: 1_735_689_600,
            best_before: None,
            scripts: vec![with_options, script("net_rx")],
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

    fn headers() -> BTreeMap<KernelRelease, KernelOrigin> {
        let package = Package {
            format: PackageFormat::Deb,
            name: "linux-headers-6.12.1-test".to_owned(),
            version: "6.12.1-1+b1".to_owned(),
            architecture: None,
            file: None,
        };
        from(KernelOrigin { packages: vec![package], has_unread_database: false })
    }

    fn from(origin: KernelOrigin) -> BTreeMap<KernelRelease, KernelOrigin> {
        BTreeMap::from([("6.12.1-test".parse().unwrap(), origin)])
    }

    fn version(version: &str) -> Manifest {
        Manifest { version: version.parse().unwrap(), ..manifest() }
    }

    fn toolchain(of: &[u8]) -> Manifest {
        let mut manifest = manifest();
        manifest.toolchains[0].digest = Digest::of(of);
        manifest
    }

    fn namespace(manifest: &Manifest, packages: &BTreeMap<KernelRelease, KernelOrigin>) -> String {
        let sbom: Value =
            serde_json::from_slice(&documents(manifest, packages, &[], &[]).unwrap()[0].1).unwrap();
        sbom["documentNamespace"].as_str().unwrap().to_owned()
    }

    fn both() -> (Value, Value) {
        let documents = documents(&manifest(), &headers(), &[], &[]).unwrap();
        let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [SBOM_NAME, PROVENANCE_NAME]);
        let parse = |at: usize| serde_json::from_slice(&documents[at].1).unwrap();
        (parse(0), parse(1))
    }

    #[test]
    fn a_program_that_two_scripts_probe_is_in_both_once_with_its_digest() {
        let mut manifest = manifest();
        let digest = Digest::of(b"program");
        for script in &mut manifest.scripts {
            script.programs = vec![ProgramRecord {
                path: "/usr/bin/probed".to_owned(),
                build_id: "aabb".to_owned(),
                sha256: digest,
                kernels: Vec::new(),
            }];
        }
        let documents = documents(&manifest, &headers(), &[], &[]).unwrap();
        let [sbom, provenance] = [0, 1].map(|at| serde_json::from_slice::<Value>(&documents[at].1).unwrap());
        let named = |list: &Value| -> Vec<Value> {
            let list = list.as_array().unwrap().iter();
            list.filter(|entry| entry["name"] == "/usr/bin/probed").cloned().collect()
        };
        let packages = named(&sbom["packages"]);
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0]["checksums"][0]["checksumValue"], digest.to_string());
        assert!(packages[0]["comment"].as_str().unwrap().ends_with("build id aabb"));
        let dependencies = named(&provenance["predicate"]["buildDefinition"]["resolvedDependencies"]);
        assert_eq!(dependencies.len(), 1);
        assert_eq!(dependencies[0]["digest"]["sha256"], digest.to_string());
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
            [
                "fleet",
                "disk_io.stp",
                "net_rx.stp",
                "systemtap",
                "compiler of systemtap's own checks",
                "linux-headers-6.12.1-test"
            ]
        );
    }

    #[test]
    fn rpms_are_named_by_their_urls_and_a_database_that_was_not_read_is_mentioned() {
        let rpm = |name: &str, version: &str| Package {
            format: PackageFormat::Rpm,
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: Some("x86_64".to_owned()),
            file: None,
        };
        let of_kernel = |origin: KernelOrigin| -> Vec<Value> {
            let documents = documents(&manifest(), &from(origin), &[], &[]).unwrap();
            let sbom: Value = serde_json::from_slice(&documents[0].1).unwrap();
            let is_of_kernel = |package: &&Value| {
                package["SPDXID"].as_str().is_some_and(|id| id.starts_with("SPDXRef-Kernel-"))
            };
            sbom["packages"].as_array().unwrap().iter().filter(is_of_kernel).cloned().collect()
        };
        let packages = vec![rpm("kernel-rt-devel", "1:6.12.1-1.el9+rt"), rpm("other", "2-3")];
        let found = of_kernel(KernelOrigin { packages, has_unread_database: false });
        let urls: Vec<&Value> =
            found.iter().map(|package| &package["externalRefs"][0]["referenceLocator"]).collect();
        assert_eq!(
            urls,
            [
                "pkg:rpm/kernel-rt-devel@6.12.1-1.el9%2Brt?arch=x86_64&epoch=1",
                "pkg:rpm/other@2-3?arch=x86_64"
            ]
        );
        assert_eq!(found[0]["versionInfo"], "1:6.12.1-1.el9+rt");
        for has_unread_database in [false, true] {
            let found = of_kernel(KernelOrigin { packages: Vec::new(), has_unread_database });
            assert_eq!(found[0]["name"], "kernel headers of 6.12.1-test");
            let comment = found[0]["comment"].as_str().unwrap();
            assert_eq!(comment.contains("rpm database that no rpm could read"), has_unread_database);
        }
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
        assert_eq!(definition["externalParameters"]["scripts"][0]["options"], "-g \"two words\"");
        assert_eq!(definition["externalParameters"]["scripts"][0]["compile"][0], "-g");
        let dependencies = definition["resolvedDependencies"].as_array().unwrap();
        let names: Vec<&str> = dependencies.iter().map(|found| found["name"].as_str().unwrap()).collect();
        let headers = "linux-headers-6.12.1-test of 6.12.1-test";
        let of_kernel = "Module.symvers of 6.12.1-test";
        assert_eq!(names, ["disk_io.stp", "net_rx.stp", "systemtap 5.6; gcc 15", of_kernel, headers]);
        assert_eq!(dependencies[4]["uri"], "pkg:deb/linux-headers-6.12.1-test@6.12.1-1%2Bb1");
        // in-toto: a resource descriptor has one of these at least.
        assert!(dependencies.iter().all(|found| found["uri"].is_string() || found["digest"].is_object()));
        assert!(provenance["predicate"]["runDetails"]["builder"]["id"].as_str().unwrap().contains(':'));
    }

    /// They named the plain `gcc` of the farm, whatever the build tree calls.
    #[test]
    fn both_documents_name_what_compiled_the_modules() {
        let mut manifest = manifest();
        manifest.kernels[0].compiler = Some("gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld 2.44".to_owned());
        let names = |manifest: &Manifest| -> (Vec<String>, String, Value) {
            let documents = documents(manifest, &headers(), &[], &[]).unwrap();
            let parse = |at: usize| -> Value { serde_json::from_slice(&documents[at].1).unwrap() };
            let packages = parse(0)["packages"].as_array().unwrap().clone();
            let compilers = packages.iter().filter(|package| package["name"] == "compiler");
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let compilers = compilers
                .map(|package| format!("{}: {}", text(&package["versionInfo"]), text(&package["comment"])));
            let definition = parse(1)["predicate"]["buildDefinition"].clone();
            let name = text(&definition["resolvedDependencies"][2]["name"]);
            (compilers.collect(), name, definition["internalParameters"]["compilers"].clone())
        };
        assert_eq!(names(&manifest), (Vec::new(), "systemtap 5.6; gcc 15".to_owned(), Value::Null));
        let gcc14 = "gcc-14 (Debian 14.4.0-3) 14.4.0";
        manifest.kernels[0].modules_compiler = Some(gcc14.to_owned());
        let (sbom, dependency, compilers) = names(&manifest);
        assert_eq!(sbom, [format!("{gcc14}: compiled the modules for kernels 6.12.1-test")]);
        assert_eq!(dependency, format!("systemtap 5.6; {gcc14}"));
        let kernel = format!("6.12.1-test {}", manifest.kernels[0].id.short());
        assert_eq!(compilers[&kernel]["modules"], gcc14);
        assert_eq!(compilers[&kernel]["difference"], Value::Null);
        manifest.kernels[0].modules_compiler = Some(format!("{gcc14}; gcc (Debian 16.2.0-3) 16.2.0"));
        let (sbom, _, compilers) = names(&manifest);
        assert_eq!(sbom.len(), 2);
        assert_eq!(compilers[&kernel]["difference"], "built with gcc 14.2.0, its modules with gcc 16.2.0");
    }

    #[test]
    fn the_provenance_names_results_that_were_taken_unsigned() {
        let cell =
            |script: &str| Cell { script: script.parse().unwrap(), release: "6.12.1-test".parse().unwrap() };
        let unsigned = [cell("net_rx"), cell("disk_io")];
        let documents = documents(&manifest(), &headers(), &[], &unsigned).unwrap();
        let provenance: Value = serde_json::from_slice(&documents[1].1).unwrap();
        let parameters = &provenance["predicate"]["buildDefinition"]["internalParameters"];
        assert_eq!(
            *parameters,
            serde_json::json!({ "unsignedResults": { "6.12.1-test": ["disk_io", "net_rx"] } })
        );
        let (_, without) = both();
        assert!(without["predicate"]["buildDefinition"].get("internalParameters").is_none());
    }

    #[test]
    fn documents_depend_on_the_inputs_alone() {
        let again = || documents(&manifest(), &BTreeMap::new(), &[], &[]).unwrap();
        assert_eq!(again(), again());
        let mut other = manifest();
        other.serial += 1;
        let other = documents(&other, &BTreeMap::new(), &[], &[]).unwrap();
        assert_ne!(other[1], again()[1]);
        let namespaces = [
            namespace(&manifest(), &BTreeMap::new()),
            namespace(&manifest(), &headers()),
            namespace(&version("2.0"), &BTreeMap::new()),
            namespace(&toolchain(b"other"), &BTreeMap::new()),
        ];
        assert_eq!(namespaces.iter().collect::<BTreeSet<_>>().len(), namespaces.len());
        let hidden = ["HOME", "USER", "LOGNAME", "HOSTNAME", "PWD"].map(std::env::var);
        let text: Vec<String> =
            again().iter().map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap()).collect();
        for secret in hidden.into_iter().flatten().filter(|secret| secret.len() > 4) {
            assert!(text.iter().all(|text| !text.contains(&secret)), "{secret}");
        }
    }
}
