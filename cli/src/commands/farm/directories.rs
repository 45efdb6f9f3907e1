//! Where a farm keeps things: the cache, and the kernel store.

use std::path::{Path, PathBuf};

use builder::{BuildDirectories, KernelStore};

use crate::exit::Exit;
use crate::failure::Failure;

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::of(Exit::Usage, &error).about(path.display()))
}

/// The cache directory: as given, else below the user's own.
pub(super) fn cache_directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(cache) = given {
        return absolute(cache);
    }
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    user.map(|user| BuildDirectories::default_cache(&user)).ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_CACHE_HOME nor HOME is set")
            .hint("name the cache: --cache DIR")
    })
}

/// Where the kernel store is.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreOption {
    /// The kernel store [default: ~/.local/share/stap-bundle/kernels; for root /var/lib/stap-bundle-farm/kernels].
    #[arg(hide_short_help = true, long, value_name = "DIR", env = "STAP_BUNDLE_KERNEL_STORE")]
    kernel_store: Option<PathBuf>,
}

impl StoreOption {
    pub(super) fn directory(&self) -> Result<PathBuf, Failure> {
        if let Some(given) = &self.kernel_store {
            return absolute(given);
        }
        let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let user = from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")));
        user.map(|user| BuildDirectories::default_kernels(&user)).ok_or_else(|| {
            Failure::new(Exit::Usage, "neither XDG_DATA_HOME nor HOME is set")
                .hint("name the kernel store: --kernel-store DIR")
        })
    }

    pub(super) fn open(&self) -> Result<KernelStore, Failure> {
        Ok(KernelStore::at(self.directory()?))
    }
}
