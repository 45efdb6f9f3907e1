//! The compiler of each kernel of a plan.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use bundle_format::{KernelRelease, Machine, compiler_difference};
use child::Cancel;

use super::matrix::Plan;
use super::problem::PlanProblem;
use super::unbuilt::machine_of_program;
use crate::inputs::{
    CompilerWish, FoundTree, KernelTarget, ModuleCompiler, has_program, is_compiler_name, module_compiler,
    version_line,
};

/// Chooses the compilers of a plan's kernels.
pub(super) struct Compilers<'a> {
    /// Those that the user has named, by release.
    named: &'a BTreeMap<String, String>,
    /// The machine of each sysroot's own programs, as far as somebody has asked.
    natives: Vec<OnceCell<Option<Machine>>>,
    /// Compilers that sysroots lack, in words.
    pub(super) lacking: Vec<String>,
    /// What else the user should know.
    pub(super) warnings: Vec<String>,
}

impl<'a> Compilers<'a> {
    pub(super) fn new(named: &'a BTreeMap<String, String>, sysroots: usize) -> Self {
        let natives = (0..sysroots).map(|_| OnceCell::new()).collect();
        Self { named, natives, lacking: Vec::new(), warnings: Vec::new() }
    }

    /// What is wrong with the compilers that are named: of kernels which aren't `asked` for, or no compilers by their names.
    pub(super) fn problems(&self, asked: &dyn Fn(&str) -> bool) -> Vec<PlanProblem> {
        let problem = |(release, program): (&String, &String)| {
            let release = release.clone();
            let program = program.clone();
            if !asked(&release) {
                Some(PlanProblem::CompilerOfNoKernel { release, program })
            } else if !is_compiler_name(&program) {
                Some(PlanProblem::NoCompilerName { release, program })
            } else {
                None
            }
        };
        self.named.iter().filter_map(problem).collect()
    }

    /// Decides what kbuild will call for a kernel.
    pub(super) fn choose(
        &mut self,
        plan: &Plan,
        found: &FoundTree,
        target: &mut KernelTarget,
        cancel: &Cancel,
    ) -> Result<(), PlanProblem> {
        let Some(toolchain) = plan.toolchains[found.sysroot].as_ref() else { return Ok(()) };
        let sysroot = &plan.sysroots[found.sysroot];
        let version = |program: &str| {
            if !has_program(sysroot, program) {
                return Ok(None);
            }
            version_line(sysroot, program, &plan.sandbox, &plan.directories, toolchain.digest, cancel)
        };
        let release = &found.release;
        let named = self.named.get(release.as_str()).map(String::as_str);
        let native = self.natives[found.sysroot].get_or_init(|| machine_of_program(sysroot)).as_ref();
        let wish = CompilerWish {
            machine: &target.machine,
            native,
            kernel_compiler: target.kernel_compiler.as_deref(),
            named,
        };
        let root = sysroot.under(&found.overlay);
        let ModuleCompiler { program, make, missing } = module_compiler(&root, &found.tree, &wish, &version)?;
        target.compiler = version(&program)?;
        target.make = make;
        let place = sysroot.path().display();
        match (&target.compiler, named) {
            (None, Some(_)) => {
                let sysroot = sysroot.path().to_owned();
                return Err(PlanProblem::NoSuchCompiler { release: release.clone(), program, sysroot });
            }
            (None, None) => self.lacking.push(format!(
                "kernel {release}: its modules are compiled by {program}, which {place} hasn't got: {}",
                cure(release, &program)
            )),
            (Some(used), _) => {
                let built = target.kernel_compiler.as_deref();
                let difference = built.and_then(|built| compiler_difference(built, used));
                self.warnings.extend(difference.map(|difference| {
                    let missing = missing
                        .map(|missing| format!("; {place} has no {missing}: {}", cure(release, &missing)));
                    format!("kernel {release} was {difference}{}", missing.unwrap_or_default())
                }));
            }
        }
        Ok(())
    }
}

/// How a compiler that a sysroot lacks is got, or done without.
fn cure(release: &KernelRelease, program: &str) -> String {
    format!("install {}, or name another (--compiler {release}=PROGRAM)", package_of(program))
}

/// The Debian package with a compiler: `gcc-14` has `x86_64-linux-gnu-gcc-14`, `gcc-14-aarch64-linux-gnu` has that of another machine.
fn package_of(program: &str) -> String {
    let own = format!("{}-linux-gnu-", std::env::consts::ARCH);
    match program.split_once("-linux-gnu-") {
        Some((_, name)) if program.starts_with(&own) => format!("the Debian package {name}"),
        Some((machine, name)) => format!("the Debian package {name}-{}-linux-gnu", machine.replace('_', "-")),
        None => format!("it (Debian's package is called {program})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_of_a_compiler_is_named() {
        let own = format!("{}-linux-gnu-gcc-14", std::env::consts::ARCH);
        let other = if own.starts_with("aarch64") { "x86_64" } else { "aarch64" };
        let cross = format!("gcc-16-{}-linux-gnu", other.replace('_', "-"));
        assert_eq!(package_of(&own), "the Debian package gcc-14");
        assert_eq!(package_of(&format!("{other}-linux-gnu-gcc-16")), format!("the Debian package {cross}"));
        assert_eq!(package_of("gcc-12"), "it (Debian's package is called gcc-12)");
    }
}
