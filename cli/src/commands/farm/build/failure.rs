//! Why nothing was built, in the user's words.

use std::path::Path;

use builder::{
    AssemblyError, BuildError, KernelTreeError, PlanError, PlanProblem, SandboxError, ToolchainError,
};
use bundle_format::BundleError;
use signing::KeyFileError;

use crate::commands::farm::best_before;
use crate::commands::farm::build::servers;
use crate::commands::farm::key_failure::key_failure;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::count;

pub(super) fn no_bundle(error: BundleError) -> Failure {
    let mut failure = Failure::from(error);
    failure.exit = Exit::NoBundle;
    failure.about("the bundle can't be made")
}

pub(crate) fn plan_failure(error: &PlanError, script_path: &Path) -> Failure {
    let mut problems = error.problems.iter();
    let Some(first) = problems.next() else { return Failure::new(Exit::NoBundle, "nothing can be built") };
    let mut failure = Failure::of(Exit::NoBundle, first);
    if error.problems.len() > 1 {
        failure.what = format!("{} keep this from being built", count(error.problems.len(), "problem"));
        failure.because =
            error.problems.iter().map(|problem| Failure::of(Exit::NoBundle, problem).one_line()).collect();
    }
    for problem in &error.problems {
        match problem {
            PlanProblem::NoBuildTree { .. } => failure.hints.extend([
                "install the headers package in the sysroot, or name another root: --sysroot DIR".to_owned(),
                "stap-bundle kernel missing, with the same kernels and sysroots, names all packages that are lacking"
                    .to_owned(),
            ]),
            PlanProblem::Cancelled => {
                failure.hints.push("run the same command again; what was read isn't read again".to_owned());
            }
            PlanProblem::Sandbox(SandboxError::Forbidden(forbidden))
            | PlanProblem::Toolchain(ToolchainError::Sandbox(SandboxError::Forbidden(forbidden))) => {
                failure.hints.push(forbidden.way_out.clone());
            }
            PlanProblem::NoScripts => failure.hints.push(format!(
                "put scripts into {} (SCRIPT_PATH of the configuration), or name `.stp` files",
                script_path.display()
            )),
            _ => {}
        }
    }
    failure.hints.sort();
    failure.hints.dedup();
    failure
}

pub(super) fn not_planned(error: &PlanError, script_path: &Path) -> Failure {
    let failure = plan_failure(error, script_path);
    let other_machine = error.problems.iter().find_map(|problem| match problem {
        PlanProblem::Tree { release, source: KernelTreeError::OtherMachine { .. }, .. } => Some(release),
        _ => None,
    });
    if let Some(release) = other_machine {
        return failure.hint(format!("or leave the kernel out: --skip '@{release}'"));
    }
    let without_tree = error.problems.iter().find_map(|problem| match problem {
        PlanProblem::NoBuildTree { release, .. } | PlanProblem::Tree { release, .. } => Some(release),
        _ => None,
    });
    match without_tree {
        Some(release) => {
            failure.hint(format!("or let the bundle say so to hosts that run it: --best-effort '@{release}'"))
        }
        None => failure,
    }
}

pub(super) fn builder_key_failure(error: &KeyFileError) -> Failure {
    let failure = key_failure(error).about("the key that signs this builder's results");
    Failure { exit: Exit::NoBundle, ..failure }
        .hint("or remove it: the next build makes a new one, and compiles again what the old one had signed")
}

pub(crate) fn build_failure(error: &BuildError) -> Failure {
    let failure = Failure::of(Exit::NoBundle, error);
    if let Some(failure) = servers::failure(error) {
        return failure;
    }
    match error {
        BuildError::BuilderKey(error) => builder_key_failure(error),
        BuildError::Assembly(AssemblyError::BestBefore(error)) => best_before::failure(error),
        BuildError::Cancelled { .. } => {
            failure.hint("run the same command again; finished cells are not compiled again")
        }
        BuildError::Sandbox(SandboxError::Forbidden(forbidden)) => failure.hint(forbidden.way_out.clone()),
        _ => failure,
    }
}
