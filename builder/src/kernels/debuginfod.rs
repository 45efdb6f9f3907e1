//! Debuginfo by build id, from a debuginfod server: for farms that reach one.
//!
//! `debuginfod-find`, the client of elfutils, fetches; never in the sandbox, and never unasked. A server signs nothing, so what comes is
//! held to be what was asked for by its build id, and is recorded as that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::KernelRelease;
use child::{Cancel, ChildCommand, Limits, Program};
use kernel_module::build_id_of_file;

use super::add::{AddReport, AddedPackage};
use super::arrange::BUILD_IDS;
use super::contents::files_in;
use super::error::KernelStoreError;
use super::image::stored_build_id;
use super::join::{Unpacked, new_directory};
use super::packing::digest_from;
use super::record::{Checked, PackageFormat, StoredPackage};
use super::store::{KernelStore, ROOT, StoredKernel};

const CLIENT: &str = "debuginfod-find";
/// Time for one file; a kernel's debuginfo has some hundred megabytes.
const LIMIT: Duration = Duration::from_secs(3600);

/// What a server had.
#[derive(Debug)]
pub struct FetchReport {
    pub added: AddReport,
    /// Modules of the kernel whose debuginfo it hasn't got.
    pub missing: usize,
}

/// What is to be fetched: its build id, and where it goes in the kernel's root.
struct Wanted {
    id: String,
    place: PathBuf,
}

impl KernelStore {
    /// Fetches the debuginfo of a stored kernel and of its modules, as far as it isn't there. The kernel's build id is `id`, or is read
    /// from its image (a package of the kernel itself has it).
    pub fn fetch_debuginfo(
        &self,
        url: &str,
        release: &KernelRelease,
        id: Option<&str>,
        patience: Duration,
        begun: &mut dyn FnMut(&str),
    ) -> Result<FetchReport, KernelStoreError> {
        let (directory, lock) = self.lock(patience)?;
        Self::sweep(&directory, &lock)?;
        let kernel = self.get(release)?.ok_or_else(|| KernelStoreError::NotStored(release.clone()))?;
        let id = match id {
            Some(id) => Some(id.to_ascii_lowercase()),
            None => stored_build_id(&kernel)?,
        };
        let id = id.ok_or_else(|| KernelStoreError::NoBuildId(release.clone()))?;
        let place = new_directory(&self.directory)?;
        let client = Client::new(url, place.path())?;
        let root = place.path().join(ROOT);
        let debug = Path::new("usr/lib/debug/lib/modules").join(release.as_str());
        let mut added = AddReport { packages: Vec::new(), kernels: Vec::new() };
        let mut missing = 0;
        let mut fetched = None;
        if !kernel.has_debuginfo() {
            begun(&format!("the debuginfo of kernel {release}, build id {id}"));
            let wanted = Wanted { id: id.clone(), place: debug.join("vmlinux") };
            if !client.fetch(&wanted, &root)? {
                return Err(KernelStoreError::NotServed {
                    release: release.clone(),
                    id,
                    url: url.to_owned(),
                });
            }
            fetched = Some(root.join(wanted.place));
        }
        let modules = modules_without(&kernel, &debug);
        if !modules.is_empty() {
            begun(&format!("the debuginfo of {} of its modules", modules.len()));
        }
        for wanted in modules {
            if client.fetch(&wanted, &root)? {
                fetched.get_or_insert_with(|| root.join(&wanted.place));
            } else {
                missing += 1;
            }
        }
        let Some(first) = fetched else { return Ok(FetchReport { added, missing }) };
        let sha256 = digest_from(&mut files::read::open(&first)?, 0);
        let sha256 = sha256.map_err(KernelStoreError::storage("read", &first))?;
        let package = StoredPackage {
            name: "debuginfo".to_owned(),
            version: id,
            architecture: "any".to_owned(),
            format: PackageFormat::Debuginfod,
            file: url.to_owned(),
            sha256,
            checked: Checked::BuildId,
        };
        client.forget()?;
        let releases = [release.clone()].into();
        let unpacked = Unpacked { file: url.into(), package: package.clone(), releases, directory: place };
        let releases = unpacked.releases.clone();
        added.kernels = self.join(&directory, vec![unpacked])?;
        added.packages.push(AddedPackage { package, releases, was_there: false, is_empty: false });
        Ok(FetchReport { added, missing })
    }
}

/// The kernel's modules whose debuginfo isn't in the store.
fn modules_without(kernel: &StoredKernel, debug: &Path) -> Vec<Wanted> {
    let root = kernel.root();
    let own = Path::new("/usr/lib/modules").join(kernel.release.as_str());
    let wanted = |link: PathBuf| {
        let target = fs::read_link(root.join(BUILD_IDS).join(&link)).ok()?;
        let below = target.strip_prefix(&own).ok()?;
        let id: String = link.components().map(|part| part.as_os_str().to_string_lossy()).collect();
        let has_debuginfo =
            root.join(BUILD_IDS).join(format!("{}.debug", link.display())).symlink_metadata().is_ok();
        let name = below.to_str()?;
        let name = name.split_once(".ko").map_or(name, |(name, _)| name);
        (!has_debuginfo).then(|| Wanted { id, place: debug.join(format!("{name}.ko.debug")) })
    };
    files_in(&root.join(BUILD_IDS)).into_iter().filter_map(wanted).collect()
}

struct Client<'u> {
    program: Program,
    url: &'u str,
    /// Where it keeps what it fetches.
    cache: PathBuf,
}

impl<'u> Client<'u> {
    fn new(url: &'u str, directory: &Path) -> Result<Self, KernelStoreError> {
        let program =
            Program::find(CLIENT).map_err(|source| KernelStoreError::NoClient { program: CLIENT, source })?;
        Ok(Self { program, url, cache: directory.join("cache") })
    }

    /// Whether the server had it; then it is in its place.
    fn fetch(&self, wanted: &Wanted, root: &Path) -> Result<bool, KernelStoreError> {
        let finished = ChildCommand::of(&self.program)
            .args(["debuginfo", &wanted.id])
            .env("DEBUGINFOD_URLS", self.url)
            .env("DEBUGINFOD_CACHE_PATH", &self.cache)
            .env("HOME", &self.cache)
            .env_from_here("http_proxy")
            .env_from_here("https_proxy")
            .env_from_here("no_proxy")
            .run(&Limits::within(LIMIT), &Cancel::new())
            .map_err(|source| KernelStoreError::NoClient { program: CLIENT, source })?;
        let said = finished.stderr.text();
        if !finished.status.success() {
            if said.contains("No such file or directory") {
                return Ok(false);
            }
            let said = crate::words::quoted(said.lines().last().unwrap_or("nothing"));
            return Err(KernelStoreError::Server { url: self.url.to_owned(), said });
        }
        let from = PathBuf::from(finished.stdout.text().trim());
        let found = files::read::open(&from).ok().and_then(|file| build_id_of_file(&file));
        if found.as_ref() != Some(&wanted.id) {
            let said =
                format!("asked for build id {}, it sent {}", wanted.id, found.as_deref().unwrap_or("none"));
            return Err(KernelStoreError::Server { url: self.url.to_owned(), said });
        }
        let place = root.join(&wanted.place);
        let made =
            fs::create_dir_all(place.parent().unwrap_or(root)).and_then(|()| fs::rename(&from, &place));
        made.map_err(KernelStoreError::storage("write", &place))?;
        Ok(true)
    }

    fn forget(&self) -> Result<(), KernelStoreError> {
        match fs::remove_dir_all(&self.cache) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(KernelStoreError::storage("remove", &self.cache)(error))
            }
            _ => Ok(()),
        }
    }
}
