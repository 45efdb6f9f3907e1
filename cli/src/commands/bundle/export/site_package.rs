//! A package that brings the bundle as it is into a host's inbox. It runs nothing, so it installs into an image too.

use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{Digest, Manifest};
use child::{Cancel, ChildCommand, ChildError, Limits, Program};
use serde_json::json;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::Args;
use crate::commands::bundle::extract::MadeDirectories;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::{Kind, Outputs};
use crate::signals::cancel_on_signals;
use crate::trust_options::open_believed;
use crate::ui::Ui;
use crate::words::bytes;

/// Where a host looks for bundles.
const INBOX: &str = "var/lib/stap-bundle/inbox";
/// How names of packages begin, which is also what a build calls a bundle without a name.
const PREFIX: &str = "stap-scripts";
/// Largest epoch of dpkg and rpm.
const LARGEST_EPOCH: u64 = i32::MAX as u64;
/// Time for the tool: it copies the bundle once or twice.
const LIMIT: Duration = Duration::from_secs(3600);

/// Whose packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PackageKind {
    Deb,
    Rpm,
}

impl PackageKind {
    const fn tool(self) -> &'static str {
        match self {
            Self::Deb => "dpkg-deb",
            Self::Rpm => "rpmbuild",
        }
    }

    const fn packages_with_tool(self) -> &'static str {
        match self {
            Self::Deb => "dpkg",
            Self::Rpm => "rpm-build (Debian: rpm)",
        }
    }
}

/// What a package is called.
struct Label {
    name: String,
    epoch: u64,
    /// In this order package managers compare it as hosts compare bundles.
    version: String,
}

impl Label {
    fn of(manifest: &Manifest) -> Result<Self, Failure> {
        if manifest.epoch > LARGEST_EPOCH {
            let what = format!(
                "the bundle has epoch {}, and a package's is at most {LARGEST_EPOCH}",
                manifest.epoch
            );
            return Err(Failure::new(Exit::Usage, what).hint("copy the bundle itself"));
        }
        let of_name = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '+' { c } else { '-' };
        // Another bundle's name may differ in what a package's can't have.
        let own = manifest.name.as_str();
        let of_version = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '.' };
        let mut name: String = own.to_ascii_lowercase().chars().map(of_name).collect();
        if name != own {
            let digest = Digest::of(own.as_bytes()).to_string();
            name = format!("{name}-{}", digest.get(..8).unwrap_or_default());
        }
        let version: String = manifest.version.as_str().chars().map(of_version).collect();
        Ok(Self {
            // Not of the names that the program's own packages have.
            name: if name == PREFIX { name } else { format!("{PREFIX}-{name}") },
            epoch: manifest.epoch,
            version: format!("{}+{version}", manifest.serial),
        })
    }

    fn file(&self, kind: PackageKind) -> String {
        match kind {
            PackageKind::Deb => format!("{}_{}_all.deb", self.name, self.version),
            PackageKind::Rpm => format!("{}-{}-1.noarch.rpm", self.name, self.version),
        }
    }
}

impl Args {
    pub(super) fn site_package(
        &self,
        kind: PackageKind,
        global: &Global,
        ui: &mut Ui,
    ) -> Result<Exit, Failure> {
        if self.file.is_input() {
            return Err(Failure::new(Exit::Usage, "a package is made of a file, not of standard input"));
        }
        let tool = Program::find(kind.tool()).map_err(|error| {
            Failure::of(Exit::Failed, &error)
                .hint(format!("it is in the package {}", kind.packages_with_tool()))
        })?;
        let bundle = open_believed(&self.file, &self.trust.keys(&[&self.file], global, ui)?)?;
        let manifest = bundle.manifest().clone();
        let label = Label::of(&manifest).map_err(|failure| failure.about(self.file.display()))?;
        let made = MadeDirectories::make(&self.output).map_err(|error| {
            Failure::of(Exit::Storage, &error).about(format_args!("directory {}", self.output.display()))
        })?;
        let path = self.output.join(label.file(kind));
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.input("the bundle", &self.file);
        outputs.inputs("the key", &self.trust.key);
        let place = outputs.place("-o", &path, Kind::Package)?;
        let cancel = Cancel::new();
        cancel_on_signals(&cancel)?;
        let beside = work_place(&self.output)?;
        let work = Work::new(&beside, bundle.into_source(), &label).map_err(|error| storage(&error))?;
        let package = work.pack(kind, &tool, &label, manifest.created, &cancel)?;
        let mut package = files::read::open(&package).map_err(|error| storage(&error))?;
        let copied =
            |target: &mut dyn io::Write| io::copy(&mut package, target).map_err(|error| storage(&error));
        let (_, written) = place.write(copied)?;
        let size = written.bytes;
        written.tell(ui, &path);
        made.keep();
        if ui.json {
            ui.document(&json!({ "packages": [{ "package": path, "bytes": size }] }));
        } else {
            ui.line(format!("{}: {}", path.display(), bytes(size)));
        }
        Ok(Exit::Done)
    }
}

/// Where the package is made: beside its place, for the bundle may be larger than the temporary directory; unless rpm would read its path as
/// something else.
fn work_place(output: &Path) -> Result<PathBuf, Failure> {
    let is_plain = |path: &Path| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
        path.to_str().is_some_and(|path| path.chars().all(plain))
    };
    let output = output.canonicalize().map_err(|error| storage(&error))?;
    let places = [output, std::env::temp_dir()];
    let plain = places.iter().find(|place| is_plain(place));
    plain.cloned().ok_or_else(|| {
        let what = format!("{}: its path has characters that rpm reads otherwise", places[0].display());
        Failure::new(Exit::Usage, what).hint("name another directory with -o, or with TMPDIR")
    })
}

/// A directory with what goes into the package.
struct Work {
    directory: TempDir,
    /// The bundle, below `root/`.
    bundle: String,
}

impl Work {
    fn new(beside: &Path, mut bundle: File, label: &Label) -> io::Result<Self> {
        let directory = TempDir::with_prefix_in(".package-", beside)?;
        let inbox = directory.path().join("root").join(INBOX);
        fs::create_dir_all(&inbox)?;
        let name = format!("{}_{}.stapb", label.name, label.version);
        bundle.rewind()?;
        io::copy(&mut bundle, &mut File::create(inbox.join(&name))?)?;
        // Whatever the umask is.
        for entry in WalkDir::new(directory.path().join("root")) {
            let entry = entry?;
            let mode = if entry.file_type().is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
        Ok(Self { directory, bundle: format!("{INBOX}/{name}") })
    }

    /// Runs the tool; returns the path of the package.
    fn pack(
        &self,
        kind: PackageKind,
        tool: &Program,
        label: &Label,
        created: u64,
        cancel: &Cancel,
    ) -> Result<PathBuf, Failure> {
        let command = match kind {
            PackageKind::Deb => self.by_dpkg(tool, label),
            PackageKind::Rpm => self.by_rpmbuild(tool, label),
        };
        let command = command.map_err(|error| storage(&error))?;
        let command = command
            .env("SOURCE_DATE_EPOCH", created.to_string())
            .env("HOME", self.directory.path())
            .env("LC_ALL", "C")
            .env_from_here("PATH");
        let failed = |error: ChildError| Failure::of(Exit::Failed, &error);
        let finished = command.run(&Limits::within(LIMIT), cancel).map_err(failed)?;
        if !finished.status.success() {
            let what = format!("{} ended with {}", kind.tool(), finished.status);
            let mut failure = Failure::new(Exit::Failed, what);
            failure.because = finished.stderr.text().lines().take(5).map(str::to_owned).collect();
            return Err(failure);
        }
        let out = self.directory.path().join("out");
        let mut found = fs::read_dir(&out).map_err(|error| storage(&error))?.flatten();
        found.next().map(|entry| entry.path()).ok_or_else(|| {
            Failure::new(Exit::Failed, format!("{} ended well and made no package", kind.tool()))
        })
    }

    fn by_dpkg(&self, tool: &Program, label: &Label) -> io::Result<ChildCommand> {
        let root = self.directory.path().join("root");
        fs::create_dir(root.join("DEBIAN"))?;
        fs::set_permissions(root.join("DEBIAN"), fs::Permissions::from_mode(0o755))?;
        fs::create_dir(self.directory.path().join("out"))?;
        let epoch = if label.epoch == 0 { String::new() } else { format!("{}:", label.epoch) };
        let control = format!(
            "Package: {}\nVersion: {epoch}{}\nArchitecture: all\nMaintainer: root <root@localhost>\nSection: admin\n\
             Priority: optional\nDepends: stap-bundle\nDescription: {SUMMARY}\n It is placed in the inbox of stap-bundle, which verifies \
             and installs it:\n by itself where stap-bundle-inbox.path is enabled, else by\n `stap-bundle install --inbox`. Removing the \
             package leaves what is installed.\n",
            label.name, label.version
        );
        fs::write(root.join("DEBIAN/control"), control)?;
        fs::set_permissions(root.join("DEBIAN/control"), fs::Permissions::from_mode(0o644))?;
        // The bundle is packed as well as it can be.
        Ok(ChildCommand::of(tool)
            .args(["--root-owner-group", "-Znone", "--build"])
            .arg(root)
            .arg(self.directory.path().join("out").join(label.file(PackageKind::Deb))))
    }

    fn by_rpmbuild(&self, tool: &Program, label: &Label) -> io::Result<ChildCommand> {
        let directory = self.directory.path();
        let spec = format!(
            "Name: {}\nEpoch: {}\nVersion: {}\nRelease: 1\nSummary: {SUMMARY}\nLicense: unknown\nBuildArch: noarch\nRequires: stap-bundle\n\
             %global _binary_payload w0.gzdio\n%global __os_install_post %{{nil}}\n\
             %description\nIt is placed in the inbox of stap-bundle, which verifies and installs it: by itself\nwhere stap-bundle-inbox.path is \
             enabled, else by `stap-bundle install --inbox`.\nRemoving the package leaves what is installed.\n\
             %install\ncp -a %{{stage}}/. %{{buildroot}}\n\
             %files\n/{}\n",
            label.name, label.epoch, label.version, self.bundle
        );
        fs::write(directory.join("package.spec"), spec)?;
        let define = |name: &str, value: &Path| format!("{name} {}", value.display());
        Ok(ChildCommand::of(tool)
            .args(["-bb", "--quiet", "--target", "noarch"])
            .arg("--define")
            .arg(define("_topdir", &directory.join("rpm")))
            .arg("--define")
            .arg(define("_rpmdir", &directory.join("out")))
            .arg("--define")
            .arg(define("stage", &directory.join("root")))
            .args(["--define", "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"])
            .args(["--define", "use_source_date_epoch_as_buildtime 1"])
            .args(["--define", "clamp_mtime_to_source_date_epoch 1"])
            .args(["--define", "_buildhost localhost"])
            .arg(directory.join("package.spec")))
    }
}

const SUMMARY: &str = "signed bundle of SystemTap scripts";

fn storage(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::of(Exit::Storage, error)
}
