//! What hosts would get of bundles: hosts with the same kernel get the same, so each sort of host is judged once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bundle_format::{KernelRelease, Machine, Manifest, ScriptName};

use crate::host_report::HostReport;
use crate::kernel_list::ListedKernel;

/// All that a bundle, or several, or a farm's cache, has for kernels.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    pub scripts: BTreeSet<ScriptName>,
    pub kernels: BTreeMap<KernelRelease, Vec<CoveredKernel>>,
}

/// What is there for one kernel.
#[derive(Debug, Clone)]
pub struct CoveredKernel {
    pub machine: Machine,
    /// What `uname -v` prints on it; `None` where any build of the release may load the modules.
    pub build: Option<String>,
    pub green: BTreeSet<ScriptName>,
    /// Scripts without a module, with the reasons.
    pub red: BTreeMap<ScriptName, String>,
    /// Programs for which modules are made: path, script and build id.
    pub programs: BTreeMap<String, Vec<(ScriptName, String)>>,
}

/// A host of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FleetHost {
    pub name: Option<String>,
    pub kind: HostKind,
}

/// What decides what a host gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKind {
    /// What `uname -r` prints.
    pub kernel: String,
    /// What `uname -v` prints, its words divided by single blanks.
    pub build: Option<String>,
    pub machine: Option<String>,
    /// Programs that are other builds than the host's bundles are made for.
    pub programs: BTreeMap<String, String>,
}

/// What hosts of one kind get.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grade {
    /// A module of each script.
    All,
    /// Not of these, with the reasons.
    Some(BTreeMap<ScriptName, String>),
    /// The release is there for other builds of it, so the bundle is refused.
    OtherBuild(Vec<String>),
    /// The release is there for other machines.
    OtherMachine(Vec<Machine>),
    /// These scripts are made for other builds of programs than the host has.
    OtherPrograms(BTreeMap<ScriptName, String>),
    /// Nothing is there for the release.
    None,
}

/// What a kernel's hosts get, as far as it is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelCoverage {
    pub kind: HostKind,
    pub hosts: usize,
    /// Those of them that have a name.
    pub names: Vec<String>,
    pub grade: Grade,
}

/// The whole fleet; kernels with the most hosts come first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    pub kernels: Vec<KernelCoverage>,
    pub hosts: usize,
    /// Hosts that get a module of each script.
    pub covered: usize,
}

/// A script that hosts have now and would lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub script: ScriptName,
    pub hosts: usize,
    pub reason: String,
}

impl Offer {
    /// What these bundles have together.
    #[must_use]
    pub fn of<'m>(manifests: impl IntoIterator<Item = &'m Manifest>) -> Self {
        let mut offer = Self::default();
        for manifest in manifests {
            offer.add(manifest);
        }
        offer
    }

    fn add(&mut self, manifest: &Manifest) {
        self.scripts.extend(manifest.scripts.iter().map(|script| script.name.clone()));
        for kernel in &manifest.kernels {
            let red: BTreeMap<ScriptName, String> =
                kernel.red.iter().map(|cell| (cell.script.clone(), cell.reason.clone())).collect();
            let names = manifest.scripts.iter().map(|script| &script.name);
            let green = names.filter(|name| kernel.is_green(name)).cloned().collect();
            let mut programs: BTreeMap<String, Vec<(ScriptName, String)>> = BTreeMap::new();
            for script in &manifest.scripts {
                for program in script.programs.iter().filter(|program| program.is_for(&kernel.id)) {
                    let made_for = (script.name.clone(), program.build_id.clone());
                    programs.entry(program.path.clone()).or_default().push(made_for);
                }
            }
            let (machine, build) = (kernel.machine.clone(), kernel.uname_v.as_deref().map(single_blanks));
            self.place(&kernel.release, CoveredKernel { machine, build, green, red, programs });
        }
    }

    /// Adds what is there for a kernel; several bundles may have scripts for the same one.
    pub fn place(&mut self, release: &KernelRelease, kernel: CoveredKernel) {
        let kernels = self.kernels.entry(release.clone()).or_default();
        let is_same =
            |known: &&mut CoveredKernel| known.machine == kernel.machine && known.build == kernel.build;
        let Some(known) = kernels.iter_mut().find(is_same) else { return kernels.push(kernel) };
        known.green.extend(kernel.green);
        known.red.extend(kernel.red);
        for (path, made_for) in kernel.programs {
            known.programs.entry(path).or_default().extend(made_for);
        }
    }

    /// What hosts of this kind get.
    #[must_use]
    pub fn grade(&self, kind: &HostKind) -> Grade {
        let release = kind.kernel.parse::<KernelRelease>().ok();
        let kernels = release.and_then(|release| self.kernels.get(&release)).map_or(&[][..], Vec::as_slice);
        if kernels.is_empty() {
            return Grade::None;
        }
        let fits = |kernel: &&CoveredKernel| {
            kind.machine.as_deref().is_none_or(|machine| machine == kernel.machine.as_str())
        };
        let of_machine: Vec<&CoveredKernel> = kernels.iter().filter(fits).collect();
        if of_machine.is_empty() {
            return Grade::OtherMachine(kernels.iter().map(|kernel| kernel.machine.clone()).collect());
        }
        let builds = |kernel: &&&CoveredKernel| match (&kernel.build, &kind.build) {
            (Some(built), Some(runs)) => built == runs,
            _ => true,
        };
        let of_build: Vec<&CoveredKernel> = of_machine.iter().filter(builds).copied().collect();
        if of_build.is_empty() {
            return Grade::OtherBuild(of_machine.iter().filter_map(|kernel| kernel.build.clone()).collect());
        }
        self.grade_of(&of_build, kind)
    }

    /// Bundles may have scripts for a build, and others for any build of the release.
    fn grade_of(&self, kernels: &[&CoveredKernel], kind: &HostKind) -> Grade {
        let is_green = |script: &&ScriptName| kernels.iter().any(|kernel| kernel.green.contains(*script));
        let reason = |script: &ScriptName| {
            let red = kernels.iter().find_map(|kernel| kernel.red.get(script));
            red.cloned().unwrap_or_else(|| "no bundle has it for this kernel".to_owned())
        };
        let mut lacking: BTreeMap<ScriptName, String> = self
            .scripts
            .iter()
            .filter(|script| !is_green(script))
            .map(|script| (script.clone(), reason(script)))
            .collect();
        let others = for_other_programs(kernels, kind);
        if lacking.is_empty() {
            return if others.is_empty() { Grade::All } else { Grade::OtherPrograms(others) };
        }
        lacking.extend(others.into_iter().map(|(script, path)| (script, another_build_of(&path))));
        Grade::Some(lacking)
    }
}

/// The scripts whose modules are made for other builds of programs than these hosts have: each with such a program's path.
fn for_other_programs(kernels: &[&CoveredKernel], kind: &HostKind) -> BTreeMap<ScriptName, String> {
    let mut others = BTreeMap::new();
    for (path, here) in &kind.programs {
        let made_for = kernels.iter().filter_map(|kernel| kernel.programs.get(path)).flatten();
        for (script, _) in made_for.filter(|(_, build_id)| build_id != here) {
            others.insert(script.clone(), path.clone());
        }
    }
    others
}

fn another_build_of(path: &str) -> String {
    format!("it is made for another build of {path}")
}

impl From<ListedKernel> for FleetHost {
    fn from(listed: ListedKernel) -> Self {
        let kind = HostKind {
            kernel: listed.kernel,
            build: listed.uname_v,
            machine: listed.machine.map(|machine| machine.to_string()),
            programs: BTreeMap::new(),
        };
        Self { name: listed.host, kind }
    }
}

impl From<&HostReport> for FleetHost {
    fn from(report: &HostReport) -> Self {
        let kind = HostKind {
            kernel: report.kernel.as_ref().map(ToString::to_string).unwrap_or_default(),
            build: report.build.as_deref().map(single_blanks),
            machine: Some(report.machine.as_str().to_owned()),
            programs: report.programs.clone(),
        };
        Self { name: Some(report.host.clone()), kind }
    }
}

fn single_blanks(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Gathers hosts by kind. Of a host that is there twice the last line counts.
fn by_kind(hosts: Vec<FleetHost>) -> HashMap<HostKind, Vec<Option<String>>> {
    let mut named: HashMap<String, HostKind> = HashMap::new();
    let mut kinds: HashMap<HostKind, Vec<Option<String>>> = HashMap::new();
    for FleetHost { name, kind } in hosts {
        match name {
            Some(name) => drop(named.insert(name, kind)),
            None => kinds.entry(kind).or_default().push(None),
        }
    }
    for (name, kind) in named {
        kinds.entry(kind).or_default().push(Some(name));
    }
    kinds
}

/// Kernel, grade, and what tells hosts apart that get the same.
type RowKey = (String, Grade, Option<String>, BTreeMap<String, String>);

/// What each host gets.
#[must_use]
pub fn measure(offer: &Offer, hosts: Vec<FleetHost>) -> Coverage {
    let mut coverage = Coverage::default();
    let mut rows: HashMap<RowKey, KernelCoverage> = HashMap::new();
    for (kind, all) in by_kind(hosts) {
        let grade = offer.grade(&kind);
        coverage.hosts += all.len();
        coverage.covered += if grade == Grade::All { all.len() } else { 0 };
        let build = kind.build.clone().filter(|_| matches!(grade, Grade::OtherBuild(_)));
        let key = (kind.kernel.clone(), grade.clone(), build, kind.programs.clone());
        let empty = KernelCoverage { kind: kind.clone(), hosts: 0, names: Vec::new(), grade };
        let row = rows.entry(key).or_insert(empty);
        row.hosts += all.len();
        row.names.extend(all.into_iter().flatten());
        // What isn't the same for all of them is said of none.
        row.kind.machine = row.kind.machine.take().filter(|machine| kind.machine.as_ref() == Some(machine));
        row.kind.build = row.kind.build.take().filter(|build| kind.build.as_ref() == Some(build));
    }
    for mut row in rows.into_values() {
        row.names.sort_unstable();
        coverage.kernels.push(row);
    }
    coverage.kernels.sort_by(|a, b| b.hosts.cmp(&a.hosts).then_with(|| a.kind.cmp(&b.kind)));
    coverage
}

/// What the hosts would lose if all of them moved to another kernel, whichever build of it.
#[must_use]
pub fn loss(offer: &Offer, coverage: &Coverage, next: &KernelRelease) -> Vec<Loss> {
    let mut lost: BTreeMap<(ScriptName, String), usize> = BTreeMap::new();
    for kernel in &coverage.kernels {
        let then = HostKind { kernel: next.to_string(), build: None, ..kernel.kind.clone() };
        let lacking = offer.lacking(&offer.grade(&then));
        let lacks_now = offer.lacking(&kernel.grade);
        for (script, reason) in lacking.into_iter().filter(|(script, _)| !lacks_now.contains_key(script)) {
            *lost.entry((script, reason)).or_default() += kernel.hosts;
        }
    }
    let mut lost: Vec<Loss> =
        lost.into_iter().map(|((script, reason), hosts)| Loss { script, hosts, reason }).collect();
    lost.sort_by(|a, b| b.hosts.cmp(&a.hosts).then_with(|| a.script.cmp(&b.script)));
    lost
}

impl Offer {
    /// The scripts that hosts of a grade don't get, with the reasons.
    fn lacking(&self, grade: &Grade) -> BTreeMap<ScriptName, String> {
        let all =
            |reason: &str| self.scripts.iter().map(|script| (script.clone(), reason.to_owned())).collect();
        match grade {
            Grade::All => BTreeMap::new(),
            Grade::Some(red) => red.clone(),
            Grade::OtherPrograms(programs) => {
                programs.iter().map(|(script, path)| (script.clone(), another_build_of(path))).collect()
            }
            Grade::OtherBuild(_) => all("its modules are for another build of the kernel"),
            Grade::OtherMachine(_) => all("its modules are for another machine"),
            Grade::None => all("no bundle has anything for the kernel"),
        }
    }
}

#[cfg(test)]
mod tests;
