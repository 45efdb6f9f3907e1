//! One cell on its way: the script and the kernel, the key of its result, the command, and what came of it.

pub(crate) mod address;
pub(crate) mod cell;
pub(crate) mod key;
pub(crate) mod maker;
pub(crate) mod module_info;
pub(crate) mod outcome;
pub(crate) mod privilege;
pub(crate) mod recipe;
