//! stap's own caches for a kernel: their parts, the leaders that make them, and the store that every job reads.

pub(crate) mod cache;
pub(crate) mod diagnosis;
pub(crate) mod layer;
pub(crate) mod leader;
pub(crate) mod parts;
