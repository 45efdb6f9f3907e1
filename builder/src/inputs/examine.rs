//! Reading a build tree that was found: what it says of its kernel, and digests of all that a compile for it reads.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bundle_format::{Digest, FieldHasher, KernelRelease};

use super::build_ids::{PLACE, build_ids_of};
use super::kernel_tree::{KernelTarget, KernelTreeError, debuginfo_of, read_facts, trees_of};
use super::tree_digest::TreeDigests;
use super::warm_stamp::stamp;
use crate::kernels::StoredPackage;
use crate::sandbox::{Overlay, Sysroot};

/// Where the build tree of a release was found.
#[derive(Debug)]
pub(crate) struct FoundTree {
    pub release: KernelRelease,
    /// The sysroot that compiles for it.
    pub sysroot: usize,
    /// As seen inside the sysroot, without links.
    pub tree: PathBuf,
    /// It was given by its path, so stap gets the path.
    pub by_path: bool,
    /// What the sysroot hasn't got.
    pub overlay: Overlay,
    /// The packages of the kernel store that are part of that.
    pub packages: Vec<StoredPackage>,
}

pub(crate) fn examine_tree(
    sysroot: &Sysroot,
    found: &FoundTree,
    digests: &TreeDigests<'_>,
) -> Result<KernelTarget, KernelTreeError> {
    let sysroot = &sysroot.under(&found.overlay);
    let facts = read_facts(sysroot, &found.tree, &found.release)?;
    let read_error = |path: &Path, source| KernelTreeError::Read { path: path.to_owned(), source };
    let symvers = found.tree.join("Module.symvers");
    let symvers_digest =
        digests.of_bytes(sysroot, &symvers).map_err(|source| read_error(&symvers, source))?;
    let mut modified = 0;
    if let Ok(host) = sysroot.host_path(&symvers) {
        let time = host.metadata().and_then(|metadata| metadata.modified());
        let time = time.map_err(|source| read_error(&symvers, source))?;
        modified = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    }
    let auto_conf = found.tree.join("include/config/auto.conf");
    let config = digests.of_bytes(sysroot, &auto_conf).map_err(|source| read_error(&auto_conf, source))?;
    let TreesFound { tree: tree_digest, debuginfo } =
        tree_digests(sysroot, &found.tree, &found.release, digests)?;
    Ok(KernelTarget {
        release: found.release.clone(),
        machine: facts.machine,
        uname_v: facts.uname_v,
        symvers: symvers_digest,
        config,
        kernel_compiler: facts.kernel_compiler,
        sysroot: found.sysroot,
        build_tree: found.tree.clone(),
        tree_digest,
        debuginfo,
        compiler: None,
        make: Vec::new(),
        wants_symbol_versions: facts.wants_symbol_versions,
        by_path: found.by_path,
        overlay: found.overlay.clone(),
        packages: found.packages.clone(),
        stamp: stamp(sysroot, &found.tree),
        modified,
    })
}

/// What a compile for a kernel reads besides the toolchain.
pub(crate) struct TreesFound {
    pub tree: Digest,
    /// Digest of the kernel's debuginfo, if there is any.
    pub debuginfo: Option<Digest>,
}

/// Digests the build tree at `tree`, and the kernel's debuginfo.
pub(crate) fn tree_digests(
    sysroot: &Sysroot,
    tree: &Path,
    release: &KernelRelease,
    digests: &TreeDigests<'_>,
) -> Result<TreesFound, KernelTreeError> {
    let read_error = |path: &Path, source| KernelTreeError::Read { path: path.to_owned(), source };
    let mut hash = FieldHasher::new().field("stap-bundle build tree 1");
    for tree in trees_of(sysroot, tree, release) {
        let digest = digests.of_tree(sysroot, &tree).map_err(|source| read_error(&tree, source))?;
        hash = hash.field(tree.as_os_str().as_encoded_bytes()).field(digest.as_bytes());
    }
    let mut debuginfo = None;
    for place in debuginfo_of(sysroot, release) {
        let digest = digests.of_tree(sysroot, &place).map_err(|source| read_error(&place, source))?;
        let hash: FieldHasher = debuginfo.unwrap_or_default();
        debuginfo = Some(hash.field(place.as_os_str().as_encoded_bytes()).field(digest.as_bytes()));
    }
    let build_ids = build_ids_of(sysroot, release, digests);
    if let Some(digest) = build_ids.map_err(|source| read_error(Path::new(PLACE), source))? {
        debuginfo = Some(debuginfo.unwrap_or_default().field(PLACE).field(digest.as_bytes()));
    }
    Ok(TreesFound { tree: hash.finish(), debuginfo: debuginfo.map(FieldHasher::finish) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::inputs::toolchain::toolchain_digest;
    use crate::inputs::tracepoints::TapsetLibrary;
    use crate::job::KeyParts;
    use crate::testing::fake_sysroot;

    #[test]
    fn a_note_that_can_not_be_written_is_no_fault_of_a_build_tree() {
        let root = fake_sysroot(&["1.0"]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        // Long enough ago to be remembered.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let notes = Arc::default();
        let digests = TreeDigests::new(PathBuf::from("/proc/none"), Arc::clone(&notes));
        let release = "1.0".parse().unwrap();
        let tree = PathBuf::from("/usr/src/linux-headers-1.0");
        let found = installed(release, tree);
        examine_tree(&sysroot, &found, &digests).unwrap();
        toolchain_digest(&sysroot, &digests).unwrap();
        TapsetLibrary::of_sysroot(&sysroot, Path::new("/proc/none/aliases"), &notes).unwrap();
        let warning = notes.warning().unwrap();
        assert!(warning.contains("/proc/none"), "{warning}");
        assert_eq!(notes.warning(), None);
    }

    fn installed(release: KernelRelease, tree: PathBuf) -> FoundTree {
        let overlay = Overlay::default();
        FoundTree { release, sysroot: 0, tree, by_path: false, overlay, packages: Vec::new() }
    }

    /// A cell that was red for lack of debuginfo stayed red when that was installed, and a green one kept the old module.
    #[test]
    fn debuginfo_that_was_installed_left_the_key_as_it_was() {
        let root = fake_sysroot(&["1.0", "2.0"]);
        let index = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        let look = |release: &str| {
            let digests = TreeDigests::of_test(index.path());
            let release: KernelRelease = release.parse().unwrap();
            let tree = Path::new("/usr/src").join(format!("linux-headers-{release}"));
            let found = installed(release, tree);
            let target = examine_tree(&sysroot, &found, &digests).unwrap();
            let parts = KeyParts::new(Vec::new(), Digest::of(b"script"), Digest::of(b"toolchain"), &target);
            (target.debuginfo, target.tree_digest, parts.key())
        };
        let (none, tree, first) = look("1.0");
        assert_eq!(none, None);
        let (_, _, other) = look("2.0");
        let file = root.path().join("usr/lib/debug/lib/modules/1.0/vmlinux");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "one").unwrap();
        let (some, same_tree, second) = look("1.0");
        assert!(some.is_some() && second != first);
        // What stap keeps for a kernel is as good as before.
        assert_eq!((same_tree, look("2.0").2), (tree, other));
        let link = root.path().join("usr/lib/debug/.build-id/ab/1.debug");
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../../lib/modules/1.0/vmlinux", link).unwrap();
        assert!(look("1.0").2 != second && look("2.0").2 == other);
        std::fs::write(&file, "two").unwrap();
        assert!(![first, second].contains(&look("1.0").2));
    }
}
