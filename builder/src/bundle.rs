//! From cells to a bundle: its draft, and the documents about its making.

pub(crate) mod assembly;
pub(crate) mod documents;
