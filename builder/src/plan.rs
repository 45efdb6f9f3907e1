//! From a request to jobs: everything is checked before anything is compiled, and all that is wrong is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use bundle_format::{Digest, FieldHasher, KernelRelease, Toolchain};
use child::Cancel;

use crate::cell_policy::CellPolicy;
use crate::compiler::{compiler_of, difference, version_line};
use crate::directories::BuildDirectories;
use crate::job::{CompileJob, KeyParts};
use crate::kernel_search::{FoundTree, find_trees};
use crate::kernel_tree::{KernelTarget, KernelTreeError, debuginfo_of, read_facts, trees_of};
use crate::packages::{Package, owner_of};
use crate::plan_problem::{PlanError, PlanProblem};
use crate::recipe::compile_command;
use crate::sandbox::Sandbox;
use crate::script::ScriptSource;
use crate::sysroot::Sysroot;
use crate::tapset::{self, Tapset};
use crate::toolchain::{self, ToolchainError};
use crate::tracepoints::TracepointAliases;
use crate::tree_digest::{InputCheck, Reading, TreeDigests};
use crate::unbuilt::{Fate, UnbuiltKernel};
use crate::warm_stamp::stamp;
use crate::warm_up::{WarmUp, WarmUpFlags, WarmUpKey};

/// Options of `stap` that name a directory of the farm; it would have to be mounted and be part of the key.
const DIRECTORY_OPTIONS: [&str; 2] = ["-R", "--sysroot"];

/// What is to be built.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Kernel releases, or paths of build trees, as given with `-r`.
    pub releases: Vec<String>,
    /// Every kernel of which a sysroot has a build tree, too.
    pub all_kernels: bool,
    /// Which sysroot compiles for a release, where several could.
    pub pins: Vec<(String, PathBuf)>,
    /// Kernels without a build tree are left out, and the plan says why: for plans that are only shown.
    pub leave_out: bool,
    /// What is asked of the cells: it decides about kernels without a build tree.
    pub policy: CellPolicy,
    /// How closely sysroots and build trees are looked at.
    pub input_check: InputCheck,
    /// Roots with `stap` and build trees; `/` if there are none.
    pub sysroots: Vec<PathBuf>,
    /// The scripts.
    pub scripts: Vec<ScriptSource>,
    /// Where results and state are kept.
    pub directories: BuildDirectories,
}

impl BuildRequest {
    /// A request for nothing yet.
    #[must_use]
    pub fn new(directories: BuildDirectories) -> Self {
        Self {
            releases: Vec::new(),
            all_kernels: false,
            pins: Vec::new(),
            leave_out: false,
            policy: CellPolicy::default(),
            input_check: InputCheck::Files,
            sysroots: Vec::new(),
            scripts: Vec::new(),
            directories,
        }
    }
}

/// A request found good: every build tree found, every input of the modules' bytes digested.
#[derive(Debug)]
pub struct Plan {
    pub(crate) scripts: Vec<Arc<ScriptSource>>,
    pub(crate) kernels: Vec<Arc<KernelTarget>>,
    pub(crate) sysroots: Vec<Arc<Sysroot>>,
    /// One for each sysroot that has a kernel of the plan, by the sysroot's index.
    pub(crate) toolchains: Vec<Option<Toolchain>>,
    /// The probe aliases that lead to tracepoints, likewise.
    pub(crate) aliases: Vec<TracepointAliases>,
    pub(crate) jobs: Vec<CompileJob>,
    /// Kernels without a good build tree of which the policy asks for nothing that must be green.
    pub(crate) unbuilt: Vec<UnbuiltKernel>,
    /// Kernels without a good build tree of which nothing is wanted.
    pub(crate) left_out: Vec<KernelRelease>,
    /// Kernels that were left out of a plan that is only shown, and why.
    pub(crate) blocked: Vec<(KernelRelease, String)>,
    /// What the user should know although it keeps nothing from being built.
    pub(crate) warnings: Vec<String>,
    pub(crate) sandbox: Sandbox,
    pub(crate) directories: BuildDirectories,
}

impl Plan {
    /// Checks a request and makes the jobs, one for each script × kernel. Runs nothing but `--version` commands, and those
    /// only for a toolchain that it hasn't seen before.
    pub fn make(request: &BuildRequest, cancel: &Cancel) -> Result<Self, PlanError> {
        Self::make_telling(request, cancel, &|_, _| ())
    }

    /// As [`Plan::make`]; `reading` is told of large trees that are about to be read, which happens once, and of their bytes.
    pub fn make_telling(
        request: &BuildRequest,
        cancel: &Cancel,
        reading: &(dyn Fn(&Path, u64) + Sync),
    ) -> Result<Self, PlanError> {
        let mut problems = Vec::new();
        let mut kernel_problems = Vec::new();
        let places = open_sysroots(&request.sysroots, &mut kernel_problems);
        let found = find_trees(request, &places, &mut kernel_problems);
        // In the order in which they are typed: kernels, scripts, roots.
        let (of_roots, of_kernels): (Vec<_>, Vec<_>) =
            kernel_problems.into_iter().partition(|problem| matches!(problem, PlanProblem::Sysroot(_)));
        let (missing, of_kernels): (Vec<_>, Vec<_>) = of_kernels.into_iter().partition(|problem| {
            matches!(problem, PlanProblem::NoBuildTree { .. } | PlanProblem::TwoBuildTrees { .. })
        });
        problems.extend(of_kernels);
        let scripts = check_scripts(&request.scripts, &mut problems);
        problems.extend(of_roots);
        let sysroots = places;
        let (excused, missing): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|problem| excuse(problem, &scripts, &request.policy).is_some());
        let blocked = blocked_by(&missing, request.leave_out && problems.is_empty());
        if blocked.is_empty() {
            problems.extend(missing);
        }
        let sandbox = Sandbox::find()
            .and_then(|sandbox| request.directories.prepare(&sandbox).map(|()| sandbox))
            .map_err(|problem| problems.push(problem.into()))
            .ok();
        let Some(sandbox) = sandbox.filter(|_| problems.is_empty()) else {
            return Err(PlanError { problems });
        };
        let mut plan = Self {
            scripts,
            kernels: Vec::new(),
            toolchains: sysroots.iter().map(|_| None).collect(),
            aliases: sysroots.iter().map(|_| TracepointAliases::default()).collect(),
            sysroots,
            jobs: Vec::new(),
            unbuilt: Vec::new(),
            left_out: Vec::new(),
            blocked,
            warnings: Vec::new(),
            sandbox,
            directories: request.directories.clone(),
        };
        let looked = plan.digest_inputs(&found, excused, request, (cancel, reading));
        if cancel.is_cancelled() {
            return Err(PlanError { problems: vec![PlanProblem::Cancelled] });
        }
        let bad = looked.map_err(|problem| PlanError { problems: vec![problem] })?;
        let left_out = blocked_by(&bad, request.leave_out);
        if left_out.len() < bad.len() {
            return Err(PlanError { problems: bad });
        }
        plan.blocked.extend(left_out);
        plan.warnings.extend(plan.directories.notes().warning());
        plan.warnings.extend(plan.sandbox.note());
        plan.make_jobs();
        Ok(plan)
    }

    /// The package that each kernel's build tree came from, by release, as far as the sysroots' databases tell.
    #[must_use]
    pub fn header_packages(&self) -> BTreeMap<String, Package> {
        let owner = |kernel: &Arc<KernelTarget>| {
            let package = owner_of(self.sysroots.get(kernel.sysroot)?, &kernel.build_tree)?;
            Some((kernel.release.to_string(), package))
        };
        self.kernels.iter().filter_map(owner).collect()
    }

    /// The scripts, by name.
    pub fn scripts(&self) -> impl Iterator<Item = &ScriptSource> {
        self.scripts.iter().map(AsRef::as_ref)
    }

    /// The kernels, in natural order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelTarget> {
        self.kernels.iter().map(AsRef::as_ref)
    }

    /// The jobs: kernel by kernel, and for each kernel script by script.
    #[must_use]
    pub fn jobs(&self) -> &[CompileJob] {
        &self.jobs
    }

    /// The sysroot of a kernel.
    #[must_use]
    pub fn sysroot_of(&self, kernel: &KernelTarget) -> &Sysroot {
        &self.sysroots[kernel.sysroot]
    }

    /// What the user should know although it keeps nothing from being built.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// What compiles for a kernel.
    #[must_use]
    pub fn toolchain_of(&self, kernel: &KernelTarget) -> Option<&Toolchain> {
        self.toolchains[kernel.sysroot].as_ref()
    }

    /// Returns what is wrong with build trees, but for what the policy excuses: those kernels, and the `excused` ones, are in
    /// the plan without jobs.
    fn digest_inputs(
        &mut self,
        found: &[FoundTree],
        mut excused: Vec<PlanProblem>,
        request: &BuildRequest,
        (cancel, reading): (&Cancel, &Reading<'_>),
    ) -> Result<Vec<PlanProblem>, PlanProblem> {
        let mut bad = Vec::new();
        let check = request.input_check;
        let digests = TreeDigests::of_build(&self.directories).with_check(check);
        let digests = digests.cancelled_by(cancel, reading);
        for (tree, target) in found.iter().zip(self.examine_trees(found, &digests)) {
            let sysroot = &self.sysroots[tree.sysroot];
            let mut target = match target {
                Ok(target) => target,
                Err(source) => {
                    let (release, sysroot) = (tree.release.clone(), sysroot.path().to_owned());
                    let problem = PlanProblem::Tree { release, sysroot, source };
                    let is_excused = excuse(&problem, &self.scripts, &request.policy).is_some();
                    if is_excused { &mut excused } else { &mut bad }.push(problem);
                    continue;
                }
            };
            self.examine_toolchain(tree.sysroot, &digests, cancel)?;
            target.compiler = self.compiler_for(tree, &target, cancel)?;
            self.kernels.push(Arc::new(target));
        }
        for problem in excused {
            let what = one_line(&problem);
            if let Some((release, Fate::LeftOut(pattern))) = excuse(&problem, &self.scripts, &request.policy)
            {
                self.warnings.push(format!("kernel {release} is left out (--skip {pattern}): {what}"));
                self.left_out.push(release.clone());
            } else if let Some(kernel) = UnbuiltKernel::of(&problem, &self.sysroots, &self.kernels) {
                self.warnings.push(format!("nothing is compiled for kernel {}: {what}", kernel.release));
                self.examine_toolchain(kernel.sysroot, &digests, cancel)?;
                self.unbuilt.push(kernel);
            } else {
                bad.push(problem);
            }
        }
        Ok(bad)
    }

    fn examine_toolchain(
        &mut self,
        place: usize,
        digests: &TreeDigests<'_>,
        cancel: &Cancel,
    ) -> Result<(), PlanProblem> {
        if self.toolchains[place].is_some() {
            return Ok(());
        }
        let (sysroot, index) = (&self.sysroots[place], self.directories.index());
        let examined = toolchain::examine(sysroot, &self.sandbox, digests, &self.directories, cancel)?;
        let path = index.join(format!("tracepoints-{}.json", examined.digest));
        self.aliases[place] = TracepointAliases::of_sysroot(sysroot, &path, self.directories.notes())
            .map_err(|source| ToolchainError::Read { sysroot: sysroot.path().to_owned(), source })?;
        self.toolchains[place] = Some(examined);
        Ok(())
    }

    /// Examines the trees on all cores, since each is a walk over thousands of files.
    fn examine_trees(
        &self,
        found: &[FoundTree],
        digests: &TreeDigests<'_>,
    ) -> Vec<Result<KernelTarget, KernelTreeError>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(found.len());
        let next = AtomicUsize::new(0);
        let examine = || {
            let mut done = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(tree) = found.get(place) else { return done };
                done.push((place, examine_tree(&self.sysroots[tree.sysroot], tree, digests)));
            }
        };
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(examine)).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        all.sort_by_key(|(place, _)| *place);
        all.into_iter().map(|(_, target)| target).collect()
    }

    /// What kbuild will call for a kernel; a warning if another one built the kernel.
    fn compiler_for(
        &mut self,
        found: &FoundTree,
        target: &KernelTarget,
        cancel: &Cancel,
    ) -> Result<Option<String>, PlanProblem> {
        let Some(toolchain) = self.toolchains[found.sysroot].as_ref() else { return Ok(None) };
        let sysroot = &self.sysroots[found.sysroot];
        let program = compiler_of(found.outside.as_ref().unwrap_or(sysroot), &found.tree);
        let (sandbox, directories) = (&self.sandbox, &self.directories);
        let line = version_line(sysroot, &program, sandbox, directories, toolchain.digest, cancel)?;
        let release = &found.release;
        match (&line, &target.kernel_compiler) {
            (None, _) => self.warnings.push(format!(
                "kernel {release}: its build tree calls {program}, which {} hasn't got: the Debian package {program} would \
                 bring it",
                sysroot.path().display()
            )),
            (Some(used), Some(built)) => {
                let difference = difference(built, used);
                self.warnings.extend(difference.map(|difference| format!("kernel {release}: {difference}")));
            }
            (Some(_), None) => {}
        }
        Ok(line)
    }

    fn make_jobs(&mut self) {
        for kernel in &self.kernels {
            let Some(toolchain) = self.toolchains[kernel.sysroot].as_ref() else { continue };
            let sysroot = &self.sysroots[kernel.sysroot];
            for script in &self.scripts {
                let options = script.compile_options();
                let argv = compile_command(
                    script.name(),
                    &kernel.named_for_stap(),
                    &options,
                    &script.record().arguments,
                );
                let parts = KeyParts::new(argv, script.record().source_sha256, toolchain.digest, kernel)
                    .with_tapsets(script.tapsets().iter().map(|tapset| tapset.digest).collect())
                    .on_one_processor(toolchain::needs_one_processor(&toolchain.stap));
                let (tree, digest) = (&kernel.build_tree, kernel.tree_digest);
                let flags = WarmUpFlags::among(&options);
                let scanned = self.aliases[kernel.sysroot].are_used_by(&script.all_text());
                self.jobs.push(CompileJob {
                    script: Arc::clone(script),
                    kernel: Arc::clone(kernel),
                    key: parts.key(),
                    parts,
                    warm_up_key: WarmUpKey::new(sysroot, toolchain.digest, tree, digest, &flags),
                    warm_up_flags: flags,
                    needs: WarmUp { configured: true, scanned },
                });
            }
        }
    }
}

fn check_scripts(given: &[ScriptSource], problems: &mut Vec<PlanProblem>) -> Vec<Arc<ScriptSource>> {
    if given.is_empty() {
        problems.push(PlanProblem::NoScripts);
    }
    let mut scripts: Vec<Arc<ScriptSource>> =
        given.iter().map(|script| Arc::new(with_tapsets(script, problems))).collect();
    scripts.sort_by(|a, b| a.name().cmp(b.name()));
    for pair in scripts.windows(2) {
        if pair[0].name() == pair[1].name() {
            problems.push(PlanProblem::TwoScripts { name: pair[0].name().clone() });
        }
    }
    for script in &scripts {
        let options = script.record().compile.iter();
        problems.extend(
            options.filter(|word| DIRECTORY_OPTIONS.iter().any(|option| word.starts_with(option))).map(
                |word| PlanProblem::DirectoryOption { script: script.name().clone(), option: word.clone() },
            ),
        );
    }
    scripts
}

/// Reads the tapset directories that a script's options name.
fn with_tapsets(script: &ScriptSource, problems: &mut Vec<PlanProblem>) -> ScriptSource {
    let mut tapsets = Vec::new();
    for directory in tapset::named_in(&script.record().compile) {
        let path = Path::new(directory);
        let read = if path.is_absolute() {
            Tapset::read(path)
        } else {
            let what = "a tapset directory is given by its whole path";
            Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what))
        };
        match read {
            Ok(tapset) => tapsets.push(tapset),
            Err(source) => problems.push(PlanProblem::TapsetDirectory {
                script: script.name().clone(),
                directory: path.to_owned(),
                source,
            }),
        }
    }
    script.clone().with_tapsets(tapsets)
}

fn open_sysroots(given: &[PathBuf], problems: &mut Vec<PlanProblem>) -> Vec<Arc<Sysroot>> {
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

/// The kernel that a problem is about, if the policy lets a build be without it.
fn excuse<'p>(
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

fn one_line(problem: &PlanProblem) -> String {
    match problem {
        PlanProblem::Tree { source, .. } => format!("{problem}: {source}"),
        _ => problem.to_string(),
    }
}

/// Which kernels are left out, and why, if that is wanted.
fn blocked_by(missing: &[PlanProblem], wanted: bool) -> Vec<(KernelRelease, String)> {
    let why = |problem: &PlanProblem| match problem {
        PlanProblem::NoBuildTree { release, .. }
        | PlanProblem::TwoBuildTrees { release, .. }
        | PlanProblem::Tree { release, .. } => Some((release.clone(), one_line(problem))),
        _ => None,
    };
    missing.iter().filter(|_| wanted).filter_map(why).collect()
}

fn examine_tree(
    sysroot: &Sysroot,
    found: &FoundTree,
    digests: &TreeDigests<'_>,
) -> Result<KernelTarget, KernelTreeError> {
    let compiling = sysroot;
    let sysroot = found.outside.as_deref().unwrap_or(compiling);
    let facts = read_facts(sysroot, &found.tree, &found.release)?;
    let read_error = |path: &Path, source| KernelTreeError::Read { path: path.to_owned(), source };
    let symvers = found.tree.join("Module.symvers");
    let symvers_digest =
        digests.of_bytes(sysroot, &symvers).map_err(|source| read_error(&symvers, source))?;
    let mut modified = 0;
    if let Ok(host) = sysroot.host_path(&symvers) {
        let time = host.metadata().and_then(|metadata| metadata.modified());
        let time = time.map_err(|source| read_error(&symvers, source))?;
        modified = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    }
    let auto_conf = found.tree.join("include/config/auto.conf");
    let config = digests.of_bytes(sysroot, &auto_conf).map_err(|source| read_error(&auto_conf, source))?;
    let TreesFound { trees, tree: tree_digest, debuginfo } =
        tree_digests(compiling, sysroot, &found.tree, &found.release, digests)?;
    Ok(KernelTarget {
        release: found.release.clone(),
        machine: facts.machine,
        uname_v: facts.uname_v,
        symvers: symvers_digest,
        config,
        kernel_compiler: facts.kernel_compiler,
        sysroot: found.sysroot,
        build_tree: found.tree.clone(),
        tree_digest,
        debuginfo,
        compiler: None,
        by_path: found.by_path,
        shown: if found.outside.is_some() { trees.into_iter().collect() } else { Vec::new() },
        stamp: stamp(compiling, sysroot, &found.tree),
        modified,
    })
}

/// What a compile for a kernel reads besides the toolchain.
pub(crate) struct TreesFound {
    trees: BTreeSet<PathBuf>,
    /// Digest of them.
    pub tree: Digest,
    /// Digest of the kernel's debuginfo, if there is any.
    pub debuginfo: Option<Digest>,
}

/// Digests the build tree at `tree`, as seen in `tree_root`, and the debuginfo that `compiling` has.
pub(crate) fn tree_digests(
    compiling: &Sysroot,
    tree_root: &Sysroot,
    tree: &Path,
    release: &KernelRelease,
    digests: &TreeDigests<'_>,
) -> Result<TreesFound, KernelTreeError> {
    let read_error = |path: &Path, source| KernelTreeError::Read { path: path.to_owned(), source };
    let mut hash = FieldHasher::new().field("stap-bundle build tree 1");
    let trees = trees_of(tree_root, tree, release);
    for tree in &trees {
        let digest = digests.of_tree(tree_root, tree).map_err(|source| read_error(tree, source))?;
        hash = hash.field(tree.as_os_str().as_encoded_bytes()).field(digest.as_bytes());
    }
    let mut debuginfo = None;
    for place in debuginfo_of(compiling, release) {
        let digest = digests.of_tree(compiling, &place).map_err(|source| read_error(&place, source))?;
        let hash: FieldHasher = debuginfo.unwrap_or_default();
        debuginfo = Some(hash.field(place.as_os_str().as_encoded_bytes()).field(digest.as_bytes()));
    }
    Ok(TreesFound { trees, tree: hash.finish(), debuginfo: debuginfo.map(FieldHasher::finish) })
}

#[cfg(test)]
mod tests {

    use super::*;
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
        let root = fake_sysroot(&[]);
        let path = root.path().canonicalize().unwrap();
        let text = problems(&["2.6.26.1"], &[&path]);
        let expected = format!(
            "no build tree of 2.6.26.1: there is no {}/lib/modules/2.6.26.1/build (the Debian package \
             linux-headers-2.6.26.1, or Fedora's kernel-devel-2.6.26.1, would bring it)",
            path.display()
        );
        assert!(text.contains(&expected), "{text:?}");
    }

    /// The first of a fleet's bad trees was told, and the next one by the next build; a dry run ended there.
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
            ["`-r a/b`", "`..` is not a kernel release", "has no /usr/bin/stap", "no build tree of 1.0"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_note_that_can_not_be_written_is_no_fault_of_a_build_tree() {
        let root = fake_sysroot(&["1.0"]);
        let sysroot = Sysroot::open(root.path()).unwrap();
        // Long enough ago to be remembered.
        std::thread::sleep(std::time::Duration::from_secs(3));
        let notes = Arc::default();
        let digests = TreeDigests::new(PathBuf::from("/proc/none"), Arc::clone(&notes));
        let (release, tree) = ("1.0".parse().unwrap(), PathBuf::from("/usr/src/linux-headers-1.0"));
        let found = FoundTree { release, sysroot: 0, tree, by_path: false, outside: None };
        examine_tree(&sysroot, &found, &digests).unwrap();
        toolchain::toolchain_digest(&sysroot, &digests).unwrap();
        TracepointAliases::of_sysroot(&sysroot, Path::new("/proc/none/aliases"), &notes).unwrap();
        let warning = notes.warning().unwrap();
        assert!(warning.contains("/proc/none"), "{warning}");
        assert_eq!(notes.warning(), None);
    }

    /// A cell that was red for lack of debuginfo stayed red when that was installed, and a green one kept the old module.
    #[test]
    fn debuginfo_that_was_installed_left_the_key_as_it_was() {
        let root = fake_sysroot(&["1.0", "2.0"]);
        let index = tempfile::tempdir().unwrap();
        let sysroot = Sysroot::open(root.path()).unwrap();
        let look = |release: &str| {
            let digests = TreeDigests::of_test(index.path());
            let release: KernelRelease = release.parse().unwrap();
            let tree = Path::new("/usr/src").join(format!("linux-headers-{release}"));
            let found = FoundTree { release, sysroot: 0, tree, by_path: false, outside: None };
            let target = examine_tree(&sysroot, &found, &digests).unwrap();
            let parts = KeyParts::new(Vec::new(), Digest::of(b"script"), Digest::of(b"toolchain"), &target);
            (target.debuginfo, target.tree_digest, parts.key())
        };
        let (none, tree, first) = look("1.0");
        assert_eq!(none, None);
        let (_, _, other) = look("2.0");
        let file = root.path().join("usr/lib/debug/lib/modules/1.0/vmlinux");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "one").unwrap();
        let (some, same_tree, second) = look("1.0");
        assert!(some.is_some() && second != first);
        // What stap keeps for a kernel is as good as before.
        assert_eq!((same_tree, look("2.0").2), (tree, other));
        std::fs::write(&file, "two").unwrap();
        assert!(![first, second].contains(&look("1.0").2));
    }

    #[test]
    fn a_release_in_two_sysroots_shows_both() {
        let (one, two) = (fake_sysroot(&["1.0"]), fake_sysroot(&["1.0"]));
        let (first, second) = (one.path().canonicalize().unwrap(), two.path().canonicalize().unwrap());
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
