//! The provenance: an in-toto Statement, version 1, with the SLSA provenance predicate, version 1.

use std::collections::BTreeMap;

use bundle_format::{
    Digest, Kernel, KernelRelease, Manifest, PREDICATE_TYPE, STATEMENT_TYPE, ScriptRecord, Subject,
    provenance_subjects,
};
use serde::Serialize;

use crate::inputs::KernelOrigin;
use crate::job::Cell;

/// Of this program, which both name as their maker.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the modules were made, as SLSA names kinds of builds.
pub(super) const BUILD_TYPE: &str = "urn:stap-bundle:build:1";
/// Who made them, as far as no farm is named: the program.
const BUILDER: &str = "urn:stap-bundle:builder";

#[derive(Debug, Serialize)]
pub(super) struct Statement {
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
    /// Absent where this program's own sandbox made all, by builders that are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_parameters: Option<InternalParameters>,
    resolved_dependencies: Vec<Resource>,
}

#[derive(Debug, Serialize)]
struct ExternalParameters {
    name: String,
    version: String,
    serial: u64,
    epoch: u64,
    created: u64,
    scripts: Vec<ScriptParameters>,
    kernels: Vec<String>,
}

/// How the farm went about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InternalParameters {
    /// The modules that compile servers made, by release and script. Their toolchains have the versions that the dependencies
    /// name; no digest of them is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    made_by_compile_servers: BTreeMap<String, Vec<String>>,
    /// The cells whose results were in a cache without the signature of a known builder, and were taken all the same.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unsigned_results: BTreeMap<String, Vec<String>>,
    /// What compiled the modules of each kernel, as far as they say it, beside what compiled the kernel.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    compilers: BTreeMap<String, Compilers>,
}

#[derive(Debug, Serialize)]
struct Compilers {
    modules: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<String>,
    /// Of kind or major version, which the build has warned of.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<String>,
}

impl Compilers {
    fn of(kernel: &Kernel) -> Option<(String, Self)> {
        let modules = kernel.modules_compiler.clone()?;
        let difference = kernel.compiler_difference();
        // Two kernels may have one release.
        let name = format!("{} {}", kernel.release, kernel.id.short());
        Some((name, Self { modules, kernel: kernel.compiler.clone(), difference }))
    }
}

impl InternalParameters {
    fn of(manifest: &Manifest, by_servers: &[&Cell], unsigned: &[Cell]) -> Option<Self> {
        let made_by_compile_servers = by_release(by_servers.iter().copied());
        let unsigned_results = by_release(unsigned);
        let compilers: BTreeMap<_, _> = manifest.kernels.iter().filter_map(Compilers::of).collect();
        let is_empty =
            made_by_compile_servers.is_empty() && unsigned_results.is_empty() && compilers.is_empty();
        (!is_empty).then_some(Self { made_by_compile_servers, unsigned_results, compilers })
    }
}

/// The scripts of cells, sorted, by release.
fn by_release<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> BTreeMap<String, Vec<String>> {
    let mut scripts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cell in cells {
        scripts.entry(cell.release.to_string()).or_default().push(cell.script.to_string());
    }
    for scripts in scripts.values_mut() {
        scripts.sort();
    }
    scripts
}

/// With what a script was compiled, and what is fixed for its start.
#[derive(Debug, Serialize)]
struct ScriptParameters {
    name: String,
    options: String,
    compile: Vec<String>,
    arguments: Vec<String>,
    run: Vec<String>,
}

impl ScriptParameters {
    fn of(script: &ScriptRecord) -> Self {
        Self {
            name: script.name.to_string(),
            options: script.options.clone(),
            compile: script.compile.clone(),
            arguments: script.arguments.clone(),
            run: script.run.clone(),
        }
    }
}

/// A resource descriptor of in-toto; it has a digest or a URI.
#[derive(Debug, Serialize)]
struct Resource {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
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

pub(super) fn of(
    manifest: &Manifest,
    origins: &BTreeMap<KernelRelease, KernelOrigin>,
    by_servers: &[&Cell],
    unsigned: &[Cell],
) -> Statement {
    let kernels = manifest.kernels_by_release();
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
                    scripts: manifest.scripts.iter().map(ScriptParameters::of).collect(),
                    kernels: kernels.iter().map(|kernel| kernel.release.to_string()).collect(),
                },
                internal_parameters: InternalParameters::of(manifest, by_servers, unsigned),
                resolved_dependencies: dependencies(manifest, origins),
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

fn dependencies(manifest: &Manifest, origins: &BTreeMap<KernelRelease, KernelOrigin>) -> Vec<Resource> {
    let digested = |name: String, digest: Digest| Resource {
        name,
        uri: None,
        digest: BTreeMap::from([("sha256", digest.to_string())]),
    };
    let scripts = manifest.scripts.iter();
    let mut dependencies: Vec<Resource> =
        scripts.map(|script| digested(format!("{}.stp", script.name), script.source_sha256)).collect();
    let programs = manifest.programs().into_iter();
    dependencies.extend(programs.map(|program| digested(program.path.clone(), program.sha256)));
    for (number, toolchain) in manifest.toolchains.iter().enumerate() {
        let by_it = |kernels: &Vec<&Kernel>| kernels.iter().any(|kernel| kernel.toolchain == number);
        let compilers = manifest.modules_compilers().into_iter().filter(|(_, kernels)| by_it(kernels));
        let compilers: Vec<&str> = compilers.map(|(compiler, _)| compiler).collect();
        let compilers = if compilers.is_empty() { toolchain.compiler.clone() } else { compilers.join("; ") };
        let name = format!("systemtap {}; {compilers}", toolchain.stap);
        dependencies.push(digested(name, toolchain.digest));
    }
    for kernel in manifest.kernels_by_release() {
        let facts = [("Module.symvers", kernel.symvers_sha256), ("auto.conf", kernel.config_sha256)];
        for (file, digest) in facts {
            dependencies
                .extend(digest.map(|digest| digested(format!("{file} of {}", kernel.release), digest)));
        }
        let packages = origins.get(&kernel.release).into_iter().flat_map(|origin| &origin.packages);
        dependencies.extend(packages.map(|package| Resource {
            name: format!("{} of {}", package.name, kernel.release),
            uri: Some(package.url()),
            digest: package.file.iter().map(|(digest, _)| ("sha256", digest.to_string())).collect(),
        }));
    }
    dependencies
}
