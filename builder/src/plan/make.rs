//! From a request to jobs: everything is checked before anything is compiled, and all that is wrong is reported at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bundle_format::{KernelRelease, ScriptName};
use child::Cancel;

use super::fleet::refusals;
use super::kernel_search::find_trees;
use super::matrix::Plan;
use super::problem::{PlanError, PlanProblem};
use super::request::BuildRequest;
use super::scripts::check_scripts;
use super::symbol_versions::refused_modules;
use super::unbuilt::excuse;
use crate::inputs::{
    FoundTree, ProgramState, Reading, TapsetLibrary, Tracepoints, TreeDigests, needs_one_processor,
    programs_named,
};
use crate::job::{CompileJob, KeyParts, compile_command};
use crate::sandbox::{Sandbox, Sysroot};
use crate::warm::{WarmUp, WarmUpFlags, WarmUpKey};

/// What was found of a request, before anything is read.
struct FoundRequest {
    /// Without kernels and jobs.
    plan: Plan,
    trees: Vec<FoundTree>,
    /// Kernels without a build tree, which the policy lets a build be without.
    excused: Vec<PlanProblem>,
}

impl Plan {
    /// Checks a request and makes the jobs, one for each script × kernel. Runs nothing but `--version` commands, and those
    /// only for a toolchain that it hasn't seen before.
    pub fn make(request: &BuildRequest, cancel: &Cancel) -> Result<Self, PlanError> {
        Self::make_telling(request, cancel, &|_, _, _| ())
    }

    /// As [`Plan::make`]; `reading` hears of large trees that are about to be read, which happens once, and of their bytes.
    pub fn make_telling(
        request: &BuildRequest,
        cancel: &Cancel,
        reading: &Reading<'_>,
    ) -> Result<Self, PlanError> {
        let FoundRequest { mut plan, trees, excused } = find(request)?;
        let digests = TreeDigests::of_build(&plan.directories).with_check(request.input_check);
        let digests = digests.cancelled_by(cancel, reading);
        let read = plan.read_inputs(&trees, excused, request, &digests, cancel);
        if cancel.is_cancelled() {
            return Err(PlanError { problems: vec![PlanProblem::Cancelled] });
        }
        let bad = read.map_err(|problem| PlanError { problems: vec![problem] })?;
        let left_out = blocked_by(&bad, request.leave_out);
        if left_out.len() < bad.len() {
            return Err(PlanError { problems: bad });
        }
        plan.blocked.extend(left_out);
        plan.warnings.extend(refusals(&plan.listed, &plan.kernels));
        plan.warnings.extend(plan.directories.notes().warning());
        plan.warnings.extend(plan.sandbox.note());
        plan.make_jobs(request.full_scan, &digests);
        plan.warnings.extend(refused_modules(&plan.jobs));
        Ok(plan)
    }

    fn make_jobs(&mut self, full_scan: bool, digests: &TreeDigests<'_>) {
        let mut tracepoints: BTreeMap<(usize, &ScriptName), Arc<Tracepoints>> = BTreeMap::new();
        let mut programs: BTreeMap<(usize, &ScriptName), Vec<ProgramState>> = BTreeMap::new();
        for kernel in &self.kernels {
            let Some(toolchain) = self.toolchains[kernel.sysroot].as_ref() else { continue };
            let sysroot = &self.sysroots[kernel.sysroot];
            for script in &self.scripts {
                let used = tracepoints.entry((kernel.sysroot, script.name())).or_insert_with(|| {
                    let used = self.libraries[kernel.sysroot].used_by(script);
                    Arc::new(if full_scan && used.are_looked_for() { Tracepoints::any() } else { used })
                });
                let named = programs
                    .entry((kernel.sysroot, script.name()))
                    .or_insert_with(|| programs_named(script, sysroot, digests));
                let options = [kernel.stap_options(), script.compile_options()].concat();
                let argv = compile_command(
                    script.name(),
                    &kernel.named_for_stap(),
                    &options,
                    &script.record().arguments,
                );
                let parts = KeyParts::new(argv, script.record().source_sha256, toolchain.digest, kernel)
                    .with_tapsets(script.tapsets().iter().map(|tapset| tapset.digest).collect())
                    .with_programs(named.clone())
                    .on_one_processor(needs_one_processor(&toolchain.stap))
                    .by_full_scan(full_scan && used.are_looked_for());
                let flags = WarmUpFlags::among(&options);
                self.jobs.push(CompileJob {
                    script: Arc::clone(script),
                    kernel: Arc::clone(kernel),
                    key: parts.key(),
                    parts,
                    warm_up_key: WarmUpKey::new(
                        sysroot,
                        toolchain.digest,
                        &kernel.build_tree,
                        kernel.tree_digest,
                        &flags,
                    ),
                    warm_up_flags: flags,
                    needs: WarmUp { configured: true, scanned: used.are_looked_for() },
                    tracepoints: Arc::clone(used),
                });
            }
        }
    }
}

/// Finds sysroots, build trees, scripts and the sandbox.
fn find(request: &BuildRequest) -> Result<FoundRequest, PlanError> {
    let mut kernel_problems = Vec::new();
    let sysroots = open_sysroots(&request.sysroots, &mut kernel_problems);
    let mut warnings = Vec::new();
    let trees = find_trees(&request.kernels(), &sysroots, &mut kernel_problems, &mut warnings);
    // In the order in which they are typed: kernels, scripts, roots.
    let (of_roots, of_kernels): (Vec<_>, Vec<_>) =
        kernel_problems.into_iter().partition(|problem| matches!(problem, PlanProblem::Sysroot(_)));
    let (missing, mut problems): (Vec<_>, Vec<_>) = of_kernels.into_iter().partition(|problem| {
        matches!(
            problem,
            PlanProblem::NoBuildTree { .. }
                | PlanProblem::TwoBuildTrees { .. }
                | PlanProblem::Incomplete { .. }
        )
    });
    let scripts = check_scripts(&request.scripts, &mut problems);
    problems.extend(of_roots);
    let (excused, missing): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|problem| excuse(problem, &scripts, &request.policy).is_some());
    let blocked = blocked_by(&missing, request.leave_out && problems.is_empty());
    if blocked.is_empty() {
        problems.extend(missing);
    }
    let sandbox = Sandbox::find()
        .and_then(|sandbox| request.directories.prepare(&sandbox).map(|()| sandbox))
        .and_then(|sandbox| match trees.iter().find_map(|tree| tree.overlay.kernel()) {
            Some(stored) => sandbox.check_reachable(stored).map(|()| sandbox),
            None => Ok(sandbox),
        })
        .map_err(|problem| problems.push(problem.into()))
        .ok();
    let Some(sandbox) = sandbox.filter(|_| problems.is_empty()) else {
        return Err(PlanError { problems });
    };
    let plan = Plan {
        scripts,
        kernels: Vec::new(),
        toolchains: sysroots.iter().map(|_| None).collect(),
        libraries: sysroots.iter().map(|_| TapsetLibrary::default()).collect(),
        sysroots,
        jobs: Vec::new(),
        unbuilt: Vec::new(),
        left_out: Vec::new(),
        blocked,
        listed: request.listed.clone(),
        warnings,
        sandbox,
        directories: request.directories.clone(),
    };
    Ok(FoundRequest { plan, trees, excused })
}

pub(super) fn open_sysroots(given: &[PathBuf], problems: &mut Vec<PlanProblem>) -> Vec<Arc<Sysroot>> {
    let whole_machine = [PathBuf::from("/")];
    let given = if given.is_empty() { &whole_machine[..] } else { given };
    let mut sysroots: Vec<Arc<Sysroot>> = Vec::new();
    for path in given {
        match Sysroot::open(path) {
            // The same root given twice, perhaps by two names, is one root.
            Ok(sysroot) if sysroots.iter().any(|known| known.path() == sysroot.path()) => {}
            Ok(sysroot) => {
                problems.extend(sysroot.problems().into_iter().map(PlanProblem::from));
                sysroots.push(Arc::new(sysroot));
            }
            Err(error) => problems.push(error.into()),
        }
    }
    sysroots
}

/// Which kernels are left out, and why, if that is wanted.
fn blocked_by(missing: &[PlanProblem], wanted: bool) -> Vec<(KernelRelease, String)> {
    let why = |problem: &PlanProblem| Some((problem.release()?.clone(), problem.in_one_line()));
    missing.iter().filter(|_| wanted).filter_map(why).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::state::BuildDirectories;
    use crate::testing::{fake_script, fake_sysroot};

    fn problems(releases: &[&str], sysroots: &[&Path]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let request = BuildRequest {
            releases: releases.iter().map(|release| (*release).to_owned()).collect(),
            sysroots: sysroots.iter().map(|path| (*path).to_owned()).collect(),
            scripts: vec![fake_script("counter")],
            ..BuildRequest::new(BuildDirectories::beneath(directory.path()))
        };
        let error = Plan::make(&request, &Cancel::new()).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_missing_tree_is_named_with_path_and_package() {
        let root = fake_sysroot(&["6.12.107+deb13-amd64", "6.12.9", "6.12.86+deb13-amd64", "6.1.0-9-amd64"]);
        let path = root.path().canonicalize().unwrap();
        for (release, nearest, package) in [
            (
                "6.12.107",
                "6.12.107+deb13-amd64",
                "its distribution's package with /lib/modules/6.12.107/build (linux-headers, kernel-devel or the like)",
            ),
            ("6.12.86+deb13-arm64", "6.12.86+deb13-amd64", "linux-headers-6.12.86+deb13-arm64"),
            ("6.12.9-300.fc41.x86_64", "6.12.9", "kernel-devel-6.12.9-300.fc41.x86_64"),
            (
                "6.12.9-default",
                "6.12.9",
                "its distribution's package with /lib/modules/6.12.9-default/build (linux-headers, kernel-devel or the like)",
            ),
        ] {
            let text = problems(&[release], &[&path]).join("\n");
            let place = path.join("lib/modules").join(release).join("build");
            let begins =
                format!("no build tree for {release}: there is no {}, but {nearest}, ", place.display());
            assert!(text.contains(&begins), "{text}");
            assert!(text.contains(&format!(" and 1 more; install {package}")), "{text}");
        }
        let empty = fake_sysroot(&[]);
        let text = problems(&["2.6.26.1"], &[empty.path()]).join("\n");
        assert!(
            text.contains("/build; install its distribution's package with /lib/modules/2.6.26.1/build "),
            "{text}"
        );
    }

    /// Only the first of a fleet's bad trees was reported, the next one by the next build; a dry run ended there.
    #[test]
    fn a_bad_build_tree_hid_all_others() {
        let root = fake_sysroot(&["1.0", "2.0"]);
        for (release, other) in [("3.0", "1.0"), ("4.0", "2.0")] {
            let modules = root.path().join("usr/lib/modules").join(release);
            std::fs::create_dir_all(&modules).unwrap();
            let tree = format!("/usr/src/linux-headers-{other}");
            std::os::unix::fs::symlink(tree, modules.join("build")).unwrap();
        }
        let text = problems(&["3.0", "4.0"], &[root.path()]);
        assert_eq!(text.len(), 2, "{text:?}");
        assert!(text[0].starts_with("the build tree of 3.0 in sysroot"), "{text:?}");
        let directory = tempfile::tempdir().unwrap();
        let request = BuildRequest {
            releases: vec!["3.0".to_owned(), "4.0".to_owned()],
            sysroots: vec![root.path().to_owned()],
            scripts: vec![fake_script("counter")],
            leave_out: true,
            ..BuildRequest::new(BuildDirectories::beneath(directory.path()))
        };
        let plan = Plan::make(&request, &Cancel::new()).unwrap();
        assert_eq!((plan.blocked.len(), plan.jobs.len()), (2, 0));
        assert!(plan.blocked[0].1.ends_with("is a build tree of 1.0, not of 3.0"), "{:?}", plan.blocked);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let empty = tempfile::tempdir().unwrap();
        let text = problems(&["a/b", "..", "1.0"], &[empty.path()]).join("\n");
        for part in
            ["`-r a/b`", "`..` is not a kernel release", "has no /usr/bin/stap", "no build tree for 1.0"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_release_in_two_sysroots_shows_both() {
        let one = fake_sysroot(&["1.0"]);
        let two = fake_sysroot(&["1.0"]);
        let first = one.path().canonicalize().unwrap();
        let second = two.path().canonicalize().unwrap();
        let text = problems(&["1.0"], &[&first, &second]);
        let expected = format!(
            "1.0 has a build tree in two sysroots, {} and {}; `--pin 1.0=DIR` decides",
            first.display(),
            second.display()
        );
        assert!(text.contains(&expected), "{text:?}");
        assert!(!problems(&["2.0"], &[&first, &first]).join("").contains("two sysroots"));
    }
}
