//! Hosts that start the product as a machine does: by systemd's unit, by the init script through systemd's generator, and
//! by System V's init. Real kernels, the real `staprun`, a bundle that the real farm made.
//!
//! Where a boot itself isn't the subject, a test goes on from one machine that was kept after its boot.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

// A name of its own, so that these tests can be told from those that must run one at a time: the Makefile runs two of them
// side by side, since a machine has one processor.
mod machines;
