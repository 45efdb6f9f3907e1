//! All generations of a host, for people.

use bundle_format::{BundleId, BundleName, BundleVersion, KernelRelease};
use files::{Directory, FileSystem, optional};

use crate::generation::current::{GenerationError, open_state, protected};
use crate::generation::index::GenerationIndex;
use crate::generation::layout::{current_number, generation_numbers};
use crate::host::Domain;
use crate::host::paths::GENERATIONS;
use crate::trust::Owners;

/// The generations on a host.
#[derive(Debug, Default)]
pub struct GenerationList {
    /// All of them, by number.
    pub generations: Vec<GenerationSummary>,
    /// Why it isn't known which one is current.
    pub problem: Option<GenerationError>,
}

/// One generation as its index describes it; nothing in it is proven.
#[derive(Debug)]
pub struct GenerationSummary {
    pub number: u64,
    /// Whether it is the current one.
    pub current: bool,
    /// Seconds since 1970 when it was made, if a clock was given then.
    pub made: Option<u64>,
    pub bundles: Vec<BundleSummary>,
    /// Why it, or its index, can't be read.
    pub problem: Option<GenerationError>,
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

/// Lists the generations on this host.
///
/// # Errors
/// If somebody other than root could change the state, or it can't be read: nothing is known of it then.
pub fn list_generations(host: &FileSystem) -> Result<GenerationList, GenerationError> {
    let Some(state) = open_state(host)? else { return Ok(GenerationList::default()) };
    let (current, mut problem) = match current_number(&state) {
        Ok(current) => (current, None),
        Err(error) => (None, Some(error.into())),
    };
    let all = optional(state.open_dir(GENERATIONS))?;
    all.as_ref().map_or(Ok(()), protected)?;
    let numbers = all.as_ref().map_or_else(|| Ok(Vec::new()), generation_numbers)?;
    if let Some(number) = current.filter(|number| !numbers.contains(number)) {
        problem = Some(GenerationError::Missing { number });
    }
    let owners = Owners::read(host).ok();
    let summary = |number| summary(all.as_ref()?, number, current == Some(number), owners.as_ref());
    Ok(GenerationList { generations: numbers.into_iter().filter_map(summary).collect(), problem })
}

fn summary(
    all: &Directory,
    number: u64,
    current: bool,
    owners: Option<&Owners>,
) -> Option<GenerationSummary> {
    let read = || -> Result<Option<GenerationIndex>, GenerationError> {
        let Some(directory) = optional(all.open_dir(&number.to_string()))? else { return Ok(None) };
        protected(&directory)?;
        let index = GenerationIndex::read(&directory)?;
        index.check_bundles(&directory)?;
        Ok(Some(index))
    };
    let index = match read() {
        // Collected meanwhile.
        Ok(None) => return None,
        Ok(Some(index)) => index,
        Err(error) => {
            let problem = Some(error);
            return Some(GenerationSummary { number, current, made: None, bundles: Vec::new(), problem });
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
    Some(GenerationSummary { number, current, made: index.made, bundles: bundles.collect(), problem: None })
}
