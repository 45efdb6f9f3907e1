//! Kernels that nothing can be compiled for, because no good build tree of them is there, and what the policy makes of them.
//!
//! One of which every cell may be red is named in the bundle all the same, with red cells: a host that runs it is told why it has no
//! modules. What isn't known without a build tree (`uname -v`, digests) is left out of the manifest, so every build of that release is
//! meant.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use bundle_format::{KernelRelease, Machine};

use super::policy::{CellPattern, CellPolicy, Demand};
use super::problem::PlanProblem;
use crate::inputs::{KernelTarget, KernelTreeError, NamedMachine, ScriptSource, build_link};
use crate::job::{ELF_HEADER, machine_of_elf};
use crate::sandbox::Sysroot;

/// The program of a sysroot whose machine is that of its kernels.
const STAP: &str = "/usr/bin/stap";

/// A kernel of the bundle without a build tree.
#[derive(Debug, Clone)]
pub(crate) struct UnbuiltKernel {
    pub release: KernelRelease,
    pub machine: Machine,
    /// The sysroot that would have compiled for it.
    pub sysroot: usize,
    /// For the manifest: no path of this machine is in it.
    pub why: String,
}

/// What the policy makes of a kernel without a good build tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate<'p> {
    /// Something of it is required: the build can't be.
    Problem,
    /// Nothing is wanted of it; one of the patterns that say so.
    LeftOut(&'p CellPattern),
    /// The bundle names it.
    Unbuilt,
}

impl<'p> Fate<'p> {
    pub(crate) fn of(release: &KernelRelease, scripts: &[Arc<ScriptSource>], policy: &'p CellPolicy) -> Self {
        let wanted: Vec<Demand<'p>> =
            scripts.iter().map(|script| policy.of(script.name(), release)).collect();
        let skips: Vec<&CellPattern> = wanted
            .iter()
            .filter_map(|wanted| match wanted {
                Demand::Skip(pattern) => Some(*pattern),
                _ => None,
            })
            .collect();
        match skips.first() {
            Some(pattern) if skips.len() == wanted.len() => Self::LeftOut(pattern),
            _ if wanted.is_empty() || wanted.contains(&Demand::Required) => Self::Problem,
            _ => Self::Unbuilt,
        }
    }
}

impl UnbuiltKernel {
    /// The kernel that a problem is about. `None` if the problem isn't a missing or bad tree, or if the kernel's machine can't be known:
    /// it is what the release's name says, else that of the sysroots which would compile for it, as their other kernels say if those
    /// agree, else as their `stap` does.
    pub(crate) fn of(
        problem: &PlanProblem,
        sysroots: &[Arc<Sysroot>],
        kernels: &[Arc<KernelTarget>],
    ) -> Option<Self> {
        let (release, places, why): (_, Vec<usize>, _) = match problem {
            PlanProblem::NoBuildTree { release, looked_at, .. } => {
                let link = build_link(release);
                let is_one = |sysroot: &Sysroot| looked_at.contains(&sysroot.below(&link));
                let places = (0..sysroots.len()).filter(|place| is_one(&sysroots[*place]));
                (release, places.collect(), format!("the farm has no build tree of kernel {release}"))
            }
            PlanProblem::Tree { source: KernelTreeError::OtherMachine { .. }, .. } => return None,
            PlanProblem::Tree { release, sysroot, source } => {
                let places = (0..sysroots.len()).filter(|place| sysroots[*place].path() == sysroot);
                let why =
                    format!("the farm's build tree of kernel {release} can't be used: {}", source.in_short());
                (release, places.collect(), why)
            }
            _ => return None,
        };
        let machines_of = |place: usize| -> BTreeSet<Option<Machine>> {
            let compiled_there = kernels.iter().filter(|kernel| kernel.sysroot == place);
            let found: BTreeSet<_> = compiled_there.map(|kernel| Some(kernel.machine.clone())).collect();
            if found.len() == 1 { found } else { [machine_of_program(&sysroots[place])].into() }
        };
        let machine = match NamedMachine::of(release) {
            NamedMachine::This(machine) => machine,
            NamedMachine::Unsupported => return None,
            NamedMachine::Unsaid => {
                // Of sysroots for several machines, `--pin` says which would compile for it.
                let machines: BTreeSet<_> = places.iter().flat_map(|place| machines_of(*place)).collect();
                Vec::from_iter(machines).try_into().ok().and_then(|[machine]: [_; 1]| machine)?
            }
        };
        Some(Self { release: release.clone(), machine, sysroot: *places.first()?, why })
    }
}

/// The kernel that a problem is about, if the policy lets a build be without it.
pub(crate) fn excuse<'p>(
    problem: &'p PlanProblem,
    scripts: &[Arc<ScriptSource>],
    policy: &'p CellPolicy,
) -> Option<(&'p KernelRelease, Fate<'p>)> {
    let (release, may_be_red) = match problem {
        PlanProblem::NoBuildTree { release, .. } | PlanProblem::Tree { release, .. } => (release, true),
        // There are good trees: which is meant, somebody must say.
        PlanProblem::TwoBuildTrees { release, .. } => (release, false),
        _ => return None,
    };
    match Fate::of(release, scripts, policy) {
        Fate::Problem => None,
        Fate::Unbuilt if !may_be_red => None,
        fate => Some((release, fate)),
    }
}

pub(super) fn machine_of_program(sysroot: &Sysroot) -> Option<Machine> {
    let program = files::read::open(&sysroot.host_path(Path::new(STAP)).ok()?).ok()?;
    let mut header = Vec::new();
    program.take(ELF_HEADER).read_to_end(&mut header).ok()?;
    machine_of_elf(&header)
}

/// The reason in the manifest of a cell that isn't to be compiled.
pub(crate) fn left_out(pattern: &CellPattern) -> String {
    format!("the farm left it out: --skip {pattern}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fake_job, fake_module, fake_script, fake_sysroot};

    fn patterns(texts: &[&str]) -> Vec<CellPattern> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_kernel_without_a_tree_is_a_problem_if_a_cell_of_it_is_required() {
        let scripts = ["a", "b"].map(|name| Arc::new(fake_script(name)));
        let release: KernelRelease = "1.0".parse().unwrap();
        for (best_effort, required, skip, fate) in [
            (&[][..], &[][..], &[][..], "problem"),
            (&["*"], &[], &[], "unbuilt"),
            (&["@1.*"], &[], &[], "unbuilt"),
            (&["@2.*"], &[], &[], "problem"),
            (&["a"], &[], &[], "problem"),
            (&["*"], &["b"], &[], "problem"),
            (&["a"], &[], &["b"], "unbuilt"),
            (&[], &["*"], &["@1.0"], "left out"),
            (&["*"], &[], &["a", "b"], "left out"),
        ] {
            let best_effort = patterns(best_effort);
            let required = patterns(required);
            let policy = CellPolicy { best_effort, required, skip: patterns(skip) };
            let found = match Fate::of(&release, &scripts, &policy) {
                Fate::Problem => "problem",
                Fate::LeftOut(_) => "left out",
                Fate::Unbuilt => "unbuilt",
            };
            assert_eq!(found, fate, "{policy:?}");
            assert_eq!(Fate::of(&release, &[], &policy), Fate::Problem);
        }
    }

    #[test]
    fn the_machine_is_that_of_the_other_kernels_or_of_stap() {
        let roots = [fake_sysroot(&[]), fake_sysroot(&[])];
        let sysroots = roots.each_ref().map(|root| Arc::new(Sysroot::open(root.path()).unwrap()));
        let release: KernelRelease = "6.1.0".parse().unwrap();
        let link = build_link(&release);
        let looked_at = sysroots.iter().map(|sysroot| sysroot.below(&link)).collect();
        let missing = PlanProblem::NoBuildTree { release, looked_at, dangling: None, others: Vec::new() };
        let found = |kernels: &[_]| UnbuiltKernel::of(&missing, &sysroots, kernels);
        // What stands there as stap isn't a program.
        assert!(found(&[]).is_none());
        let mut stap = fake_module("a", "1.0", "x");
        for root in &roots {
            std::fs::write(root.path().join("usr/bin/stap"), &stap).unwrap();
        }
        let kernel = found(&[]).unwrap();
        assert_eq!((kernel.machine.as_str(), kernel.sysroot), ("x86_64", 0));
        assert_eq!(kernel.why, "the farm has no build tree of kernel 6.1.0");
        // Of two machines, which one is meant?
        stap[18] = 183;
        std::fs::write(roots[1].path().join("usr/bin/stap"), &stap).unwrap();
        assert!(found(&[]).is_none());
        // What runs there tells better than stap: programs of 32 bits run on kernels of 64.
        let mut target = (*fake_job("a", "1.0").kernel).clone();
        target.sysroot = 1;
        assert_eq!(found(&[Arc::new(target.clone())]).unwrap().machine.as_str(), "x86_64");
        // One sysroot compiles for two machines: its stap says which is its own.
        let cross = KernelTarget { machine: "aarch64".parse().unwrap(), ..target.clone() };
        let both = [Arc::new(target), Arc::new(cross)];
        assert!(found(&both).is_none());
        stap[18] = 62;
        std::fs::write(roots[1].path().join("usr/bin/stap"), &stap).unwrap();
        assert_eq!(found(&both).unwrap().machine.as_str(), "x86_64");
    }
}
