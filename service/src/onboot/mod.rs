//! Scripts that start from the initramfs: which of them an image can be given, giving them to it, and what the images have.

mod fitness;
mod images;
mod maker;
mod settings;
mod stage;
mod start;

pub(crate) use fitness::with_requirements;
pub use fitness::{Fitness, Unfit};
pub use images::{ImageOfKernel, OnbootStatus};
pub(crate) use images::{Images, of_kernel};
pub use maker::{ImageLock, ImageMaker, MakerError, OwnImage, UNRECORDED};
pub(crate) use stage::{ImageOf, stage};
pub use start::not_started_before_root;
pub(crate) use start::start;
