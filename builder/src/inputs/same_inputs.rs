//! Whether what a job was compiled with is what its key says.
//!
//! Digests of toolchain and build tree are taken when the plan is made; the compile reads the files later, minutes or hours for a
//! large matrix. A package that is upgraded meanwhile would leave modules of the new files under keys of the old ones. So after a
//! compile, and before its result is kept, the directories are looked at again, which costs some milliseconds; only where one of
//! them has changed are files read. Scripts and tapsets of options (`-I`) need none of it: their bytes are those of the plan.

use std::sync::Arc;

use bundle_format::Digest;

use super::examine::tree_digests;
use super::kernel_tree::KernelTarget;
use super::programs::{ProgramState, programs_named};
use super::script::ScriptSource;
use super::toolchain::toolchain_digest;
use super::tree_digest::{InputCheck, TreeDigests};
use crate::sandbox::Sysroot;

/// What has changed, in words for a manifest: no path of this machine is in it.
pub(crate) fn changed_input(
    sysroots: &[Arc<Sysroot>],
    digests: TreeDigests<'_>,
    kernel: &KernelTarget,
    toolchain: Digest,
    script: &ScriptSource,
    programs: &[ProgramState],
) -> Option<String> {
    let digests = digests.with_check(InputCheck::Directories);
    let sysroot = sysroots.get(kernel.sysroot)?;
    let sentence = |what: &str| Some(format!("{what} changed while this was compiled: build again"));
    // What can't be read any more has changed too.
    if !toolchain_digest(sysroot, &digests).is_ok_and(|found| found == toolchain) {
        return sentence("systemtap, the compiler or a library");
    }
    let root = sysroot.under(&kernel.overlay);
    let found = tree_digests(&root, &kernel.build_tree, &kernel.release, &digests);
    if !found.is_ok_and(|found| found.tree == kernel.tree_digest && found.debuginfo == kernel.debuginfo) {
        return sentence("the kernel's build tree or debuginfo");
    }
    if programs_named(script, sysroot, &digests) != programs {
        return sentence("a program that the script probes");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use fixtures::program::program_with;

    use super::*;
    use crate::testing::{fake_job, fake_script, fake_sysroot, script_with};

    #[test]
    fn an_upgrade_while_a_job_runs_is_seen() {
        let root = fake_sysroot(&["1.0"]);
        let index = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let sysroots = [Arc::new(Sysroot::open(root.path()).unwrap())];
        let release = "1.0".parse().unwrap();
        let tree = Path::new("/usr/src/linux-headers-1.0");
        let digests = || TreeDigests::of_test(index.path());
        let planned = || {
            let mut kernel = (*fake_job("a", "1.0").kernel).clone();
            kernel.build_tree = tree.to_owned();
            let found = tree_digests(&sysroots[0], tree, &release, &digests()).unwrap();
            (kernel.tree_digest, kernel.debuginfo) = (found.tree, found.debuginfo);
            (kernel, toolchain_digest(&sysroots[0], &digests()).unwrap())
        };
        let changed = |(kernel, toolchain): &(KernelTarget, Digest)| {
            changed_input(&sysroots, digests(), kernel, *toolchain, &fake_script("a"), &[])
                .unwrap_or_default()
        };
        let first = planned();
        assert_eq!(changed(&first), "");
        // As a package manager does it: a new file takes the old one's place.
        let replace = |path: &str, bytes: &str| {
            fs::write(at("new"), bytes).unwrap();
            fs::rename(at("new"), at(path)).unwrap();
        };
        replace("usr/bin/stap", "another program");
        assert!(
            changed(&first).starts_with("systemtap, the compiler or a library changed"),
            "{}",
            changed(&first)
        );
        // Put back, it is the old one, whatever its time says.
        replace("usr/bin/stap", "not a program");
        assert_eq!(changed(&first), "");
        replace("usr/src/linux-headers-1.0/Module.symvers", "other symbols");
        assert!(changed(&first).starts_with("the kernel's build tree"), "{}", changed(&first));
        let second = planned();
        assert_eq!(changed(&second), "");
        fs::create_dir_all(at("usr/lib/debug/lib/modules/1.0")).unwrap();
        fs::write(at("usr/lib/debug/lib/modules/1.0/vmlinux"), "symbols").unwrap();
        assert!(changed(&second).starts_with("the kernel's build tree"), "{}", changed(&second));
        let third = planned();
        assert_eq!(changed(&third), "");
        let script = script_with("probe process(\"/opt/probed\").begin { }", "");
        let absent = programs_named(&script, &sysroots[0], &digests());
        let of_program = |planned: &[ProgramState]| {
            changed_input(&sysroots, digests(), &third.0, third.1, &script, planned)
        };
        assert_eq!(of_program(&absent), None);
        fs::create_dir_all(at("opt")).unwrap();
        fs::write(at("opt/probed"), program_with(&[1])).unwrap();
        let there = programs_named(&script, &sysroots[0], &digests());
        assert!(of_program(&absent).unwrap().starts_with("a program that the script probes changed"));
        assert_eq!(of_program(&there), None);
        fs::write(at("opt/probed"), program_with(&[2])).unwrap();
        assert!(of_program(&there).is_some());
        fs::remove_dir_all(at("usr/src/linux-headers-1.0")).unwrap();
        assert!(changed(&third).starts_with("the kernel's build tree"), "{}", changed(&third));
    }
}
