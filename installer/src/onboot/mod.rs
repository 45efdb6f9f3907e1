//! Scripts that start from the initramfs: which they are, what an image is given for them, and what each image was given last.

mod contents;
mod copy;
mod given;
mod list;

pub use contents::{ImageError, copy_into_image, trust_digest};
pub use given::{GivenScript, ImageRecord, ImageStamp, has_image_records, image_record, write_image_record};
pub use list::{OnbootChange, OnbootError, onboot_list, set_onboot_list, write_onboot_list};
