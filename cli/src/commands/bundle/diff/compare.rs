//! Two manifests side by side. Kernels are the same if their ids are; a kernel that was rebuilt under its old release
//! is removed and added.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::{
    Digest, Kernel, KernelId, KernelRelease, Manifest, RedCell, ScriptName, ScriptRecord, Toolchain,
};
use serde::Serialize;

/// Digests of modules, by kernel and script.
pub(super) type Modules = BTreeMap<KernelId, BTreeMap<ScriptName, Digest>>;

/// All that differs.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    /// Whether the content digests are the same.
    pub(super) same: bool,
    /// Of the old and the new bundle.
    pub(super) bundles: [Identity; 2],
    pub(super) scripts: Vec<ScriptChange>,
    pub(super) kernels: Vec<KernelChange>,
    pub(super) toolchains_removed: Vec<Toolchain>,
    pub(super) toolchains_added: Vec<Toolchain>,
    /// Compressed bytes of all frames, before and after.
    pub(super) frame_bytes: [u64; 2],
    /// Plain bytes of all frames, before and after.
    pub(super) plain_bytes: [u64; 2],
}

/// What a bundle is called.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    name: String,
    version: String,
    serial: u64,
    epoch: u64,
    created: u64,
    content: Digest,
}

/// A script that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub(super) enum ScriptChange {
    Added { name: ScriptName },
    Removed { name: ScriptName },
    Changed { name: ScriptName, what: Vec<FieldChange> },
}

/// A field of a script, before and after.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct FieldChange {
    pub(super) field: &'static str,
    pub(super) old: String,
    pub(super) new: String,
}

/// A kernel that differs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub(super) enum KernelChange {
    Added {
        release: KernelRelease,
        id: KernelId,
        modules: usize,
        sizes: Sizes,
    },
    Removed {
        release: KernelRelease,
        id: KernelId,
        modules: usize,
        sizes: Sizes,
    },
    Changed {
        release: KernelRelease,
        id: KernelId,
        /// Before and after.
        sizes: [Sizes; 2],
        /// Absent where the frames are.
        modules: Option<ModuleChanges>,
        red_added: Vec<RedCell>,
        red_removed: Vec<RedCell>,
    },
}

/// What a kernel's frames take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Sizes {
    /// Compressed bytes; with references, so that a change elsewhere may change them.
    pub(super) frame_bytes: u64,
    /// Bytes of the plain tars.
    pub(super) plain_bytes: u64,
}

impl Sizes {
    fn of(kernel: &Kernel) -> Self {
        Self {
            frame_bytes: kernel.frames.iter().map(|frame| frame.size).sum(),
            plain_bytes: kernel.frames.iter().map(|frame| frame.plain_size).sum(),
        }
    }
}

/// Modules of a kernel that differ.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ModuleChanges {
    pub(super) added: Vec<ScriptName>,
    pub(super) removed: Vec<ScriptName>,
    pub(super) changed: Vec<ScriptName>,
}

/// The kernels of both whose modules differ.
pub(super) fn changed_kernels(old: &Manifest, new: &Manifest) -> BTreeSet<KernelId> {
    let differs = |kernel: &&Kernel| {
        of(new, &kernel.id).is_some_and(|other| other.modules_sha256 != kernel.modules_sha256)
    };
    old.kernels.iter().filter(differs).map(|kernel| kernel.id).collect()
}

/// Compares two bundles, with the modules of the kernels that [`changed_kernels`] names.
pub(super) fn compare(
    old: &Manifest,
    new: &Manifest,
    old_modules: &Modules,
    new_modules: &Modules,
) -> Difference {
    let only = |one: &Manifest, other: &Manifest| -> Vec<Toolchain> {
        one.toolchains.iter().filter(|toolchain| !other.toolchains.contains(toolchain)).cloned().collect()
    };
    let sum = |manifest: &Manifest, size: fn(&bundle_format::Frame) -> u64| -> u64 {
        manifest.frames().iter().map(|of| size(of.frame)).sum()
    };
    Difference {
        same: old.content == new.content,
        bundles: [identity(old), identity(new)],
        scripts: scripts(old, new),
        kernels: kernels(old, new, old_modules, new_modules),
        toolchains_removed: only(old, new),
        toolchains_added: only(new, old),
        frame_bytes: [sum(old, |frame| frame.size), sum(new, |frame| frame.size)],
        plain_bytes: [sum(old, |frame| frame.plain_size), sum(new, |frame| frame.plain_size)],
    }
}

fn identity(manifest: &Manifest) -> Identity {
    Identity {
        name: manifest.name.to_string(),
        version: manifest.version.to_string(),
        serial: manifest.serial,
        epoch: manifest.epoch,
        created: manifest.created,
        content: manifest.content,
    }
}

fn scripts(old: &Manifest, new: &Manifest) -> Vec<ScriptChange> {
    let names: BTreeSet<&ScriptName> =
        old.scripts.iter().chain(&new.scripts).map(|script| &script.name).collect();
    let change = |name: &ScriptName| match (old.script(name), new.script(name)) {
        (None, _) => Some(ScriptChange::Added { name: name.clone() }),
        (_, None) => Some(ScriptChange::Removed { name: name.clone() }),
        (Some(one), Some(other)) => {
            let what = fields(one, other);
            (!what.is_empty()).then(|| ScriptChange::Changed { name: name.clone(), what })
        }
    };
    names.into_iter().filter_map(change).collect()
}

fn fields(old: &ScriptRecord, new: &ScriptRecord) -> Vec<FieldChange> {
    let words = |list: &[ScriptName]| list.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(" ");
    let groups = |script: &ScriptRecord| {
        script.users.iter().map(bundle_format::GroupName::as_str).collect::<Vec<_>>().join(" ")
    };
    let texts = |script: &ScriptRecord| {
        [
            ("source", script.source_sha256.to_string()),
            ("options", script.options.clone()),
            ("compile arguments", script.compile.join(" ")),
            ("script arguments", script.arguments.join(" ")),
            ("run arguments", script.run.join(" ")),
            ("requirements", words(&script.requires)),
            ("users", groups(script)),
        ]
    };
    let pairs = texts(old).into_iter().zip(texts(new));
    let changed = pairs.filter(|((_, old), (_, new))| old != new);
    changed.map(|((field, old), (_, new))| FieldChange { field, old, new }).collect()
}

fn kernels(
    old: &Manifest,
    new: &Manifest,
    old_modules: &Modules,
    new_modules: &Modules,
) -> Vec<KernelChange> {
    let green = |manifest: &Manifest, kernel: &Kernel| manifest.scripts.len() - kernel.red.len();
    let mut changes: Vec<(KernelRelease, KernelChange)> = Vec::new();
    for kernel in &old.kernels {
        let release = kernel.release.clone();
        let id = kernel.id;
        let change = match of(new, &id) {
            None => {
                let sizes = Sizes::of(kernel);
                KernelChange::Removed { release, id, modules: green(old, kernel), sizes }
            }
            Some(other) => {
                let red_added = cells_only_in(other, kernel);
                // A cell of a script that is gone wasn't mended.
                let mut red_removed = cells_only_in(kernel, other);
                red_removed.retain(|cell| new.script(&cell.script).is_some());
                if kernel.modules_sha256 == other.modules_sha256
                    && red_added.is_empty()
                    && red_removed.is_empty()
                {
                    continue;
                }
                let modules = if kernel.modules_sha256 == other.modules_sha256 {
                    Some(ModuleChanges::default())
                } else {
                    old_modules.get(&id).zip(new_modules.get(&id)).map(|(old, new)| module_changes(old, new))
                };
                let sizes = [Sizes::of(kernel), Sizes::of(other)];
                KernelChange::Changed { release, id, sizes, modules, red_added, red_removed }
            }
        };
        changes.push((kernel.release.clone(), change));
    }
    for kernel in new.kernels.iter().filter(|kernel| of(old, &kernel.id).is_none()) {
        let sizes = Sizes::of(kernel);
        changes.push((
            kernel.release.clone(),
            KernelChange::Added {
                release: kernel.release.clone(),
                id: kernel.id,
                modules: green(new, kernel),
                sizes,
            },
        ));
    }
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    changes.into_iter().map(|(_, change)| change).collect()
}

fn of<'m>(manifest: &'m Manifest, id: &KernelId) -> Option<&'m Kernel> {
    manifest.kernels.iter().find(|kernel| kernel.id == *id)
}

fn cells_only_in(one: &Kernel, other: &Kernel) -> Vec<RedCell> {
    let there: BTreeSet<&ScriptName> = other.red.iter().map(|cell| &cell.script).collect();
    one.red.iter().filter(|cell| !there.contains(&cell.script)).cloned().collect()
}

fn module_changes(old: &BTreeMap<ScriptName, Digest>, new: &BTreeMap<ScriptName, Digest>) -> ModuleChanges {
    let only =
        |one: &BTreeMap<ScriptName, Digest>, other: &BTreeMap<ScriptName, Digest>| -> Vec<ScriptName> {
            one.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
        };
    let differs =
        |(name, digest): &(&ScriptName, &Digest)| new.get(*name).is_some_and(|other| other != *digest);
    ModuleChanges {
        added: only(new, old),
        removed: only(old, new),
        changed: old.iter().filter(differs).map(|(name, _)| name.clone()).collect(),
    }
}
