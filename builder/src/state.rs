//! What a builder keeps between builds: where it lies, under which lock, and the notes that save it time.

pub(crate) mod directories;
pub(crate) mod file_stamp;
pub(crate) mod last_use;
pub(crate) mod note;
