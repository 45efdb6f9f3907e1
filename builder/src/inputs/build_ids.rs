//! `/usr/lib/debug/.build-id`: by the build id of a program, module or kernel its debuginfo, of all kernels in one place.
//!
//! Packages link what belongs to a kernel to its own directory, `…/lib/modules/REL/…`. So what comes for one kernel is no input of
//! the others. All else is one of each kernel: debuginfo of programs, which scripts probe too.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::{Arc, PoisonError};

use bundle_format::{Digest, FieldHasher, KernelRelease};

use super::tree_digest::{ByKernel, TreeDigests};
use super::tree_entry::Entry;
use crate::sandbox::Sysroot;

pub(super) const PLACE: &str = "/usr/lib/debug/.build-id";
/// What several files of debuginfo have in common (dwz(1)).
const DWZ: &str = "/usr/lib/debug/.dwz";

/// What is an input of this kernel; `None` if there is nothing.
pub(super) fn build_ids_of(
    sysroot: &Sysroot,
    release: &KernelRelease,
    digests: &TreeDigests<'_>,
) -> io::Result<Option<Digest>> {
    let own = build_ids(digests, &sysroot.bare())?.of(release);
    let mut hash = None;
    // All that a stored kernel has there is its own.
    for place in [PLACE, DWZ] {
        let stored = sysroot.overlay().kernel().map(|kernel| kernel.join(place.trim_start_matches('/')));
        if let Some(stored) = stored.filter(|stored| stored.is_dir()) {
            let digest = digests.of_entries(&digests.entries_at(&stored, Path::new(place))?)?;
            let known: FieldHasher = hash.unwrap_or_default();
            hash = Some(known.field(place).field(digest.as_bytes()));
        }
    }
    let Some(hash) = hash else { return Ok(own) };
    let hash = own.iter().fold(hash, |hash, own| hash.field(own.as_bytes()));
    Ok(Some(hash.finish()))
}

/// What is there in a sysroot, read once in a run for all its kernels.
fn build_ids(digests: &TreeDigests<'_>, sysroot: &Sysroot) -> io::Result<Arc<ByKernel>> {
    let mut known = digests.build_ids.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.get(sysroot.path()) {
        return Ok(Arc::clone(found));
    }
    let found = Arc::new(read(digests, sysroot)?);
    known.insert(sysroot.path().to_owned(), Arc::clone(&found));
    Ok(found)
}

fn read(digests: &TreeDigests<'_>, sysroot: &Sysroot) -> io::Result<ByKernel> {
    let Ok(place) = sysroot.resolve(Path::new(PLACE)) else { return Ok(ByKernel::default()) };
    let mut links: BTreeMap<String, FieldHasher> = BTreeMap::new();
    let mut rest: Vec<Entry> = Vec::new();
    for entry in digests.entries_below(sysroot, &place)? {
        if entry.metadata.is_dir() {
            continue;
        }
        let target = entry.metadata.is_symlink().then(|| std::fs::read_link(&entry.host)).transpose()?;
        match target.as_ref().and_then(|target| Some((release_in(target)?, target))) {
            Some((release, target)) => {
                let hash = links.remove(&release).unwrap_or_default();
                let hash = hash.field(entry.inside.as_os_str().as_bytes());
                links.insert(release, hash.field(target.as_os_str().as_bytes()));
            }
            None => rest.push(entry),
        }
    }
    let of_all = if rest.is_empty() { None } else { Some(digests.of_entries(&rest)?) };
    let own = links.into_iter().map(|(release, hash)| (release, hash.finish())).collect();
    Ok(ByKernel { own, of_all })
}

/// The release in a path with `lib/modules/REL/`.
fn release_in(target: &Path) -> Option<String> {
    let names: Vec<Component<'_>> = target.components().collect();
    let is_modules =
        |pair: &[Component<'_>]| pair == ["lib", "modules"].map(|name| Component::Normal(name.as_ref()));
    let at = names.windows(2).position(is_modules)?;
    names.get(at + 3)?;
    Some(names.get(at + 2)?.as_os_str().to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn what_is_linked_to_one_kernel_is_an_input_of_that_kernel_and_all_else_of_each() {
        let root = fake_sysroot(&[]);
        let index = tempfile::tempdir().unwrap();
        let look = || {
            let digests = TreeDigests::of_test(index.path());
            let found = read(&digests, &Sysroot::open(root.path()).unwrap()).unwrap();
            ["1.0", "2.0"].map(|release| found.of(&release.parse().unwrap()))
        };
        assert_eq!(look(), [None, None]);
        let at = |name: &str| root.path().join("usr/lib/debug/.build-id").join(name);
        for directory in ["ab", "cd"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        assert_eq!(look(), [None, None]);

        symlink("../../lib/modules/1.0/vmlinux", at("ab/1.debug")).unwrap();
        let [first, none] = look();
        assert!(first.is_some() && none.is_none());
        symlink("/usr/lib/debug/usr/lib/modules/2.0/kernel/fs/ext4.ko.debug", at("cd/2.debug")).unwrap();
        let [same, second] = look();
        assert!(same == first && second.is_some());
        fs::write(at("ab/3.debug"), "of a program").unwrap();
        let [one, two] = look();
        assert!(one.is_some() && one != first && two.is_some() && two != second);
        // No release follows, so it may be of any kernel.
        symlink("../../lib/modules/1.0", at("ab/4.debug")).unwrap();
        let [with_it, of_other] = look();
        assert!(with_it != one && of_other != two);
    }
}
