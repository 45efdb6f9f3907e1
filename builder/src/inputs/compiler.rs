//! Which compiler builds modules for a kernel.

use std::path::Path;

use bundle_format::Digest;
use child::{Cancel, Limits};

use super::toolchain::{ToolchainError, VERSION_LIMIT};
use crate::sandbox::{Inside, Sandbox, Sysroot};
use crate::state::{BuildDirectories, Notes, note_use};

/// The program that kbuild calls for the tree at `tree`: distributions name one (`CC` in Debian's `.kernelvariables`).
pub(crate) fn compiler_of(tree_root: &Sysroot, tree: &Path) -> String {
    let variables = tree_root.read(&tree.join(".kernelvariables")).unwrap_or_default();
    named_in(&variables).unwrap_or_else(|| "gcc".to_owned())
}

/// `gcc-14` of `CC = $(if $(X),$(CCACHE)) $(CROSS_COMPILE)gcc-14`.
fn named_in(variables: &str) -> Option<String> {
    let value = variables.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim_end_matches([':', '?']).trim();
        (name.strip_prefix("override ").unwrap_or(name).trim() == "CC").then_some(value)
    })?;
    let word = value.split_ascii_whitespace().next_back()?;
    let word = word.rsplit(')').next()?;
    (!word.is_empty()).then(|| word.to_owned())
}

/// What `PROGRAM --version` says first, remembered by the toolchain's digest; `None` if the sysroot can't run it.
pub(crate) fn version_line(
    sysroot: &Sysroot,
    program: &str,
    sandbox: &Sandbox,
    directories: &BuildDirectories,
    toolchain: Digest,
    cancel: &Cancel,
) -> Result<Option<String>, ToolchainError> {
    let name = program.replace('/', "_");
    let remembered = directories.index().join(format!("compiler-{name}-{toolchain}.txt"));
    if let Some(line) = Notes::read_text(&remembered) {
        note_use(&remembered);
        return Ok(Some(line));
    }
    let work = directories.new_work(sandbox)?;
    let argv = [program.to_owned(), "--version".to_owned()];
    let command = sandbox.command(&Inside::new(sysroot, &work), &argv).combined_output();
    let finished = command.run(&Limits::within(VERSION_LIMIT), cancel)?;
    if !finished.status.success() {
        return Ok(None);
    }
    let line = finished.stdout.text().lines().next().unwrap_or_default().to_owned();
    directories.notes().write_text(&remembered, &line);
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_names_its_compiler() {
        let debian =
            "CCACHE = ccache\nCC = $(if $(DEBIAN_KERNEL_USE_CCACHE),$(CCACHE)) $(CROSS_COMPILE)gcc-14\n";
        assert_eq!(named_in(debian).as_deref(), Some("gcc-14"));
        assert_eq!(named_in("override CC := gcc-12\n").as_deref(), Some("gcc-12"));
        assert_eq!(named_in("override ARCH = x86\n"), None);
    }
}
