//! `import`: packages of the initscript → a payload.

use std::io;
use std::path::{Path, PathBuf};

use builder::{AssemblyError, BundleIdentity, ImportError, ImportRequest, Imported, PackageError};
use bundle_format::{BundleId, BundleName, BundleVersion};
use serde_json::json;

use crate::bundle_path::a_file;
use crate::commands::farm::best_before::{self, BestBeforeOption};
use crate::commands::farm::module_keys;
use crate::commands::farm::roots;
use crate::commands::farm::source_date::source_date_epoch;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::is_directory;
use crate::output::{Kind, Outputs, ReplaceOption, in_words};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Make a payload of stap-scripts-RELEASE.tar.gz packages of the initscript
///
/// Takes both layouts of section 5.8 of the initscript's README: what 5.8.1 packs (var/cache/systemtap/REL/ and
/// etc/systemtap/conf.d/) and what 5.8.2 unpacks (REL/NAME.ko, REL/NAME.opts and a configuration file), one package a
/// release. Anything else in an archive refuses it: links, devices, other names, extended headers, a second file of one
/// name. Each module's name, release and machine are read from the module itself.
///
/// A module with a kernel signature (`sign-file`) keeps it if the certificate of its key is given.
///
/// Such packages prove nothing, so the payload must be signed before any host takes it; by signing you vouch for the way
/// they came. What they don't tell stays absent: uname -v, Module.symvers, the toolchain, and without --scripts the
/// sources.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  stap-bundle import stap-scripts-6.12.1-amd64.tar.gz --scripts /etc/systemtap/script.d -o old.payload\n  stap-bundle sign old.payload --key farm.key -o old.stapb"
)]
pub(crate) struct Args {
    /// The packages.
    #[arg(required = true, value_parser = a_file)]
    file: Vec<PathBuf>,
    /// The bundle's name.
    #[arg(long, default_value = "stap-scripts")]
    name: BundleName,
    /// The bundle's version [default: the time of the newest module, as YYYY.MMDD.HHMM].
    #[arg(long)]
    version: Option<BundleVersion>,
    /// Orders the bundles of a name: hosts refuse a lower one [default: the time of the newest module].
    #[arg(long, value_name = "N")]
    serial: Option<u64>,
    #[command(flatten)]
    best_before: BestBeforeOption,
    /// A directory with the sources, NAME.stp: their digests are recorded.
    #[arg(long, value_name = "DIR")]
    scripts: Option<PathBuf>,
    /// The certificate of a key that has signed modules for the kernel, DER or PEM; may be given several times.
    #[arg(long, value_name = "CERT", value_parser = a_file)]
    module_cert: Vec<PathBuf>,
    /// Send this chain of roots along, by which hosts judge who must sign (see `trust root`).
    #[arg(long, value_name = "FILE.stapr")]
    roots: Option<PathBuf>,
    /// The payload to write; `-` is standard output [default: NAME-VERSION.payload].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    replace: ReplaceOption,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        ui.leave_output_to(self.output.as_deref())?;
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.inputs("the package", &self.file);
        outputs.inputs("the chain of roots", &self.roots);
        outputs.inputs("the certificate", &self.module_cert);
        let certificates: Vec<_> = self
            .module_cert
            .iter()
            .map(|path| module_keys::read_certificate(path))
            .collect::<Result<_, _>>()?;
        let roots = self.roots.as_deref().map(|path| roots::read(path, &[], ui)).transpose()?;
        let request = ImportRequest {
            packages: self.file,
            sources: self.scripts,
            certificates,
            identity: BundleIdentity {
                name: self.name,
                version: self.version,
                serial: self.serial,
                created: source_date_epoch()?,
                other_inputs_modified: 0,
                best_before: self.best_before.best_before,
                roots,
            },
        };
        let imported = builder::import(&request).map_err(|error| import_failure(&error))?;
        let draft = &imported.draft;
        let path: PathBuf =
            self.output.unwrap_or_else(|| format!("{}-{}.payload", draft.name, draft.version).into());
        let place = outputs.place("-o", &path, Kind::Payload)?;
        let spool = tempfile::tempfile()
            .map_err(|error| Failure::of(Exit::Storage, &error).about("temporary file"))?;
        let mut unsigned = draft.pack(spool, &mut |_| {})?;
        let mut extras = Vec::new();
        builder::add_certificates(&mut extras, imported.signers(&request.certificates));
        unsigned = unsigned.with_extras(extras)?;
        let (size, written) = place.write(|target| unsigned.write_payload_to(target))?;
        written.tell(ui, &path);
        best_before::warn_if_passed(ui, draft.best_before);
        tell(ui, &imported, &path, size, unsigned.id());
        Ok(Exit::Done)
    }
}

fn tell(ui: &mut Ui, imported: &Imported, path: &Path, size: u64, bundle_id: BundleId) {
    let Imported { draft, notes } = imported;
    let modules: usize = draft.kernels.iter().map(|kernel| kernel.modules.len()).sum();
    if ui.json {
        return ui.document(&json!({
            "payload": path, "bytes": size, "bundle_id": bundle_id, "kernels": draft.kernels.len(),
            "scripts": draft.scripts.len(), "modules": modules, "best_before": draft.best_before,
            "notes": notes,
        }));
    }
    let written = ui.mark(Mark::Strong, in_words(path).display());
    ui.line(format!(
        "{written}: {}, {} for {}, {}",
        count(draft.scripts.len(), "script"),
        count(modules, "module"),
        count(draft.kernels.len(), "kernel"),
        bytes(size)
    ));
    ui.line(format!("  bundle id  {bundle_id}"));
    best_before::show(ui, draft.best_before);
    ui.line("  not signed: no host takes it before it is");
    for note in notes {
        ui.progress(format!("  {note}"));
    }
    ui.progress(format!("Sign it: stap-bundle sign {} --key NAME.key", in_words(path).display()));
}

fn import_failure(error: &ImportError) -> Failure {
    // A file that isn't there is told as everywhere else.
    if let ImportError::Package { path, source: PackageError::Read(read) } = error
        && read.raw_os_error().is_some()
    {
        if read.kind() == io::ErrorKind::IsADirectory {
            return is_directory(path.display(), "a package of the initscript (.tar.gz)");
        }
        return Failure::of(Exit::Storage, read).about(path.display());
    }
    if let ImportError::Package { path, source } = error {
        return Failure::of(Exit::Malformed, source).about(path.display());
    }
    if let ImportError::Assembly(AssemblyError::BestBefore(error)) = error {
        return best_before::failure(error);
    }
    let exit = match error {
        ImportError::Settings { .. } => Exit::Malformed,
        _ => Exit::Conflict,
    };
    Failure::of(exit, error)
}
