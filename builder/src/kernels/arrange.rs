//! What packages leave out, or put where stap doesn't look: links from where it looks.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use bundle_format::KernelRelease;
use kernel_module::{Compression, build_id, build_id_of_file};

use super::contents::{files_in, kept, names_in, release_of_tree, source_directories, text_in, trees_in};
use super::error::KernelStoreError;

const DEBUG: &str = "usr/lib/debug";
pub(super) const BUILD_IDS: &str = "usr/lib/debug/.build-id";
/// Most bytes of a module that is unpacked for its build id.
const MAX_MODULE: u64 = 128 << 20;
/// Symbol tables are longer than the remark that Debian puts in the place of one.
const LEAST_SYMBOLS: u64 = 4096;

/// Directories that build trees refer to and that are not in the root, as seen inside.
pub(super) fn lacking(root: &Path) -> Vec<PathBuf> {
    let mut lacking = BTreeSet::new();
    for tree in source_directories(root) {
        let links = names_in(&root.join(&tree)).filter_map(|name| {
            let target = fs::read_link(root.join(&tree).join(name)).ok()?;
            Some(tree.join(target))
        });
        let makefile = text_in(root, &tree.join("Makefile")).unwrap_or_default();
        let included = makefile.lines().filter_map(|line| line.strip_prefix("include "));
        let included = included.map(|path| PathBuf::from(path.trim())).filter(|path| path.is_absolute());
        lacking.extend(links.chain(included).filter_map(|path| of_package(&path)));
    }
    lacking.retain(|top: &PathBuf| fs::symlink_metadata(root.join(top)).is_err());
    lacking.into_iter().map(|top| Path::new("/").join(top)).collect()
}

/// The directory that a package makes for this path: `usr/src/NAME`, `usr/lib/NAME`.
fn of_package(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => found.push(name),
            Component::ParentDir => _ = found.pop(),
            Component::RootDir => found.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let length = if found.starts_with("usr/src/kernels") { 4 } else { 3 };
    let top: PathBuf = found.components().take(length).collect();
    if top.starts_with("usr/lib/modules") { None } else { kept(&top) }
}

/// Adds the links that are missing.
pub(super) fn complete(root: &Path, release: &KernelRelease) -> Result<(), KernelStoreError> {
    link_build_tree(root, release)?;
    link_symbols(root, release)?;
    link_build_ids(root, release)
}

/// `lib/modules/REL/build`, which Fedora's package of the kernel itself brings.
fn link_build_tree(root: &Path, release: &KernelRelease) -> Result<(), KernelStoreError> {
    let link = root.join("usr/lib/modules").join(release.as_str()).join("build");
    let is_own = |tree: &PathBuf| release_of_tree(root, tree).as_ref() == Some(release);
    match trees_in(root).into_iter().find(is_own) {
        Some(tree) => link_new(&link, &Path::new("/").join(tree)),
        None => Ok(()),
    }
}

/// The symbol table where stap looks (`/usr/lib/debug/boot`, `/boot`): Debian and Fedora have it beside the modules.
fn link_symbols(root: &Path, release: &KernelRelease) -> Result<(), KernelStoreError> {
    let name = format!("System.map-{release}");
    let looked_at = [root.join(DEBUG).join("boot").join(&name), root.join("boot").join(&name)];
    let is_table = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.len() >= LEAST_SYMBOLS);
    for place in &looked_at {
        if is_table(place) {
            return Ok(());
        }
        if place.symlink_metadata().is_ok() {
            fs::remove_file(place).map_err(KernelStoreError::storage("remove", place))?;
        }
    }
    let beside_modules = ["usr/lib/debug/lib/modules", "usr/lib/debug/usr/lib/modules", "usr/lib/modules"];
    let places = beside_modules.map(|place| Path::new(place).join(release.as_str()).join("System.map"));
    match places.iter().find(|place| is_table(&root.join(place))) {
        Some(place) => link_new(&looked_at[0], &Path::new("/").join(place)),
        None => Ok(()),
    }
}

/// By build id the debuginfo of modules and of the kernel, and the modules themselves.
fn link_build_ids(root: &Path, release: &KernelRelease) -> Result<(), KernelStoreError> {
    let debuginfo = ["usr/lib/debug/lib/modules", "usr/lib/debug/usr/lib/modules", "usr/lib/debug/boot"];
    for base in debuginfo {
        let is_debuginfo = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let ending = path.extension().and_then(|ending| ending.to_str());
            name.starts_with("vmlinux") || matches!(ending, Some("ko" | "debug"))
        };
        for file in files_in(&root.join(base)).into_iter().filter(is_debuginfo) {
            let path = Path::new(base).join(file);
            let id = files::read::open(&root.join(&path)).ok().and_then(|file| build_id_of_file(&file));
            link_build_id(root, id.as_deref(), &path, ".debug")?;
        }
    }
    let own = Path::new("usr/lib/modules").join(release.as_str());
    for file in files_in(&root.join(&own)) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(packing) = Compression::of_module(name) else { continue };
        let path = own.join(&file);
        // A link to another one, or larger than any: stap finds it by its path.
        let Ok(bytes) = files::read::read(&root.join(&path), MAX_MODULE) else { continue };
        let id = packing.unpack(&bytes, MAX_MODULE).ok().and_then(|module| build_id(&module));
        link_build_id(root, id.as_deref(), &path, "")?;
    }
    Ok(())
}

fn link_build_id(root: &Path, id: Option<&str>, path: &Path, suffix: &str) -> Result<(), KernelStoreError> {
    let Some((first, rest)) = id.and_then(|id| id.split_at_checked(2)).filter(|(_, rest)| !rest.is_empty())
    else {
        return Ok(());
    };
    let link = root.join(BUILD_IDS).join(first).join(format!("{rest}{suffix}"));
    // From `usr/lib/debug/.build-id/XX`, as packages write it.
    let target = match path.strip_prefix(DEBUG) {
        Ok(below) => Path::new("../..").join(below),
        Err(_) => Path::new("/").join(path),
    };
    link_new(&link, &target)
}

/// A link, unless something is there.
fn link_new(link: &Path, target: &Path) -> Result<(), KernelStoreError> {
    if link.symlink_metadata().is_ok() {
        return Ok(());
    }
    let made = fs::create_dir_all(link.parent().unwrap_or(link)).and_then(|()| symlink(target, link));
    made.map_err(KernelStoreError::storage("make", link))
}
