//! `extract`: a bundle's modules as plain files, for looking or for tools of one's own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bundle_format::{
    BundleError, Extent, Extra, Kernel, KernelId, KernelRelease, Manifest, SET_NAME, ScriptRecord,
    VerifiedBundle, VerifiedSet,
};
use serde_json::json;

use crate::bundle_path::{BundlePath, a_directory, a_file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::is_same_file;
use crate::trust_options::{TrustOptions, open_base, open_believed};
use crate::ui::Ui;
use crate::words::count;

/// Unpack a bundle's modules into DIR/RELEASE/
///
/// Nothing appears in DIR before everything was verified. Existing files and directories are not replaced; where the same files are there,
/// nothing changes. With
/// --extra only that is unpacked: `sbom.spdx.json` is the bill of materials, `provenance.intoto.json` says how the
/// modules were made.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle extract scripts.stapb out --key farm.pub -r 6.12.1-amd64\n  stap-bundle extract scripts.stapb out --key farm.pub --extra sbom.spdx.json"
)]
pub(crate) struct Args {
    /// The bundle; `-` reads it from standard input.
    file: BundlePath,
    /// Where to; made if it isn't there.
    #[arg(value_parser = a_directory)]
    dir: PathBuf,
    /// Only this kernel release; may be given several times.
    #[arg(short = 'r', long, value_name = "REL")]
    kernel: Vec<KernelRelease>,
    /// Unpack this extra as DIR/NAME; may be given several times.
    #[arg(long, value_name = "NAME", conflicts_with = "kernel")]
    extra: Vec<String>,
    /// The full bundle that this delta was made from.
    #[arg(long, value_name = "FILE", value_parser = a_file)]
    base: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        let keys = self.trust.keys(&[&self.file], global, ui)?;
        let bundle = open_believed(&self.file, &keys)?;
        let mut bases = open_base(self.base.as_deref(), bundle.manifest().from.as_ref())?;
        let wanted = select_kernels(&self.file, bundle.manifest(), &self.kernel)?;
        let names = directory_names(bundle.manifest(), &wanted);
        let names = names.map_err(|failure| failure.about(self.file.display()))?;
        self.check_extras(bundle.manifest())?;
        let storage = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.dir.display());
        if self.dir.exists() && !self.dir.is_dir() {
            let what = format!("{} is there and is no directory", self.dir.display());
            return Err(Failure::new(Exit::Conflict, what).hint("give another directory"));
        }
        let made = MadeDirectories::make(&self.dir).map_err(storage)?;
        let staging = tempfile::Builder::new().prefix(".extract-").tempdir_in(&self.dir).map_err(storage)?;
        if !self.extra.is_empty() {
            let exit = self.extras(ui, bundle, staging.path())?;
            made.keep();
            return Ok(exit);
        }
        let mut written = Vec::new();
        let scripts = bundle.manifest().scripts.clone();
        bundle
            .read_content_with(&wanted, Extent::Wanted, bases.as_mut(), &mut |kernel, set| {
                let directory = names.get(&kernel.id).cloned().unwrap_or_else(|| kernel.id.to_string());
                written.push((directory.clone(), set.modules().count()));
                write_set(&staging.path().join(directory), &scripts, kernel, set).map_err(Into::into)
            })
            .map_err(|error| {
                let wants_base = matches!(error, BundleError::BaseAbsent { .. });
                let failure = Failure::from(error).about(self.file.display());
                if wants_base { failure.hint("if you have the older bundle: --base FILE") } else { failure }
            })?;
        self.publish(staging.path())?;
        made.keep();
        if ui.json {
            let kernels: Vec<_> = written
                .iter()
                .map(|(name, modules)| json!({ "directory": name, "modules": modules }))
                .collect();
            ui.document(&json!({ "directory": self.dir, "kernels": kernels }));
            return Ok(Exit::Done);
        }
        for (name, modules) in written {
            ui.line(format!("{}: {}", self.dir.join(name).display(), count(modules, "module")));
        }
        Ok(Exit::Done)
    }

    /// Every extra that is asked for must be there, or nothing is unpacked.
    fn check_extras(&self, manifest: &Manifest) -> Result<(), Failure> {
        let there: Vec<&str> = manifest.extras.iter().map(|extra| extra.name.as_str()).collect();
        let Some(absent) = self.extra.iter().find(|name| !there.contains(&name.as_str())) else {
            return Ok(());
        };
        let shown: String = absent.chars().take(80).flat_map(char::escape_default).collect();
        let what = format!("{}: there is no extra `{shown}` in it", self.file.display());
        let held = if there.is_empty() { "no extras".to_owned() } else { there.join(", ") };
        Err(Failure::new(Exit::Missing, what).hint(format!("it has {held}")))
    }

    fn extras(&self, ui: &mut Ui, bundle: VerifiedBundle<File>, staging: &Path) -> Result<Exit, Failure> {
        let wanted = |extra: &Extra| self.extra.contains(&extra.name);
        bundle
            .copy_extras(&mut |extra| wanted(extra).then(|| create(&staging.join(&extra.name))).transpose())
            .map_err(|error| Failure::from(error).about(self.file.display()))?;
        self.publish(staging)?;
        let written: Vec<PathBuf> = self.extra.iter().map(|name| self.dir.join(name)).collect();
        if ui.json {
            ui.document_of("extract-extras", &json!({ "directory": self.dir, "extras": written }));
            return Ok(Exit::Done);
        }
        for path in written {
            ui.line(path.display().to_string());
        }
        Ok(Exit::Done)
    }

    /// Moves the finished directories into place; an existing one is left alone.
    fn publish(&self, staging: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.dir.display());
        let mut entries =
            fs::read_dir(staging).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut new = Vec::new();
        for entry in &entries {
            let target = self.dir.join(entry.file_name());
            if target.symlink_metadata().is_err() {
                new.push((entry.path(), target));
            } else if !is_same_tree(&entry.path(), &target).map_err(failed)? {
                let what = format!("{} exists already, with other content", target.display());
                return Err(
                    Failure::new(Exit::Conflict, what).hint("give another directory, or remove it first")
                );
            }
        }
        for (from, to) in new {
            fs::rename(from, to).map_err(failed)?;
        }
        Ok(())
    }
}

/// The kernels of the releases named, or all.
pub(crate) fn select_kernels(
    file: &BundlePath,
    manifest: &Manifest,
    named: &[KernelRelease],
) -> Result<BTreeSet<KernelId>, Failure> {
    for release in named {
        if !manifest.kernels.iter().any(|kernel| kernel.release == *release) {
            let held: Vec<String> =
                manifest.kernels_by_release().iter().map(|kernel| kernel.release.to_string()).collect();
            let what = format!("{}: there is no kernel {release} in it", file.display());
            return Err(Failure::new(Exit::DoesNotFit, what).hint(format!("it holds {}", held.join(", "))));
        }
    }
    let wanted = |kernel: &&Kernel| named.is_empty() || named.contains(&kernel.release);
    Ok(manifest.kernels.iter().filter(wanted).map(|kernel| kernel.id).collect())
}

/// The initscript's `.opts` file (INIT-CACHE-03). Its first line is the host's `uname -a`, of which the farm knows
/// all but the host's name.
pub(crate) fn opts_text(kernel: &Kernel, script: &ScriptRecord) -> String {
    let version = kernel.uname_v.as_deref().unwrap_or("-");
    format!(
        "Linux localhost {} {version} {} GNU/Linux\n{}\n",
        kernel.release, kernel.machine, script.opts_line
    )
}

/// For each wanted kernel its release, with the kernel's id behind it if the bundle has two of that release. No two are
/// the same where case is ignored: the modules of one kernel must not take the place of another's.
fn directory_names(
    manifest: &Manifest,
    wanted: &BTreeSet<KernelId>,
) -> Result<BTreeMap<KernelId, String>, Failure> {
    let is_wanted = |kernel: &&Kernel| wanted.contains(&kernel.id);
    let mut releases: BTreeMap<&str, usize> =
        manifest.kernels.iter().filter(is_wanted).map(|kernel| (kernel.release.as_str(), 0)).collect();
    for kernel in &manifest.kernels {
        if let Some(count) = releases.get_mut(kernel.release.as_str()) {
            *count += 1;
        }
    }
    let mut taken = BTreeMap::new();
    let mut names = BTreeMap::new();
    for kernel in manifest.kernels.iter().filter(is_wanted) {
        let release = &kernel.release;
        let alone = releases.get(release.as_str()) == Some(&1);
        let name = if alone { release.to_string() } else { format!("{release}-{}", kernel.id.short()) };
        if let Some(other) = taken.insert(name.to_ascii_lowercase(), kernel.id) {
            let what = format!("its kernels {other} and {} would have the same directory {name}", kernel.id);
            return Err(Failure::new(Exit::Malformed, what));
        }
        names.insert(kernel.id, name);
    }
    Ok(names)
}

/// Directories that were made for the result, and go again unless there is one.
pub(crate) struct MadeDirectories(Vec<PathBuf>);

impl MadeDirectories {
    /// Makes `directory` and those above it where they aren't there.
    pub(crate) fn make(directory: &Path) -> io::Result<Self> {
        let missing = |path: &&Path| !path.as_os_str().is_empty() && path.symlink_metadata().is_err();
        let made = Self(directory.ancestors().take_while(missing).map(Path::to_owned).collect());
        fs::create_dir_all(directory)?;
        Ok(made)
    }

    pub(crate) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        // Best effort, the innermost first; what somebody else has filled meanwhile stays.
        for path in &self.0 {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Whether both are the same file, or directories of the same files. Links are not followed: one is no file that was unpacked.
fn is_same_tree(new: &Path, there: &Path) -> io::Result<bool> {
    let one = new.symlink_metadata()?;
    let other = there.symlink_metadata()?;
    if one.is_dir() && other.is_dir() {
        let names = |directory: &Path| -> io::Result<BTreeSet<OsString>> {
            fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
        };
        let all = names(new)?;
        let same = all == names(there)?;
        return all
            .iter()
            .try_fold(same, |same, name| Ok(same && is_same_tree(&new.join(name), &there.join(name))?));
    }
    Ok(one.is_file() && other.is_file() && is_same_file(there, new)?)
}

fn write_set(
    directory: &Path,
    scripts: &[ScriptRecord],
    kernel: &Kernel,
    set: &VerifiedSet<'_>,
) -> io::Result<()> {
    make_directory(directory)?;
    write(&directory.join(SET_NAME), set.raw())?;
    for module in set.modules() {
        let name = &module.record.name;
        write(&directory.join(format!("{name}.ko")), module.bytes)?;
        if let Some(script) = scripts.iter().find(|script| script.name == *name) {
            write(&directory.join(format!("{name}.opts")), opts_text(kernel, script).as_bytes())?;
        }
    }
    if let Some(uprobes) = set.uprobes() {
        make_directory(&directory.join("uprobes"))?;
        write(&directory.join("uprobes/uprobes.ko"), uprobes)?;
    }
    Ok(())
}

/// A kernel may have several frames, each with modules of the same directory.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// A new file that nobody else can write, whatever the umask.
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o644).open(path)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create(path)?.write_all(bytes)
}
