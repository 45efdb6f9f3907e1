//! What was compiled or adopted on this very host: its record, how a new set takes the place of an old one, and its removal.

mod adoption;
pub(crate) mod cleanup;
mod record;
mod switch;

pub(crate) use adoption::{Adopter, MAX_SCRIPT, in_cache};
pub use adoption::{
    AdoptionPlan, AdoptionRefusal, AdoptionReport, FoundModule, RefusedAdoption, unpacked_too_deep,
};
pub use cleanup::{CleanupChoice, CleanupPlan, CleanupReport, KeptReason, KeptScript};
pub(crate) use record::LocalRecord;
pub use record::{Adoption, LocalModule};
pub(crate) use switch::finish_all;
