//! The documents of a generation that no signature covers, compared with what follows from the signed accounts:
//! `stap-bundle.conf`, `generation.json`, and each bundle's `root.json`.
//!
//! A start and an install believe none of them, but the initscript reads the first one and people the second.

use bundle_format::KernelId;

use crate::generation::carry::unpacked_kernels;
use crate::generation::configuration::configuration_text;
use crate::generation::current::CurrentGeneration;
use crate::generation::index::{GenerationIndex, IndexedBundle, IndexedKernel};
use crate::generation::installed::InstalledBundle;
use crate::host::paths::{BUNDLES, CONFIGURATION, INDEX, ROOT_RECORD};
use files::with_causes;

/// Most bytes of a configuration: as many as a manifest may have, which holds all that it says.
const MAX_CONFIGURATION: u64 = bundle_format::limits::MAX_MANIFEST * 4;

/// A document that doesn't say what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentProblem {
    /// Whose it is; `None` for the generation's own.
    pub(crate) bundle: Option<String>,
    /// The path in the generation.
    pub(crate) path: String,
    pub(crate) what: String,
}

impl CurrentGeneration {
    pub(crate) fn document_problems(&self) -> Vec<DocumentProblem> {
        let own = |path: &str, what: Option<String>| {
            what.map(|what| DocumentProblem { bundle: None, path: path.to_owned(), what })
        };
        let of_bundle = |bundle: &InstalledBundle| {
            let name = bundle.name.to_string();
            let what = bundle.root_problem()?;
            let path = format!("{BUNDLES}/{name}/{ROOT_RECORD}");
            Some(DocumentProblem { bundle: Some(name), path, what })
        };
        let mut problems: Vec<_> = self.bundles().iter().filter_map(of_bundle).collect();
        problems.extend(own(CONFIGURATION, self.configuration_problem()));
        problems.extend(own(INDEX, self.index_problem()));
        problems
    }

    /// What it must say follows from all bundles, so it can't be judged while one isn't believed.
    fn configuration_problem(&self) -> Option<String> {
        if !self.refused_bundles().is_empty() {
            return None;
        }
        let found = match self.directory().read_file(CONFIGURATION, MAX_CONFIGURATION) {
            Ok(found) => found,
            Err(error) => return Some(with_causes(&error)),
        };
        // Whether compiling was to be turned off was for the policy of that day to say.
        let text = |cache_only| {
            configuration_text(self.bundles().iter().map(|bundle| bundle.manifest.as_ref()), cache_only)
        };
        let is_ours = [true, false].into_iter().any(|cache_only| found == text(cache_only).as_bytes());
        (!is_ours).then(|| "it is not what follows from the signed options and requirements".to_owned())
    }

    fn index_problem(&self) -> Option<String> {
        let index = match GenerationIndex::read(self.directory()) {
            Ok(index) => index,
            Err(error) => return Some(with_causes(&error)),
        };
        if index.number != self.number() {
            return Some(format!("it says that it is of generation {}", index.number));
        }
        for bundle in self.bundles() {
            let name = &bundle.name;
            let Some(found) = index.bundles.iter().find(|entry| entry.name == *name) else {
                return Some(format!("it does not list bundle {name}"));
            };
            let unpacked = match unpacked_kernels(self.directory(), name.as_str(), &bundle.manifest) {
                Ok(unpacked) => unpacked,
                Err(error) => return Some(with_causes(&error)),
            };
            if kernels(&found.kernels) != kernels(&unpacked) {
                return Some(format!("what it lists of bundle {name} is not what is unpacked"));
            }
            let expected = IndexedBundle::new(bundle.id, &bundle.manifest);
            let said = IndexedBundle { kernels: Vec::new(), ..found.clone() };
            if said != expected {
                return Some(format!("what it says of bundle {name} is not what is signed"));
            }
        }
        let is_there = |entry: &&IndexedBundle| {
            let refused = self.refused_bundles().iter().any(|refused| refused.name == entry.name.as_str());
            refused || self.bundles().iter().any(|bundle| bundle.name == entry.name)
        };
        let absent = index.bundles.iter().find(|entry| !is_there(entry));
        absent.map(|entry| format!("it lists bundle {}, which is not there", entry.name))
    }
}

/// In one order, and without kernels that have nothing to unpack.
fn kernels(entries: &[IndexedKernel]) -> Vec<(KernelId, IndexedKernel)> {
    let with_files = entries.iter().filter(|entry| entry.sets > 0).cloned();
    let mut sorted: Vec<_> = with_files
        .map(|mut entry| {
            entry.modules.sort();
            (entry.id, entry)
        })
        .collect();
    sorted.sort_by_key(|(id, _)| *id);
    sorted
}

impl InstalledBundle {
    /// What is wrong with the record of the root by which it was accepted. A bundle that brought roots was accepted by
    /// the newest one that this host knew then, which is at least as new as the newest that it brought; without a record
    /// pins would judge it from now on.
    pub(crate) fn root_problem(&self) -> Option<String> {
        let brought = self.manifest.roots.last;
        match &self.root {
            _ if brought == 0 => None,
            None => Some(format!("it is missing, though the bundle brought root {brought}")),
            Some(root) if root.version < brought => {
                Some(format!("it names root {}, though the bundle brought root {brought}", root.version))
            }
            Some(_) => None,
        }
    }
}
