//! What compiles in a sysroot: its versions, and a digest of all that can change a module's bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::{Digest, FieldHasher, Toolchain};
use child::{Cancel, ChildError, Limits};

use super::tree_digest::TreeDigests;
use crate::sandbox::{Inside, Sandbox, SandboxError, Sysroot};
use crate::state::{BuildDirectories, Notes, note_use};

/// Trees that stap and the compiler read or run, where they exist.
const TREES: [&str; 7] = [
    "usr/share/systemtap/runtime",
    "usr/share/systemtap/tapset",
    "usr/lib/systemtap",
    "usr/libexec/systemtap",
    "usr/lib/gcc",
    "usr/libexec/gcc",
    "usr/lib/bpf",
];

/// Programs by exact name; see also [`is_tool`].
const PROGRAMS: [&str; 12] =
    ["stap", "make", "sh", "dash", "bash", "as", "ld", "ld.bfd", "nm", "ar", "objcopy", "perl"];

/// Directories whose shared libraries the programs use; on Debian they are one level further down.
const LIBRARIES: [&str; 2] = ["usr/lib64", "usr/lib"];

/// Asking for a version takes a moment; a program that hangs isn't waited for.
pub(crate) const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Why a sysroot's toolchain can't be known.
#[derive(Debug, thiserror::Error)]
pub enum ToolchainError {
    #[error("the toolchain in {sysroot} can't be read")]
    Read { sysroot: PathBuf, source: io::Error },
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Child(#[from] ChildError),
    #[error("{command} in {sysroot} fails ({status}): {output}")]
    Version { command: String, sysroot: PathBuf, status: child::Ended, output: String },
}

/// Digests the toolchain of `sysroot` and asks its versions; those are remembered by the digest.
pub(crate) fn examine(
    sysroot: &Sysroot,
    sandbox: &Sandbox,
    digests: &TreeDigests<'_>,
    directories: &BuildDirectories,
    cancel: &Cancel,
) -> Result<Toolchain, ToolchainError> {
    let read_error = |source| ToolchainError::Read { sysroot: sysroot.path().to_owned(), source };
    let digest = toolchain_digest(sysroot, digests).map_err(read_error)?;
    let remembered = directories.index().join(format!("toolchain-{digest}.json"));
    if let Some(toolchain) = Notes::read(&remembered) {
        note_use(&remembered);
        return Ok(toolchain);
    }
    let work = directories.new_work(sandbox)?;
    let ask = |program: &str| -> Result<String, ToolchainError> {
        let argv = [program.to_owned(), "--version".to_owned()];
        let command = sandbox.command(&Inside::new(sysroot, &work), &argv).combined_output();
        let finished = command.run(&Limits::within(VERSION_LIMIT), cancel)?;
        let output = finished.stdout.text();
        if !finished.status.success() {
            return Err(ToolchainError::Version {
                command: argv.join(" "),
                sysroot: sysroot.path().to_owned(),
                status: finished.status,
                output: output.lines().next().unwrap_or_default().to_owned(),
            });
        }
        Ok(output)
    };
    let stap = stap_version(&ask("stap")?);
    let compiler = ask("gcc")?.lines().next().unwrap_or_default().to_owned();
    let toolchain = Toolchain { stap, compiler, digest };
    directories.notes().write(&remembered, &toolchain);
    Ok(toolchain)
}

/// What stands behind "version" in `Systemtap translator/driver (version 5.6/0.193, Debian version 5.6-1)`.
pub(crate) fn stap_version(output: &str) -> String {
    let first = output.lines().next().unwrap_or_default();
    let version = first.split_once("(version ").map_or(first, |(_, rest)| rest);
    version.strip_suffix(')').unwrap_or(version).trim().to_owned()
}

/// Whether this version of stap makes the same module again only if it finds one processor: `STAP_NTHREADS`, which keeps it
/// to one thread, came with 5.6. A version that can't be read may be any.
pub(crate) fn needs_one_processor(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|digits| digits.parse::<u32>().ok());
    number().zip(number()).is_none_or(|version| version < (5, 6))
}

/// The digest of all that a compile in `sysroot` runs or reads, but for build trees.
pub(crate) fn toolchain_digest(sysroot: &Sysroot, digests: &TreeDigests<'_>) -> io::Result<Digest> {
    let mut hash = FieldHasher::new().field("stap-bundle toolchain 1");
    for tree in TREES {
        if sysroot.host_path(Path::new(tree)).is_ok() {
            hash = hash.field(tree).field(digests.of_tree(sysroot, Path::new(tree))?.as_bytes());
        }
    }
    let programs = files_in(sysroot, Path::new("usr/bin"), &is_tool)?;
    hash = hash.field(digests.of_files(sysroot, Path::new("programs"), &programs)?.as_bytes());
    let mut libraries = Vec::new();
    for directory in LIBRARIES.map(Path::new) {
        libraries.extend(files_in(sysroot, directory, &is_library)?);
        for triplet in files_in(sysroot, directory, &|name| name.contains("-linux-gnu"))? {
            libraries.extend(files_in(sysroot, &triplet, &is_library)?);
        }
    }
    Ok(hash.field(digests.of_files(sysroot, Path::new("libraries"), &libraries)?.as_bytes()).finish())
}

/// Compilers, assemblers and linkers have many names: `gcc-14`, `x86_64-linux-gnu-gcc-14`, …
pub(super) fn is_tool(name: &str) -> bool {
    const COMPILERS: [&str; 4] = ["gcc", "clang", "ld.lld", "llvm-"];
    PROGRAMS.contains(&name)
        || name.contains("-linux-gnu-")
        || COMPILERS.iter().any(|compiler| name.starts_with(compiler))
}

fn is_library(name: &str) -> bool {
    name.contains(".so")
}

/// What in `directory` has a wanted name, links followed inside the root: each once, in order. Nothing if it's absent.
fn files_in(sysroot: &Sysroot, directory: &Path, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let Ok(host) = sysroot.host_path(directory) else { return Ok(Vec::new()) };
    let mut files = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(host)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(wanted) {
            // A link that leads nowhere can't change a module.
            files.extend(sysroot.resolve(&directory.join(name)));
        }
    }
    Ok(files.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_sysroot;

    #[test]
    fn the_version_is_what_stap_calls_it() {
        let output = "Systemtap translator/driver (version 5.6/0.193, Debian version 5.6-1)\nCopyright …\n";
        assert_eq!(stap_version(output), "5.6/0.193, Debian version 5.6-1");
        assert_eq!(stap_version("strange"), "strange");
    }

    #[test]
    fn a_stap_that_does_not_know_stap_nthreads_gets_one_processor() {
        for old in ["5.1/0.192, Debian version 5.1-5", "4.8/0.187", "5.5", "2.6", "strange", "", "5"] {
            assert!(needs_one_processor(old), "{old}");
        }
        for new in ["5.6/0.193, Debian version 5.6-1", "5.10/0.199", "6.0", "10.1"] {
            assert!(!needs_one_processor(new), "{new}");
        }
    }

    #[test]
    fn a_changed_tapset_or_compiler_changes_the_digest() {
        let root = fake_sysroot(&[]);
        let digest = || {
            let index = tempfile::tempdir().unwrap();
            let digests = TreeDigests::of_test(index.path());
            toolchain_digest(&Sysroot::open(root.path()).unwrap(), &digests).unwrap()
        };
        let first = digest();
        std::fs::write(root.path().join("usr/share/systemtap/tapset/tapset.stp"), "other").unwrap();
        let second = digest();
        std::fs::write(root.path().join("usr/bin/x86_64-linux-gnu-gcc-14"), "compiler").unwrap();
        let third = digest();
        std::fs::write(root.path().join("usr/bin/unrelated"), "program").unwrap();
        assert!(first != second && second != third);
        assert_eq!(third, digest());
        std::fs::write(root.path().join("usr/bin/clang-19"), "compiler").unwrap();
        assert_ne!(third, digest());
    }
}
