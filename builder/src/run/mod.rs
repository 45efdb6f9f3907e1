//! A plan is carried out: what is in the cache is taken from there, the rest goes through the schedule to the workers.
//! In come a `Plan` and `BuildOptions`; out go `BuildEvent`s while it runs, and a `BuildReport`.

mod build;
mod compare;
mod decide;
mod error;
mod event;
mod keep;
mod lead;
mod options;
mod preview;
mod report;
mod schedule;
mod schedule_state;
mod site;
mod work_left;
mod workers;

pub use build::build;
pub use error::BuildError;
pub use event::{BuildEvent, JobEnd};
pub use options::{BuildOptions, OpenCells};
pub use preview::{CellPreview, Preview, preview};
pub use report::{BuildReport, Reproducibility, ServerReport, WarmUpReport};
