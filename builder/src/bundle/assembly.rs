//! From cells to a bundle's draft: order and content depend on the inputs alone.

use std::sync::Arc;

use bundle_format::{
    BundleDraft, BundleName, BundleVersion, KernelDraft, KernelRelease, ModuleDraft, ModuleRecord, NameError,
    RedCell, RootChain, ScriptName, ScriptRecord, Toolchain,
};

use crate::bundle::best_before::{BestBefore, BestBeforeError};
use crate::bundle::compilers::compilers_of;
use crate::bundle::programs::ProbedPrograms;
use crate::inputs::KernelTarget;
use crate::job::{CellReport, JobOutcome, ModuleArtifact};
use crate::plan::Plan;
use crate::results::CachedModule;

/// What a bundle is called, and when it was made. No clock is read: the same inputs give the same bytes.
#[derive(Debug, Clone)]
pub struct BundleIdentity {
    pub name: BundleName,
    /// The version; by default the time of `created`, as `YYYY.MMDD.HHMM`.
    pub version: Option<BundleVersion>,
    /// Orders the bundles of the name; by default `created`.
    pub serial: Option<u64>,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970; by default the modification time of the newest input.
    pub created: Option<u64>,
    /// Modification time of the newest input that the builder doesn't see (configuration files), seconds since 1970.
    pub other_inputs_modified: u64,
    /// When the bundle expires; it never does by default.
    pub best_before: Option<BestBefore>,
    /// The farm's roots that travel along.
    pub roots: Option<RootChain>,
}

impl BundleIdentity {
    /// A bundle of this name; all else as it comes about by default.
    #[must_use]
    pub const fn called(name: BundleName) -> Self {
        Self {
            name,
            version: None,
            serial: None,
            created: None,
            other_inputs_modified: 0,
            best_before: None,
            roots: None,
        }
    }

    /// When the bundle was made, if its inputs were modified then.
    pub(crate) fn created(&self, inputs: impl Iterator<Item = u64>) -> u64 {
        self.created.unwrap_or_else(|| inputs.fold(self.other_inputs_modified, u64::max))
    }

    /// When a bundle that was created then expires, in seconds since 1970.
    pub(crate) fn expiry(&self, created: u64) -> Result<Option<u64>, BestBeforeError> {
        self.best_before.map(|best_before| best_before.of_bundle(created)).transpose()
    }
}

/// Why the cells don't make a bundle.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    #[error("the modules of {release} disagree: {first} has the vermagic `{one}`, {second} has `{other}`")]
    Vermagic { release: KernelRelease, first: ScriptName, one: String, second: ScriptName, other: String },
    #[error("{created} seconds since 1970 is no date")]
    NoDate { created: u64 },
    #[error(transparent)]
    Version(#[from] NameError),
    #[error(transparent)]
    BestBefore(#[from] BestBeforeError),
}

/// Whether a build of `plan` can have this identity, before anything is compiled.
pub fn check_identity(plan: &Plan, identity: &BundleIdentity) -> Result<(), AssemblyError> {
    identity.expiry(created(plan, identity))?;
    Ok(())
}

fn created(plan: &Plan, identity: &BundleIdentity) -> u64 {
    let scripts = plan.scripts.iter().map(|script| script.modified());
    identity.created(scripts.chain(plan.kernels.iter().map(|kernel| kernel.modified)))
}

/// Makes the draft. `cells` are all cells of the plan's jobs in its order, and those of kernels without a build tree.
pub(crate) fn draft(
    plan: &Plan,
    cells: &[CellReport],
    identity: &BundleIdentity,
) -> Result<BundleDraft, AssemblyError> {
    let created = created(plan, identity);
    let version = match &identity.version {
        Some(version) => version.clone(),
        None => version_of(created)?,
    };
    let mut toolchains: Vec<Toolchain> = Vec::new();
    let mut kernels = Vec::new();
    let mut probed = ProbedPrograms::default();
    for kernel in &plan.kernels {
        let own: Vec<&CellReport> = cells.iter().filter(|cell| cell.cell.release == kernel.release).collect();
        let Some(toolchain) = plan.toolchain_of(kernel) else { continue };
        let position = position_of(&mut toolchains, toolchain);
        let draft = kernel_draft(kernel, &own, position)?;
        for (script, module) in
            own.iter().filter_map(|cell| Some((&cell.cell.script, cell.outcome.module()?)))
        {
            probed.add(script, draft.id(), &module.info.programs);
        }
        kernels.push(draft);
    }
    for kernel in &plan.unbuilt {
        let own = cells.iter().filter(|cell| cell.cell.release == kernel.release);
        let red = own.filter_map(red_cell);
        let Some(toolchain) = &plan.toolchains[kernel.sysroot] else { continue };
        let position = position_of(&mut toolchains, toolchain);
        let draft = KernelDraft::of(kernel.release.clone(), kernel.machine.clone());
        kernels.push(KernelDraft { toolchain: position, red: red.collect(), ..draft });
    }
    Ok(BundleDraft {
        name: identity.name.clone(),
        version,
        serial: identity.serial.unwrap_or(created),
        created,
        best_before: identity.expiry(created)?,
        roots: identity.roots.clone(),
        scripts: plan.scripts.iter().map(|script| with_programs(script.record(), &probed)).collect(),
        toolchains,
        kernels,
    })
}

fn with_programs(record: &ScriptRecord, probed: &ProbedPrograms) -> ScriptRecord {
    ScriptRecord { programs: probed.of(&record.name), ..record.clone() }
}

fn position_of(toolchains: &mut Vec<Toolchain>, toolchain: &Toolchain) -> usize {
    toolchains.iter().position(|known| known == toolchain).unwrap_or_else(|| {
        toolchains.push(toolchain.clone());
        toolchains.len() - 1
    })
}

fn kernel_draft(
    kernel: &KernelTarget,
    cells: &[&CellReport],
    toolchain: usize,
) -> Result<KernelDraft, AssemblyError> {
    let mut modules = Vec::new();
    let mut red = Vec::new();
    let mut vermagic: Option<(ScriptName, String)> = None;
    for cell in cells {
        let script = &cell.cell.script;
        red.extend(red_cell(cell));
        let Some(module) = cell.outcome.module() else { continue };
        let found = &module.info.vermagic;
        let (first, one) = vermagic.get_or_insert_with(|| (script.clone(), found.clone()));
        if one != found {
            return Err(AssemblyError::Vermagic {
                release: kernel.release.clone(),
                first: first.clone(),
                one: one.clone(),
                second: script.clone(),
                other: found.clone(),
            });
        }
        modules.push(module_draft(module));
    }
    let infos = cells.iter().filter_map(|cell| Some(&cell.outcome.module()?.info));
    Ok(KernelDraft {
        release: kernel.release.clone(),
        machine: kernel.machine.clone(),
        uname_v: kernel.uname_v.clone(),
        symvers_sha256: kernel.symvers,
        config_sha256: kernel.config,
        compiler: kernel.kernel_compiler.clone(),
        modules_compiler: compilers_of(kernel.compiler.as_deref(), infos),
        vermagic: vermagic.map(|(_, vermagic)| vermagic),
        toolchain,
        modules,
        red,
    })
}

fn red_cell(cell: &CellReport) -> Option<RedCell> {
    let reason = cell.outcome.red_reason()?;
    let skipped = matches!(cell.outcome, JobOutcome::Skipped { .. });
    Some(RedCell { script: cell.cell.script.clone(), reason, skipped })
}

fn module_draft(module: &ModuleArtifact) -> ModuleDraft {
    let record = ModuleRecord {
        srcversion: module.info.srcversion.clone(),
        build_id: module.info.build_id.clone(),
        ..ModuleRecord::of_body(module.info.name.clone(), module.len, module.digest)
    };
    ModuleDraft { record, bytes: Arc::new(CachedModule(module.path.clone())) }
}

/// `YYYY.MMDD.HHMM`, in UTC.
pub(crate) fn version_of(created: u64) -> Result<BundleVersion, AssemblyError> {
    let no_date = || AssemblyError::NoDate { created };
    let seconds = i64::try_from(created).map_err(|_| no_date())?;
    let time = jiff::Timestamp::from_second(seconds).map_err(|_| no_date())?;
    Ok(time.strftime("%Y.%m%d.%H%M").to_string().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_date() {
        assert_eq!(version_of(0).unwrap().as_str(), "1970.0101.0000");
        assert_eq!(version_of(1_795_298_461).unwrap().as_str(), "2026.1121.2201");
        assert!(matches!(version_of(u64::MAX), Err(AssemblyError::NoDate { .. })));
    }
}
