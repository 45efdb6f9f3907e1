//! What a builder keeps between builds: where it lies, under which lock, and the notes that save it time.

mod directories;
mod file_stamp;
mod last_use;
mod note;

pub use directories::BuildDirectories;
pub(crate) use file_stamp::FileStamp;
pub(crate) use last_use::{USE_GRAIN, note_use};
pub(crate) use note::Notes;
