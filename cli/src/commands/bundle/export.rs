//! `export`: a bundle in a form that other programs take.

mod site_package;
mod tar_gz;

use std::path::PathBuf;

use bundle_format::KernelRelease;

use crate::bundle_path::{BundlePath, a_directory};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::ReplaceOption;
use crate::trust_options::TrustOptions;
use crate::ui::Ui;
use site_package::PackageKind;

/// Write a bundle as a package, for package managers or for the initscript alone
///
/// --deb and --rpm put the bundle as it is into a package that places it in the inbox of a host, where `install --inbox` takes it (the unit
/// stap-bundle-inbox.path does so by itself). Its version is the bundle's serial and version, so a package manager orders packages
/// as hosts order bundles. Removing the package leaves what is installed.
///
/// --tar-gz writes stap-scripts-RELEASE.tar.gz, with RELEASE/NAME.ko, RELEASE/NAME.opts and NAME.conf with the scripts' options and requirements,
/// as section 5.8.2 of the initscript's README unpacks them. Such a package carries no signature: a host that unpacks it checks
/// nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle export --deb stap-scripts-1.stapb -o /srv/repository\n  stap-bundle export --tar-gz stap-scripts-1.stapb -r 6.12.107-amd64"
)]
pub(crate) struct Args {
    /// The bundle; `-` is standard input, only with --tar-gz.
    file: BundlePath,
    /// One package per kernel, for the initscript.
    #[arg(long, group = "form")]
    tar_gz: bool,
    /// A Debian package (needs dpkg-deb).
    #[arg(long, group = "form")]
    deb: bool,
    /// An RPM package (needs rpmbuild).
    #[arg(long, group = "form")]
    rpm: bool,
    /// Where to.
    #[arg(short, long, value_name = "DIR", default_value = ".", value_parser = a_directory)]
    output: PathBuf,
    /// Only this kernel release, for --tar-gz; may be given several times.
    #[arg(short = 'r', long, value_name = "REL", conflicts_with_all = ["deb", "rpm"])]
    kernel: Vec<KernelRelease>,
    #[command(flatten)]
    replace: ReplaceOption,
    #[command(flatten)]
    trust: TrustOptions,
}

impl Args {
    pub(crate) fn run(self, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
        match (self.tar_gz, self.deb, self.rpm) {
            (true, ..) => self.tar_gz(global, ui),
            (_, true, _) => self.site_package(PackageKind::Deb, global, ui),
            (.., true) => self.site_package(PackageKind::Rpm, global, ui),
            (false, false, false) => Err(Failure::new(Exit::Usage, "export: no form given").hint(
                "--deb or --rpm for package managers; --tar-gz writes stap-scripts-RELEASE.tar.gz packages for the initscript",
            )),
        }
    }
}
