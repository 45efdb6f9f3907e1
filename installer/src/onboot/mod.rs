//! Scripts that start from the initramfs: which they are, what an image is given for them, and what each image was given last.

mod contents;
mod copy;
mod given;
mod list;

pub use contents::{ImageError, copy_into_image};
pub use given::{GivenImage, GivenScript, given_image, given_images, remember_image};
pub use list::{OnbootChange, OnbootError, onboot_list, set_onboot_list, write_list};
