//! Packages → a draft: what the modules say of themselves, joined with options and requirements.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bundle_format::{
    BundleDraft, Digest, KernelDraft, Machine, ModuleDraft, ModuleRecord, RedCell, ScriptName, ScriptRecord,
    Toolchain, Trailer,
};
use kernel_module::Divided;
use script_config::{Configuration, ScriptOptions, Severity, SourceText};
use signing::{ModuleCertificate, SignedBy, signed_by};

use super::error::{ImportError, PackageError};
use super::package::ScriptsPackage;
use crate::bundle::compilers::compilers_of;
use crate::bundle::{AssemblyError, BundleIdentity, version_of};
use crate::job::ModuleInfo;
use crate::words::quoted;

/// What the manifest says of systemtap and the compiler.
pub const UNKNOWN: &str = "unknown, imported";

/// Reason of the red cell of a script that a package lacks.
const NOT_THERE: &str = "not in the imported package";

#[derive(Debug)]
pub struct ImportRequest {
    /// The archives, one a release.
    pub packages: Vec<PathBuf>,
    /// A directory with the scripts' sources, for their digests; without it they stay unknown.
    pub sources: Option<PathBuf>,
    /// Certificates of keys that have signed modules for the kernel.
    pub certificates: Vec<ModuleCertificate>,
    /// What the bundle will be called.
    pub identity: BundleIdentity,
}

/// A draft and what isn't known about it.
#[derive(Debug)]
pub struct Imported {
    pub draft: BundleDraft,
    /// What the user should know, in words.
    pub notes: Vec<String>,
}

impl Imported {
    /// The certificates of those keys that have signed a module.
    pub fn signers<'c>(
        &self,
        certificates: &'c [ModuleCertificate],
    ) -> impl Iterator<Item = &'c ModuleCertificate> {
        let modules = self.draft.kernels.iter().flat_map(|kernel| &kernel.modules);
        let of_trailers: BTreeSet<Digest> =
            modules.flat_map(|module| &module.record.trailers).map(|trailer| trailer.certificate).collect();
        certificates.iter().filter(move |certificate| of_trailers.contains(&certificate.id()))
    }
}

/// A package with its path.
struct Read {
    path: PathBuf,
    package: ScriptsPackage,
}

/// Reads all packages and joins them.
pub fn import(request: &ImportRequest) -> Result<Imported, ImportError> {
    let mut packages = Vec::new();
    for path in &request.packages {
        packages.push(open(path)?);
    }
    packages.sort_by(|a, b| a.package.release.cmp(&b.package.release));
    let same = |pair: &&[Read]| matches!(pair, [a, b] if a.package.release == b.package.release);
    if let Some([first, second]) = packages.windows(2).find(same) {
        return Err(ImportError::ReleaseTwice {
            release: first.package.release.clone(),
            first: first.path.clone(),
            second: second.path.clone(),
        });
    }
    let mut notes = Vec::new();
    let scripts = scripts(&packages, request.sources.as_deref(), &mut notes)?;
    let identity = &request.identity;
    let created = identity.created(packages.iter().map(|read| read.package.modified));
    let best_before = identity.expiry(created).map_err(AssemblyError::from)?;
    let mut kernels = Vec::new();
    for read in packages {
        kernels.push(kernel(read, &scripts, &request.certificates)?);
    }
    let version = match &identity.version {
        Some(version) => version.clone(),
        None => version_of(created)?,
    };
    notes.push(
        "not known, and so not in the bundle: uname -v, Module.symvers and configuration of the kernels, and what \
         compiled the modules; a host can only compare release and machine"
            .to_owned(),
    );
    let toolchain =
        Toolchain { stap: UNKNOWN.to_owned(), compiler: UNKNOWN.to_owned(), digest: Digest::of(b"") };
    let draft = BundleDraft {
        name: identity.name.clone(),
        version,
        serial: identity.serial.unwrap_or(created),
        created,
        best_before,
        scripts: scripts.into_values().collect(),
        toolchains: vec![toolchain],
        kernels,
        roots: identity.roots.clone(),
    };
    Ok(Imported { draft, notes })
}

fn open(path: &Path) -> Result<Read, ImportError> {
    let failed = |source| ImportError::Package { path: path.to_owned(), source };
    let file =
        files::read::open_given(path).map_err(|error| failed(PackageError::Read(error.into_source())))?;
    Ok(Read { path: path.to_owned(), package: ScriptsPackage::read(file).map_err(failed)? })
}

/// The records of all scripts. Packages that were made together say the same of a script; where two differ, one of them
/// is older, and nobody can say which one its module was compiled with.
fn scripts(
    packages: &[Read],
    sources: Option<&Path>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<ScriptName, ScriptRecord>, ImportError> {
    let all: BTreeSet<ScriptName> =
        packages.iter().flat_map(|read| read.package.modules.keys().cloned()).collect();
    let mut records: BTreeMap<ScriptName, (ScriptRecord, &Path)> = BTreeMap::new();
    for read in packages {
        let configuration = configuration(read, &all)?;
        for name in read.package.modules.keys() {
            let record = record(read, &configuration, name, sources)?;
            let first = records.entry(name.clone()).or_insert_with(|| (record.clone(), &read.path));
            if first.0 != record {
                let what = format!("options, requirements or users of script {name}");
                let first = first.1.to_owned();
                let second = read.path.clone();
                return Err(ImportError::Disagree { what, first, second });
            }
        }
    }
    let unknown = Digest::of(b"");
    let without: Vec<&str> = records
        .values()
        .filter(|(record, _)| record.source_sha256 == unknown)
        .map(|(record, _)| record.name.as_str())
        .collect();
    if !without.is_empty() {
        notes.push(format!("the source is not known of: {}", without.join(" ")));
    }
    Ok(records.into_iter().map(|(name, (record, _))| (name, record)).collect())
}

fn configuration(read: &Read, known: &BTreeSet<ScriptName>) -> Result<Configuration, ImportError> {
    let refused = |problem: String| ImportError::Settings { path: read.path.clone(), problem };
    let mut files = Vec::new();
    for (name, text) in &read.package.configuration {
        let file =
            SourceText::from_bytes(name, text.as_bytes()).map_err(|problem| refused(problem.within()))?;
        files.push(file);
    }
    let (configuration, mut problems) = Configuration::load(&files);
    problems.extend(configuration.check_scripts(known));
    match problems.iter().find(|problem| problem.severity() == Severity::Error) {
        Some(problem) => Err(refused(problem.within())),
        None => Ok(configuration),
    }
}

fn record(
    read: &Read,
    configuration: &Configuration,
    name: &ScriptName,
    sources: Option<&Path>,
) -> Result<ScriptRecord, ImportError> {
    let refused = |problem: String| ImportError::Settings { path: read.path.clone(), problem };
    let settings = configuration.settings_of(name).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(script_config::ConfigProblem::within).collect();
        refused(texts.join("; "))
    })?;
    // INIT-CACHE-03: the last line of `.opts` is what the module was compiled with.
    let compiled = read.package.opts.get(name).and_then(|text| text.lines().last());
    let mut options = settings.options.clone();
    if let Some(line) = compiled {
        if options.given().is_empty() && line != options.opts_line() {
            let given = line.strip_suffix("--").unwrap_or(line).trim();
            options = ScriptOptions::parse(given, None).map_err(|problems| {
                let texts: Vec<String> = problems.iter().map(script_config::ConfigProblem::within).collect();
                refused(format!("{name}.opts: {}", texts.join("; ")))
            })?;
        }
        if line != options.opts_line() {
            return Err(refused(format!(
                "{name}.ko was compiled with `{}`, its configuration says `{}`: compile it again",
                quoted(line),
                quoted(&options.opts_line())
            )));
        }
    }
    let source_sha256 = match sources {
        Some(directory) => source_digest(&directory.join(format!("{name}.stp")))
            .map_err(|error| refused(format!("the source of {name}: {error}")))?,
        None => Digest::of(b""),
    };
    let requires = settings.requires.clone();
    Ok(ScriptRecord::of_settings(name.clone(), source_sha256, &options, requires, settings.users))
}

/// Largest source of a script, in bytes.
const LARGEST_SOURCE: u64 = 16 << 20;

fn source_digest(path: &Path) -> std::io::Result<Digest> {
    let bytes = files::read::read_given(path, LARGEST_SOURCE).map_err(files::FileError::into_source)?;
    Ok(Digest::of(&bytes))
}

/// Takes a kernel signature off a module, and returns it as the trailer of its record.
fn take_trailer(
    name: &ScriptName,
    file: &mut Vec<u8>,
    certificates: &[ModuleCertificate],
) -> Result<Option<Trailer>, PackageError> {
    if !kernel_module::is_signed(file) {
        return Ok(None);
    }
    let Divided { body, trailer } = kernel_module::divide(file);
    let to = |certificate: &ModuleCertificate| signed_by(certificate, body, trailer);
    let Some(signer) = certificates.iter().find(|certificate| to(certificate) == SignedBy::This) else {
        let found: Vec<SignedBy> = certificates.iter().map(to).collect();
        let why = if found.contains(&SignedBy::Broken) {
            "which isn't of its bytes"
        } else if found.contains(&SignedBy::Unreadable) {
            "in a form other than sign-file's with SHA-256, SHA-384 or SHA-512"
        } else if found.is_empty() {
            "whose certificate wasn't given"
        } else {
            "which names another certificate than those given"
        };
        return Err(PackageError::Signed { name: name.clone(), why });
    };
    let length = body.len();
    let trailer = Trailer::of(signer.id(), trailer);
    file.truncate(length);
    Ok(Some(trailer))
}

fn kernel(
    read: Read,
    scripts: &BTreeMap<ScriptName, ScriptRecord>,
    certificates: &[ModuleCertificate],
) -> Result<KernelDraft, ImportError> {
    let Read { path, package } = read;
    let failed = |source| ImportError::Package { path: path.clone(), source };
    let release = package.release;
    let mut modules = Vec::new();
    let mut infos = Vec::new();
    let mut common: Option<(ScriptName, String, Machine)> = None;
    for (name, mut bytes) in package.modules {
        let trailer = take_trailer(&name, &mut bytes, certificates).map_err(failed)?;
        let info = ModuleInfo::read_of_any_machine(&bytes, &name, &release)
            .map_err(|source| failed(PackageError::Module { name: name.clone(), source }))?;
        let (first, vermagic, machine) =
            common.get_or_insert_with(|| (name.clone(), info.vermagic.clone(), info.machine.clone()));
        if (&*vermagic, &*machine) != (&info.vermagic, &info.machine) {
            let problem = format!(
                "modules {first} and {name} are for different kernels: {} and {}",
                quoted(vermagic),
                quoted(&info.vermagic)
            );
            return Err(ImportError::Settings { path, problem });
        }
        let record = ModuleRecord {
            srcversion: info.srcversion.clone(),
            build_id: info.build_id.clone(),
            trailers: trailer.into_iter().collect(),
            ..ModuleRecord::of_body(name, bytes.len() as u64, Digest::of(&bytes))
        };
        modules.push(ModuleDraft { record, bytes: Arc::new(bytes) });
        infos.push(info);
    }
    let Some((_, vermagic, machine)) = common else { return Err(failed(PackageError::NoModule)) };
    let there: BTreeSet<&ScriptName> = modules.iter().map(|module| &module.record.name).collect();
    let missing = scripts.keys().filter(|name| !there.contains(name)).cloned();
    let missing =
        missing.map(|script| RedCell { script, reason: NOT_THERE.to_owned(), skipped: false }).collect();
    let modules_compiler = compilers_of(None, &infos);
    let draft = KernelDraft::of(release, machine);
    Ok(KernelDraft { vermagic: Some(vermagic), modules_compiler, modules, red: missing, ..draft })
}
