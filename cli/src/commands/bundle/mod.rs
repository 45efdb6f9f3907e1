//! Bundles as files: looked into, verified, compared, taken apart. Neither a farm nor a host is needed.

pub(super) mod diff;
pub(super) mod export;
pub(super) mod extract;
pub(super) mod inspect;
pub(super) mod join;
pub(super) mod split;
pub(super) mod subset;
pub(super) mod verify;
