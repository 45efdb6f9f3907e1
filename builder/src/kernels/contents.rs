//! What of a package belongs to kernels: which paths are kept, and of which releases they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use bundle_format::KernelRelease;
use walkdir::WalkDir;

/// Where a path of a package goes in a kernel's root; `None` if no compile reads it.
///
/// `/lib` is `/usr/lib` on every root, whichever of the two a package writes.
pub(super) fn kept(path: &Path) -> Option<PathBuf> {
    let path = match path.strip_prefix("lib") {
        Ok(rest) => Path::new("usr/lib").join(rest),
        Err(_) => path.to_owned(),
    };
    let mut names: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name.to_str()?),
            _ => return None,
        }
    }
    let is_kept = match names[..] {
        // Sources that only a debugger reads.
        ["usr", "src", "debug", ..] => false,
        ["usr", "src", _, ..] | ["usr", "lib", "debug" | "modules", _, ..] => true,
        ["usr", "lib", name, ..] => name.starts_with("linux-kbuild-"),
        ["boot", name] => {
            ["System.map-", "vmlinux-", "vmlinuz-", "config-"].iter().any(|of| name.starts_with(of))
        }
        _ => false,
    };
    is_kept.then_some(path)
}

/// Directories whose entries are called like releases.
const BY_RELEASE: [&str; 3] =
    ["usr/lib/modules", "usr/lib/debug/lib/modules", "usr/lib/debug/usr/lib/modules"];
/// Directories with files whose names end like releases.
const WITH_RELEASE: [(&str, &[&str]); 2] = [
    ("boot", &["System.map-", "vmlinux-", "vmlinuz-", "config-"]),
    ("usr/lib/debug/boot", &["System.map-", "vmlinux-"]),
];

/// The releases that a package's files are for; none if they may be any kernel's.
pub(super) fn releases_in(root: &Path) -> BTreeSet<KernelRelease> {
    let mut releases = BTreeSet::new();
    for directory in BY_RELEASE {
        releases.extend(names_in(&root.join(directory)).filter_map(|name| name.parse().ok()));
    }
    for (directory, prefixes) in WITH_RELEASE {
        for name in names_in(&root.join(directory)) {
            let release = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
            // `vmlinux-REL.debug` is the same kernel's.
            let release = release.map(|release| release.strip_suffix(".debug").unwrap_or(release));
            releases.extend(release.and_then(|release| release.parse().ok()));
        }
    }
    releases.extend(trees_in(root).into_iter().filter_map(|tree| release_of_tree(&root.join(tree))));
    releases
}

/// The build trees in a root: relative to it.
pub(super) fn trees_in(root: &Path) -> Vec<PathBuf> {
    let of_sources = names_in(&root.join("usr/src")).map(|name| Path::new("usr/src").join(name));
    let of_kernels =
        names_in(&root.join("usr/src/kernels")).map(|name| Path::new("usr/src/kernels").join(name));
    of_sources
        .chain(of_kernels)
        .filter(|tree| root.join(tree).join("include/generated/utsrelease.h").is_file())
        .collect()
}

/// What the tree's `utsrelease.h` says.
pub(super) fn release_of_tree(tree: &Path) -> Option<KernelRelease> {
    let text = files::read::read_text(&tree.join("include/generated/utsrelease.h"), 1 << 16).ok()?;
    text.split('"').nth(1)?.parse().ok()
}

pub(super) fn names_in(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.into_iter()
}

/// Where the debuginfo of a kernel itself may be.
pub(crate) fn vmlinux_places(release: &KernelRelease) -> [PathBuf; 5] {
    [
        format!("/usr/lib/debug/lib/modules/{release}/vmlinux"),
        format!("/usr/lib/debug/usr/lib/modules/{release}/vmlinux"),
        format!("/usr/lib/debug/boot/vmlinux-{release}"),
        format!("/lib/modules/{release}/vmlinux"),
        format!("/boot/vmlinux-{release}"),
    ]
    .map(PathBuf::from)
}

/// Whether a root has something at `inside`.
pub(super) fn has(root: &Path, inside: &Path) -> bool {
    root.join(inside.strip_prefix("/").unwrap_or(inside)).symlink_metadata().is_ok()
}

/// All files and links below `root`, relative to it, sorted.
pub(super) fn files_in(root: &Path) -> Vec<PathBuf> {
    let entries = WalkDir::new(root).sort_by_file_name().into_iter().flatten();
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files.filter_map(|entry| Some(entry.path().strip_prefix(root).ok()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compiles_read_is_kept_below_usr() {
        let place = |path: &str| kept(Path::new(path)).map(|path| path.display().to_string());
        for (path, expected) in [
            ("lib/modules/1.0/build", "usr/lib/modules/1.0/build"),
            ("usr/src/linux-headers-1.0/Makefile", "usr/src/linux-headers-1.0/Makefile"),
            ("usr/lib/linux-kbuild-6.12/scripts/mod", "usr/lib/linux-kbuild-6.12/scripts/mod"),
            ("usr/lib/debug/.dwz/x86_64/kernel", "usr/lib/debug/.dwz/x86_64/kernel"),
            ("boot/System.map-1.0", "boot/System.map-1.0"),
        ] {
            assert_eq!(place(path).as_deref(), Some(expected));
        }
        for path in [
            "usr/share/doc/x",
            "usr/bin/gcc",
            "etc/passwd",
            "boot/grub/grub.cfg",
            "usr/src",
            "usr/src/debug/k/a.c",
        ] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
