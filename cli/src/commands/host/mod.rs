//! The production side: installs, starts, watches and looks after what is installed on this host.

pub(super) mod attach;
pub(super) mod boot_guard;
pub(super) mod cleanup;
pub(super) mod compile;
pub(super) mod fsck;
pub(super) mod gc;
pub(super) mod history;
pub(super) mod install;
pub(super) mod list;
#[cfg(feature = "farm")]
pub(crate) mod local_compile;
pub(super) mod pin;
pub(super) mod restart;
pub(super) mod rollback;
pub(crate) mod service;
pub(super) mod start;
pub(super) mod status;
pub(super) mod stop;
pub(super) mod uninstall;
