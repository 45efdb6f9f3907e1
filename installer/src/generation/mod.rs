//! Generations: complete, fsynced sets of bundles and modules, of which one is current.

mod carry;
mod changes;
mod complete;
mod configuration;
mod current;
mod documents;
mod events;
mod index;
mod installed;
mod layout;
mod list;
mod module;
mod offers;
mod refused;
mod staged;
mod trailers;
mod usage;

pub use changes::{Changed, Changes, KernelChange, Presence};
pub use current::{CurrentGeneration, GenerationError};
pub use events::{Events, InstallEvent};
pub use installed::InstalledBundle;
pub use list::{BundleSummary, GenerationList, GenerationSummary, list_generations};
pub use module::{ModuleHandle, Refusal, VerifiedModuleBytes};
pub use offers::{Offer, OfferState};
pub use refused::{RefusalKind, RefusedBundle};
pub use trailers::{Certificate, ModuleKeys};

pub(crate) use carry::{intact_kernels, unpacked_kernels};
pub(crate) use changes::{Holding, Inventory, Modules, note_modules};
pub(crate) use complete::{Look, Problem};
pub(crate) use configuration::{ConfigurationTexts, options_text, switches_text};
pub(crate) use current::{known_current, open_state};
pub(crate) use index::{GenerationIndex, IndexedBundle, IndexedKernel};
pub(crate) use installed::set_file_name;
pub(crate) use layout::{
    SwitchError, current_number, generation_numbers, parse_number, prepare_link, switch_to,
};
pub(crate) use module::{module_file_name, read_sets};
pub(crate) use offers::running_kernel;
pub(crate) use staged::{Staging, indexed_kernel, next_number, remove_left_overs};
pub(crate) use usage::{disk_usage, freed_by, tree_usage};
