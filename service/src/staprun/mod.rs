//! The one program that loads and removes modules. Verified bytes come in, as a private copy; how it ended goes out.

mod background;
mod call;
mod load_dir;
mod refusal;

pub(crate) use background::SystemLog;
pub(crate) use call::{Staprun, StaprunEnd};
pub(crate) use load_dir::LoadDir;
pub use refusal::StaprunRefusal;
