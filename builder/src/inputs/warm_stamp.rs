//! Sizes and modification times by which stap names what it caches.
//!
//! The warm-up key covers the content of the toolchain and of the build tree. Stap itself looks at paths, sizes and times
//! (hash.cxx): after a `touch`, or in a copy of the sysroot that didn't keep the times, it finds nothing of what is cached
//! and makes it anew, in every job at once. So a part counts as complete only under the stamp that it was made under.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bundle_format::{Digest, FieldHasher};

use crate::sandbox::Sysroot;

/// Files and directories of the sysroot.
const OF_TOOLCHAIN: [&str; 4] =
    ["usr/bin/stap", "usr/bin/gcc", "usr/share/systemtap/runtime", "usr/share/systemtap/runtime/linux"];

/// Files and directories of the build tree.
const OF_TREE: [&str; 8] = [
    "",
    ".config",
    ".version",
    "include/generated/compile.h",
    "include/generated/utsrelease.h",
    "include/generated/uapi/linux/version.h",
    "include/linux",
    "include/trace/events",
];

/// The stamp of `sysroot` and of the build tree at `tree` in it.
pub(crate) fn stamp(sysroot: &Sysroot, tree: &Path) -> Digest {
    let mut hash = FieldHasher::new().field("stap-bundle warm-up stamp 1");
    let of_toolchain = OF_TOOLCHAIN.map(|name| Path::new(name).to_owned());
    let of_tree = OF_TREE.map(|name| if name.is_empty() { tree.to_owned() } else { tree.join(name) });
    for path in of_toolchain.into_iter().chain(of_tree) {
        hash = hash.field(path.as_os_str().as_encoded_bytes());
        if let Ok(metadata) = sysroot.host_path(&path).and_then(|host| host.metadata()) {
            let size = if metadata.is_dir() { 0 } else { metadata.size() };
            hash = hash.field(size.to_be_bytes()).field(metadata.mtime().to_be_bytes());
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn a_touched_file_changes_the_stamp() {
        let root = fake_sysroot(&["1.0"]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        let tree = Path::new("/usr/src/linux-headers-1.0");
        let first = stamp(&sysroot, tree);
        assert_eq!(first, stamp(&sysroot, tree));
        let header = root.path().join("usr/src/linux-headers-1.0/include/generated/compile.h");
        File::options()
            .write(true)
            .open(header)
            .unwrap()
            .set_modified(UNIX_EPOCH + Duration::from_secs(9))
            .unwrap();
        assert_ne!(first, stamp(&sysroot, tree));
    }
}
