//! Which compiler builds modules for a kernel, and what make is given so that it calls that one.
//!
//! A build tree may name its compiler (`CC` and `CROSS_COMPILE` in Debian's `.kernelvariables`). Others call `gcc`, whichever that is in
//! the sysroot. So where a tree names none, the one of the kernel's own version is looked for, by the line in its configuration.

use std::path::Path;

use bundle_format::{Digest, Machine, compiler_difference, gcc_series};
use child::{Cancel, Limits};

use super::architecture::tool_prefix_of;
use super::toolchain::{ToolchainError, VERSION_LIMIT, is_tool};
use crate::sandbox::{Inside, Sandbox, Sysroot};
use crate::state::{BuildDirectories, Notes, note_use};

/// The compiler for a kernel's modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModuleCompiler {
    /// Its name in the sysroot's `/usr/bin`.
    pub program: String,
    /// What make is given so that it calls it; nothing where the tree does by itself.
    pub make: Vec<String>,
    /// The program that would fit the kernel better, which the sysroot hasn't got.
    pub missing: Option<String>,
}

/// What decides on the compiler, besides the build tree.
pub(crate) struct CompilerWish<'a> {
    /// The kernel's machine.
    pub machine: &'a Machine,
    /// The machine of the sysroot's own programs, if they tell.
    pub native: Option<&'a Machine>,
    /// What compiled the kernel, if its tree tells.
    pub kernel_compiler: Option<&'a str>,
    /// The program that the user has named.
    pub named: Option<&'a str>,
}

impl CompilerWish<'_> {
    /// The prefix of cross tools, for kernels of another machine than the sysroot's.
    fn cross_prefix(&self) -> Option<&'static str> {
        self.native.filter(|native| *native != self.machine)?;
        tool_prefix_of(self.machine)
    }
}

/// How well a root is equipped for a tree: with the compiler that fits, with one that is called, or with none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Equipped {
    Not,
    WithUsual,
    WithFitting,
}

/// How well a root is equipped, by the names of its programs alone.
pub(crate) fn equipped(root: &Sysroot, tree: &Path, wish: &CompilerWish<'_>) -> Equipped {
    let by_tree = NamedByTree::read(root, tree);
    let cross = wish.cross_prefix();
    let chosen = wish.named.map(str::to_owned).or_else(|| by_tree.compiler(root, cross));
    if let Some(program) = chosen {
        return if has_program(root, &program) { Equipped::WithFitting } else { Equipped::Not };
    }
    let usual = by_tree.usual(cross);
    let fitting = wish.kernel_compiler.and_then(gcc_series).map(|series| format!("{usual}-{series}"));
    match fitting {
        Some(program) if has_program(root, &program) => Equipped::WithFitting,
        _ if has_program(root, &usual) => Equipped::WithUsual,
        _ => Equipped::Not,
    }
}

/// Chooses the compiler for the tree at `tree`. `version` says what a program of the sysroot calls itself.
pub(crate) fn module_compiler<E>(
    root: &Sysroot,
    tree: &Path,
    wish: &CompilerWish<'_>,
    version: &dyn Fn(&str) -> Result<Option<String>, E>,
) -> Result<ModuleCompiler, E> {
    let by_tree = NamedByTree::read(root, tree);
    let cross = wish.cross_prefix();
    let of_make = cross.filter(|_| by_tree.prefix.is_none());
    let mut make: Vec<String> = of_make.iter().map(|prefix| format!("CROSS_COMPILE={prefix}")).collect();
    if let Some(program) = wish.named {
        make.push(format!("CC={program}"));
        return Ok(ModuleCompiler { program: program.to_owned(), make, missing: None });
    }
    if let Some(program) = by_tree.compiler(root, cross) {
        return Ok(ModuleCompiler { program, make, missing: None });
    }
    let usual = by_tree.usual(cross);
    let used = version(&usual)?;
    let fits = |built: &str| used.as_deref().is_some_and(|used| compiler_difference(built, used).is_none());
    let fitting = match wish.kernel_compiler {
        Some(built) if !fits(built) => gcc_series(built).map(|series| format!("{usual}-{series}")),
        _ => None,
    };
    Ok(match fitting {
        Some(program) if has_program(root, &program) => {
            make.push(format!("CC={program}"));
            ModuleCompiler { program, make, missing: None }
        }
        missing => ModuleCompiler { program: usual, make, missing },
    })
}

/// Whether compiles in the root find a program of that name.
pub(crate) fn has_program(root: &Sysroot, program: &str) -> bool {
    root.host_path(&Path::new("/usr/bin").join(program)).is_ok_and(|path| path.is_file())
}

/// Whether a program has the name of a compiler: the toolchain's digest covers those, so results are compiled again when one changes.
pub(crate) fn is_compiler_name(name: &str) -> bool {
    is_tool(name) && (name.contains("gcc") || name.contains("clang"))
}

/// What a build tree says of the compiler that it calls.
#[derive(Debug, Default, PartialEq, Eq)]
struct NamedByTree {
    /// `CROSS_COMPILE`: what the names of compiler and binutils begin with.
    prefix: Option<String>,
    /// `CC`, without the prefix.
    name: Option<String>,
    /// It is called with the prefix.
    prefixed: bool,
}

impl NamedByTree {
    fn read(root: &Sysroot, tree: &Path) -> Self {
        Self::in_variables(&root.read(&tree.join(".kernelvariables")).unwrap_or_default())
    }

    /// Of `CC = $(if $(X),$(CCACHE)) $(CROSS_COMPILE)gcc-14` and `override CROSS_COMPILE = x86_64-linux-gnu-`.
    fn in_variables(variables: &str) -> Self {
        let value_of = |wanted: &str| {
            variables.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                let name = name.trim_end_matches([':', '?']).trim();
                let name = name.strip_prefix("override ").unwrap_or(name).trim();
                (name == wanted).then(|| value.trim())
            })
        };
        let word = value_of("CC").and_then(|value| value.split_ascii_whitespace().next_back());
        let name = word.and_then(|word| word.rsplit(')').next()).filter(|name| !name.is_empty());
        Self {
            prefix: value_of("CROSS_COMPILE").filter(|prefix| !prefix.is_empty()).map(str::to_owned),
            name: name.map(str::to_owned),
            prefixed: word.is_some_and(|word| word.contains("$(CROSS_COMPILE)")),
        }
    }

    /// The program that the tree names, if it does. A tree may take its prefix on other machines only, and without `CROSS_COMPILE` of its
    /// own it gets that of `cross`.
    fn compiler(&self, root: &Sysroot, cross: Option<&str>) -> Option<String> {
        let name = self.name.as_ref()?;
        let prefix = self.prefix.as_deref().or(cross).filter(|_| self.prefixed).unwrap_or_default();
        let whole = format!("{prefix}{name}");
        let takes_own = cross.is_none() && !has_program(root, &whole) && has_program(root, name);
        Some(if takes_own { name.clone() } else { whole })
    }

    /// What a tree calls that names no compiler.
    fn usual(&self, cross: Option<&str>) -> String {
        format!("{}gcc", self.prefix.as_deref().or(cross).unwrap_or_default())
    }
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
mod tests;
