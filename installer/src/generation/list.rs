//! All generations of a host, for people.

use bundle_format::{BundleId, BundleName, BundleVersion, KernelRelease};
use files::{FileError, FileSystem, optional};

use crate::generation::index::GenerationIndex;
use crate::generation::layout::{current_number, generation_numbers};
use crate::host::Domain;
use crate::host::paths::{GENERATIONS, STATE};
use crate::trust::Owners;

/// One generation as its index describes it; nothing in it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationSummary {
    pub number: u64,
    /// Whether it is the current one.
    pub current: bool,
    /// Seconds since 1970 when it was made, if a clock was given then.
    pub made: Option<u64>,
    pub bundles: Vec<BundleSummary>,
    /// Why its index can't be read.
    pub problem: Option<String>,
}

impl GenerationSummary {
    /// Whether nothing is installed in it; unknown if its index can't be read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.problem.is_none()
    }
}

/// One bundle of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleSummary {
    pub name: BundleName,
    /// The domain that owns its name now; `None` if that isn't known.
    pub domain: Option<Domain>,
    /// Its version for people.
    pub version: BundleVersion,
    pub epoch: u64,
    pub serial: u64,
    pub id: BundleId,
    /// How many scripts it has.
    pub scripts: usize,
    /// The releases that are unpacked.
    pub kernels: Vec<KernelRelease>,
}

/// The generations on this host, by number.
pub fn list_generations(host: &FileSystem) -> Result<Vec<GenerationSummary>, FileError> {
    let Some(state) = optional(host.open_dir(STATE))? else { return Ok(Vec::new()) };
    let current = current_number(&state)?;
    let Some(generations) = optional(state.open_dir(GENERATIONS))? else { return Ok(Vec::new()) };
    let owners = Owners::read(host).ok();
    let mut list = Vec::new();
    for number in generation_numbers(&generations)? {
        let index =
            generations.open_dir(&number.to_string()).and_then(|directory| GenerationIndex::read(&directory));
        list.push(summary(number, current == Some(number), index, owners.as_ref()));
    }
    Ok(list)
}

fn summary(
    number: u64,
    current: bool,
    index: Result<GenerationIndex, FileError>,
    owners: Option<&Owners>,
) -> GenerationSummary {
    let index = match index {
        Ok(index) => index,
        Err(error) => {
            let problem = Some(files::with_causes(&error));
            return GenerationSummary { number, current, made: None, bundles: Vec::new(), problem };
        }
    };
    let bundles = index.bundles.into_iter().map(|bundle| BundleSummary {
        domain: owners.map(|owners| owners.of(bundle.name.as_str())),
        name: bundle.name,
        version: bundle.version,
        epoch: bundle.epoch,
        serial: bundle.serial,
        id: bundle.id,
        scripts: bundle.scripts.len(),
        kernels: bundle.kernels.into_iter().map(|kernel| kernel.release).collect(),
    });
    GenerationSummary { number, current, made: index.made, bundles: bundles.collect(), problem: None }
}
