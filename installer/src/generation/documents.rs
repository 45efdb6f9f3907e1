//! The documents of a generation that no signature covers, compared with what follows from the signed accounts:
//! `stap-bundle-options.conf` and `stap-bundle.conf`, `generation.json`, and each bundle's `root.json`.
//!
//! A start and an install believe none of them, but the initscript reads the first two and people the third.

use bundle_format::{KernelId, Manifest};

use crate::generation::carry::unpacked_kernels;
use crate::generation::configuration::{options_text, switches_text, text_in_one};
use crate::generation::current::CurrentGeneration;
use crate::generation::index::{GenerationIndex, IndexedBundle, IndexedKernel};
use crate::generation::installed::InstalledBundle;
use crate::host::paths::{BUNDLES, CONFIGURATION, INDEX, OPTIONS, ROOT_RECORD};
use files::{optional, with_causes};

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
        problems.extend(self.configuration_problem());
        problems.extend(own(INDEX, self.index_problem()));
        problems
    }

    /// What they must say follows from all bundles, so it can't be judged while one isn't believed.
    fn configuration_problem(&self) -> Option<DocumentProblem> {
        if !self.refused_bundles().is_empty() {
            return None;
        }
        let problem =
            |path: &str, what: String| Some(DocumentProblem { bundle: None, path: path.to_owned(), what });
        let read = |path: &str| optional(self.directory().read_file(path, MAX_CONFIGURATION));
        match (read(OPTIONS), read(CONFIGURATION)) {
            (Err(error), _) => problem(OPTIONS, with_causes(&error)),
            (_, Err(error)) => problem(CONFIGURATION, with_causes(&error)),
            (_, Ok(None)) => problem(CONFIGURATION, "it is missing".to_owned()),
            (Ok(options), Ok(Some(switches))) => {
                let path = self.wrong_configuration(options.as_deref(), &switches)?;
                let what = "it is not what follows from the signed options and requirements";
                problem(path, if options.is_none() { "it is missing".to_owned() } else { what.to_owned() })
            }
        }
    }

    /// The file that doesn't say what it must. Without options of its own a generation is as 0.1.0 made it, with all of it in one
    /// file. Whether compiling was to be turned off was for the policy of that day to say.
    fn wrong_configuration(&self, options: Option<&[u8]>, switches: &[u8]) -> Option<&'static str> {
        let manifests = || self.bundles().iter().map(|bundle| -> &Manifest { bundle.manifest.as_ref() });
        let either = |text: &dyn Fn(bool) -> String| {
            [true, false].into_iter().any(|cache_only| switches == text(cache_only).as_bytes())
        };
        let is_in_one = either(&|cache_only| text_in_one(manifests(), cache_only));
        match options {
            None if is_in_one => None,
            Some(options) if options == options_text(manifests()).as_bytes() => {
                (!is_in_one && !either(&switches_text)).then_some(CONFIGURATION)
            }
            _ => Some(OPTIONS),
        }
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
