//! Scripts that start from the initramfs, in machines that boot real images: the image makers of Debian stable make them, real kernels load what
//! is in them.
#![cfg(any(feature = "lab", feature = "lab-long"))]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

mod life;
#[cfg(feature = "lab-long")]
mod others;
mod world;

#[cfg(feature = "lab")]
use end_to_end::hosts::ImageMaker;

/// One maker and one kernel; the other combinations are in `others`.
#[cfg(feature = "lab")]
#[test]
fn early_scripts_start_before_the_root_is_mounted_and_live_on() {
    life::of(ImageMaker::InitramfsTools, "stable");
}

#[cfg(feature = "lab")]
#[test]
fn a_module_that_was_changed_in_the_image_is_not_loaded_and_the_boot_goes_on() {
    life::of_a_changed_module(ImageMaker::InitramfsTools, "stable");
}
