//! Start, stop and status of `SystemTap` scripts from the current, verified generation.
//!
//! The one entry is [`Service`]. A start goes through these states, each of which can only be made from the one before:
//! the current generation → [`StartPlan`] (every module verified, order fixed, nothing changed yet) → private copies →
//! `staprun` → proof from the kernel that the script runs → [`RunRecord`]. A stop reads the kernel and the records.
//!
//! ```text
//! /run/stap-bundle/                0755
//!   lock                           one start or stop at a time; covers all of the below and STAT_PATH
//!   load/                 0700     private copies while they are loaded; emptied by the next start
//!   run/NAME.json                  what runs: written before the load, again when it runs
//!   failed/NAME.json               why the last start left a script out
//!   onboot.json                    what the start in the initramfs did
//! STAT_PATH/NAME                   the initscript's status file
//! LOG_FILE                         in the initscript's format
//! ```
//!
//! A crash at any point leaves at worst a module that is loaded and recorded as `loading`: the next start or stop takes
//! it out. The lock goes with the process.
//!
//! The rooms below are in the order of the data; each knows only those above it.
//!
//! Numbers such as INIT-START-17 or RUN-06 name facts about the initscript and `staprun`; see `docs/compatibility.md`.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

// The machine, the service's own files, the lock, the log.
mod host;

// What the kernel tells now.
mod kernel;

// The program that loads and removes modules.
mod staprun;

// Why a script isn't started or doesn't run.
mod reasons;

// What is reported while it happens.
mod event;

// What is remembered until the next boot.
mod records;

// What was compiled on this host.
mod local;

// What could be started.
mod offers;

// What a start at boot does without.
mod boot;

// What a start will do.
mod plan;

// Out of the kernel.
mod stop;

// Into the kernel.
mod start;

// What the initramfs starts.
mod onboot;

// Status, and the data of recorders.
mod seen;

// Whether a start would succeed.
mod doctor;

// The commands.
mod service;

#[cfg(test)]
mod tests;

pub use boot::*;
pub use doctor::*;
pub use event::{EventSink, ServiceEvent};
pub use host::*;
pub use kernel::*;
pub use local::*;
pub use offers::*;
pub use onboot::*;
pub use plan::*;
pub use reasons::*;
pub use records::*;
pub use seen::*;
pub use service::Service;
pub use staprun::*;
pub use start::*;
pub use stop::*;
