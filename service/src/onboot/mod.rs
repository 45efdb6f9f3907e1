//! Scripts that start from the initramfs: which of them an image can be given, giving them to it, and what the images have.

mod fitness;
mod images;
mod maker;
mod stage;
mod start;

pub(crate) use fitness::with_requirements;
pub use fitness::{Fitness, Unfit};
pub use images::{ImageOfKernel, OnbootStatus};
pub(crate) use images::{Images, of_kernel};
pub use maker::{ImageMaker, MakerError, OwnImage};
pub use stage::StagedScripts;
pub(crate) use stage::{ImageOf, stage};
pub(crate) use start::start;
