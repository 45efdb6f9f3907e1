//! What in a package belongs to kernels: the paths that are kept, and the releases that they are for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use bundle_format::KernelRelease;
use files::FileSystem;
use walkdir::WalkDir;

/// Where a path of a package goes in a kernel's root; `None` if no compile reads it.
///
/// `/lib` is `/usr/lib` on every root, whichever of the two a package writes.
pub(super) fn kept(path: &Path) -> Option<PathBuf> {
    let path = on_merged_root(path.to_owned());
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

/// The path on a root in which `/lib` is a link to `usr/lib`: two paths of a package that are one there are one here too.
pub(super) fn on_merged_root(path: PathBuf) -> PathBuf {
    match path.strip_prefix("lib") {
        Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from("usr/lib"),
        Ok(rest) => Path::new("usr/lib").join(rest),
        Err(_) => path,
    }
}

/// Whether every package has a directory there, or nothing: what joins packages goes through these, so none may be a link.
pub(super) fn is_directory(path: &Path) -> bool {
    let names: Vec<&str> =
        path.components().map(|part| part.as_os_str().to_str().unwrap_or_default()).collect();
    matches!(
        names[..],
        ["usr" | "boot"]
            | ["usr", "src" | "lib"]
            | ["usr", "src", "kernels"]
            | ["usr", "lib", "modules" | "debug"]
            | ["usr", "lib", "modules", _]
            | ["usr", "lib", "debug", "boot" | "lib" | "usr" | ".build-id" | ".dwz"]
            | ["usr", "lib", "debug", ".build-id", _]
            | ["usr", "lib", "debug", "lib", "modules"]
            | ["usr", "lib", "debug", "lib", "modules", _]
            | ["usr", "lib", "debug", "usr", "lib"]
            | ["usr", "lib", "debug", "usr", "lib", "modules"]
            | ["usr", "lib", "debug", "usr", "lib", "modules", _]
    )
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
    releases.extend(source_directories(root).iter().filter_map(|tree| release_of_tree(root, tree)));
    releases
}

/// Directories in which packages put build trees, relative to the root; links to such are none.
pub(super) fn source_directories(root: &Path) -> Vec<PathBuf> {
    let of = |base: &'static str| names_in(&root.join(base)).map(move |name| Path::new(base).join(name));
    let all = of("usr/src").chain(of("usr/src/kernels"));
    all.filter(|tree| fs::symlink_metadata(root.join(tree)).is_ok_and(|metadata| metadata.is_dir())).collect()
}

/// The build trees in a root: relative to it.
pub(super) fn trees_in(root: &Path) -> Vec<PathBuf> {
    source_directories(root).into_iter().filter(|tree| release_of_tree(root, tree).is_some()).collect()
}

/// What the tree's `utsrelease.h` says.
pub(super) fn release_of_tree(root: &Path, tree: &Path) -> Option<KernelRelease> {
    let text = text_in(root, &tree.join("include/generated/utsrelease.h"))?;
    text.split('"').nth(1)?.parse().ok()
}

/// A small text file of a root; links are followed within it.
pub(super) fn text_in(root: &Path, path: &Path) -> Option<String> {
    let bytes = FileSystem::open(root).ok()?.read_file(path, 1 << 20).ok()?;
    String::from_utf8(bytes).ok()
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
    let entries = WalkDir::new(root).follow_root_links(false).sort_by_file_name().into_iter().flatten();
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
