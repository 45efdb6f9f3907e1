//! What compiled the modules of a bundle: what they say of it themselves, since a build tree or an option of a script may call another
//! compiler than was expected.

use std::collections::BTreeSet;

use bundle_format::{BundleDraft, COMPILER_DIVIDER, KernelDraft, compiler_difference};

use crate::inputs::KernelTarget;
use crate::job::ModuleInfo;
use crate::plan::Plan;

/// What compiled these modules, as far as they say it: in the words of the compiler that the build tree calls (`called`), where it is
/// that one.
pub(crate) fn compilers_of<'a>(
    called: Option<&str>,
    modules: impl IntoIterator<Item = &'a ModuleInfo>,
) -> Option<String> {
    let found: BTreeSet<&str> = modules
        .into_iter()
        .flat_map(|module| module.compilers.iter().flatten())
        .map(|compiler| called.filter(|line| kernel_module::is_of(compiler, line)).unwrap_or(compiler))
        .collect();
    // A bundle names no more than anyone reads.
    let found: Vec<&str> = found.into_iter().take(8).collect();
    (!found.is_empty()).then(|| found.join(COMPILER_DIVIDER))
}

/// What the user should know of the compilers of a build's modules, besides what the plan knew.
pub(crate) fn warnings_of(plan: &Plan, draft: &BundleDraft) -> Vec<String> {
    let of_kernel = |draft: &KernelDraft| {
        let kernel = plan.kernels.iter().find(|kernel| kernel.release == draft.release)?;
        let found = draft.modules_compiler.as_ref()?;
        other_compiler(kernel, found)
    };
    draft.kernels.iter().filter_map(of_kernel).collect()
}

fn other_compiler(kernel: &KernelTarget, found: &str) -> Option<String> {
    if kernel.compiler.as_deref() == Some(found) {
        return None;
    }
    let release = &kernel.release;
    let built = kernel.kernel_compiler.as_deref();
    let differ = |found: &str| compiler_difference(built?, found);
    let difference = found.split(COMPILER_DIVIDER).find_map(differ);
    let Some(called) = &kernel.compiler else {
        return difference.map(|difference| format!("kernel {release} was {difference}"));
    };
    let difference =
        difference.map(|difference| format!("; the kernel was {difference}")).unwrap_or_default();
    Some(format!(
        "kernel {release}: its modules were to be compiled with {called}, and were with {found}{difference}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fake_job, fake_module};

    fn module(compilers: Option<&[&str]>) -> ModuleInfo {
        let bytes = fake_module("a", "1.0", "x");
        let read = ModuleInfo::read_of_any_machine(&bytes, &"a".parse().unwrap(), &"1.0".parse().unwrap());
        let compilers = compilers.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
        ModuleInfo { compilers, ..read.unwrap() }
    }

    #[test]
    fn modules_say_what_compiled_them() {
        let debian = "gcc (Debian 14.4.0-3) 14.4.0";
        let called = Some("gcc-14 (Debian 14.4.0-3) 14.4.0");
        let modules = [module(Some(&[debian])), module(Some(&[])), module(Some(&[debian]))];
        assert_eq!(compilers_of(called, &modules).as_deref(), called);
        assert_eq!(compilers_of(Some("gcc (Debian 16.2.0-3) 16.2.0"), &modules).as_deref(), Some(debian));
        assert_eq!(compilers_of(None, &modules).as_deref(), Some(debian));
        let both = [module(Some(&[debian])), module(Some(&["Debian clang version 19.1.7 (3)"]))];
        assert_eq!(
            compilers_of(called, &both).as_deref(),
            Some("Debian clang version 19.1.7 (3); gcc-14 (Debian 14.4.0-3) 14.4.0")
        );
        // That it isn't known is no answer.
        assert_eq!(compilers_of(called, &[module(None), module(Some(&[]))]), None);
    }

    #[test]
    fn another_compiler_than_the_tree_calls_is_named() {
        let mut kernel = (*fake_job("a", "1.0").kernel).clone();
        kernel.compiler = Some("gcc-14 (Debian 14.4.0-3) 14.4.0".to_owned());
        kernel.kernel_compiler = Some("gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld 2.44".to_owned());
        assert_eq!(other_compiler(&kernel, "gcc-14 (Debian 14.4.0-3) 14.4.0"), None);
        let unknown = KernelTarget { compiler: None, ..kernel.clone() };
        assert_eq!(other_compiler(&unknown, "gcc (Debian 14.4.0-3) 14.4.0"), None);
        assert_eq!(
            other_compiler(&unknown, "gcc (Debian 16.2.0-3) 16.2.0").unwrap(),
            "kernel 1.0 was built with gcc 14.2.0, its modules with gcc 16.2.0"
        );
        assert_eq!(
            other_compiler(&kernel, "gcc (Debian 16.2.0-3) 16.2.0").unwrap(),
            "kernel 1.0: its modules were to be compiled with gcc-14 (Debian 14.4.0-3) 14.4.0, and were with \
             gcc (Debian 16.2.0-3) 16.2.0; the kernel was built with gcc 14.2.0, its modules with gcc 16.2.0"
        );
    }
}
