//! What one generation has and another one hasn't: scripts, kernels, modules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bundle_format::{
    BundleName, Digest, Kernel, KernelId, KernelRelease, Manifest, ScriptName, ScriptRecord, SetDocument,
};
use serde::Serialize;

use crate::generation::current::CurrentGeneration;
use crate::generation::installed::InstalledBundle;
use crate::generation::module::read_sets;

/// What goes, comes and changes when one generation follows another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    pub scripts: Changed<ScriptName>,
    /// The kernels that differ, in the natural order of their releases.
    pub kernels: Vec<KernelChange>,
    /// What can't be read or isn't believed in one of the two, so that nothing is said of it.
    pub not_compared: Vec<String>,
}

/// Names that are only in the new one, only in the old one, or in both and not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed<T> {
    pub added: Vec<T>,
    pub changed: Vec<T>,
    pub removed: Vec<T>,
}

/// A kernel that differs. A kernel that was built again under its release has another id: it is one that goes and one
/// that comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KernelChange {
    pub release: KernelRelease,
    pub id: KernelId,
    pub before: Presence,
    pub after: Presence,
    /// Of the modules that are unpacked.
    pub modules: Changed<ScriptName>,
}

/// How much of a kernel is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    Absent,
    /// A bundle accounts for it; its modules aren't unpacked.
    Listed,
    /// Its modules are unpacked.
    Unpacked,
}

impl<T> Default for Changed<T> {
    fn default() -> Self {
        Self { added: Vec::new(), changed: Vec::new(), removed: Vec::new() }
    }
}

impl<T> Changed<T> {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl<T: Ord + Clone> Changed<T> {
    fn between<V: PartialEq>(before: &BTreeMap<T, V>, after: &BTreeMap<T, V>) -> Self {
        let only = |one: &BTreeMap<T, V>, other: &BTreeMap<T, V>| -> Vec<T> {
            one.keys().filter(|name| !other.contains_key(name)).cloned().collect()
        };
        let differs = |(name, value): &(&T, &V)| after.get(name).is_some_and(|other| other != *value);
        Self {
            added: only(after, before),
            changed: before.iter().filter(differs).map(|(name, _)| name.clone()).collect(),
            removed: only(before, after),
        }
    }
}

impl Changes {
    /// Whether nothing is known to differ.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.scripts.is_empty() && self.kernels.is_empty()
    }

    /// The generation `what` can't be read, so that nothing can be compared with it.
    pub(crate) fn unknown(what: String) -> Self {
        Self { not_compared: vec![what], ..Self::default() }
    }
}

/// Digests of a kernel's unpacked modules; `None` where their account can't be read.
pub(crate) type Modules = Option<BTreeMap<ScriptName, Digest>>;

/// Notes the modules of a frame of a new bundle, as it is unpacked.
pub(crate) fn note_modules(noted: &mut BTreeMap<KernelId, Modules>, set: &SetDocument) {
    let modules = noted.entry(set.kernel).or_default().get_or_insert_default();
    modules.extend(set.modules.iter().map(|module| (module.name.clone(), module.sha256)));
}

/// What a generation has, by its signed accounts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inventory {
    bundles: BTreeMap<BundleName, Holding>,
    unknown: Vec<String>,
}

/// What a bundle has in a generation.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) manifest: Arc<Manifest>,
    /// The kernels that are unpacked.
    pub(crate) unpacked: BTreeMap<KernelId, Modules>,
}

impl Holding {
    fn of(bundle: &InstalledBundle, unknown: &mut Vec<String>) -> Self {
        let mut unpacked = BTreeMap::new();
        for kernel in &bundle.manifest.kernels {
            let modules = match read_sets(bundle, kernel) {
                Ok(None) => continue,
                Ok(Some(set)) => {
                    Some(set.modules().map(|module| (module.name.clone(), module.sha256)).collect())
                }
                Err(_) => {
                    unknown.push(format!("kernel {} of bundle {}", kernel.release, bundle.name));
                    None
                }
            };
            unpacked.insert(kernel.id, modules);
        }
        Self { manifest: Arc::clone(&bundle.manifest), unpacked }
    }
}

/// A kernel of an inventory.
#[derive(Debug)]
struct Place<'i> {
    kernel: &'i Kernel,
    presence: Presence,
    /// What each bundle has for it.
    content: BTreeMap<&'i BundleName, Digest>,
    modules: Modules,
}

impl Inventory {
    /// What `generation` has.
    pub(crate) fn of(generation: &CurrentGeneration) -> Self {
        let refused = generation.refused_bundles().iter();
        let mut unknown: Vec<String> = refused.map(|refused| format!("bundle {}", refused.name)).collect();
        let bundles = generation.bundles().iter();
        let bundles =
            bundles.map(|bundle| (bundle.name.clone(), Holding::of(bundle, &mut unknown))).collect();
        Self { bundles, unknown }
    }

    /// The same without the bundle `name`, which may be one that isn't believed.
    pub(crate) fn without(mut self, name: &BundleName) -> Self {
        self.bundles.remove(name);
        self
    }

    /// The same with a bundle, in the place of one of its name.
    pub(crate) fn with(mut self, holding: Holding) -> Self {
        self.bundles.insert(holding.manifest.name.clone(), holding);
        self
    }

    /// What a bundle has unpacked for a kernel.
    pub(crate) fn modules(&self, bundle: &BundleName, kernel: &KernelId) -> Modules {
        self.bundles.get(bundle)?.unpacked.get(kernel)?.clone()
    }

    /// What changes when `after` follows this one.
    pub(crate) fn compare(&self, after: &Self) -> Changes {
        let ours = self.kernels();
        let theirs = after.kernels();
        let ids: BTreeSet<&KernelId> = ours.keys().chain(theirs.keys()).collect();
        let mut kernels: Vec<KernelChange> =
            ids.into_iter().filter_map(|id| change(ours.get(id), theirs.get(id))).collect();
        kernels.sort_by(|a, b| (&a.release, a.id).cmp(&(&b.release, b.id)));
        let not_compared: BTreeSet<&String> = self.unknown.iter().chain(&after.unknown).collect();
        Changes {
            scripts: Changed::between(&self.scripts(), &after.scripts()),
            kernels,
            not_compared: not_compared.into_iter().cloned().collect(),
        }
    }

    fn scripts(&self) -> BTreeMap<ScriptName, &ScriptRecord> {
        let records = self.bundles.values().flat_map(|holding| &holding.manifest.scripts);
        records.map(|record| (record.name.clone(), record)).collect()
    }

    /// All kernels with modules. Two bundles may have one kernel.
    fn kernels(&self) -> BTreeMap<KernelId, Place<'_>> {
        let mut places: BTreeMap<KernelId, Place<'_>> = BTreeMap::new();
        for (name, holding) in &self.bundles {
            for kernel in holding.manifest.kernels.iter().filter(|kernel| !kernel.frames.is_empty()) {
                let place = places.entry(kernel.id).or_insert_with(|| Place {
                    kernel,
                    presence: Presence::Listed,
                    content: BTreeMap::new(),
                    modules: Some(BTreeMap::new()),
                });
                place.content.insert(name, kernel.modules_sha256);
                let Some(modules) = holding.unpacked.get(&kernel.id) else { continue };
                place.presence = Presence::Unpacked;
                place.modules = place.modules.take().zip(modules.clone()).map(|(mut all, more)| {
                    all.extend(more);
                    all
                });
            }
        }
        places
    }
}

/// How a kernel differs; `None` if it doesn't.
fn change(before: Option<&Place<'_>>, after: Option<&Place<'_>>) -> Option<KernelChange> {
    let presence = |place: Option<&Place<'_>>| place.map_or(Presence::Absent, |place| place.presence);
    let modules = |place: Option<&Place<'_>>| {
        place.map_or_else(|| Some(BTreeMap::new()), |place| place.modules.clone())
    };
    let known = modules(before).zip(modules(after));
    let modules = known.map(|(before, after)| Changed::between(&before, &after)).unwrap_or_default();
    let same_content = before.map(|place| &place.content) == after.map(|place| &place.content);
    if presence(before) == presence(after) && modules.is_empty() && same_content {
        return None;
    }
    let kernel = before.or(after)?.kernel;
    Some(KernelChange {
        release: kernel.release.clone(),
        id: kernel.id,
        before: presence(before),
        after: presence(after),
        modules,
    })
}
