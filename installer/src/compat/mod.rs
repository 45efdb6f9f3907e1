//! What is written for the initscript's sake, so that it runs a bundle's scripts unmodified.
//!
//! - `<CACHE_PATH>/REL/NAME.ko`: a relative link through `current`, so the switch moves all at once;
//! - `<CACHE_PATH>/REL/NAME.opts`: a real file, for its first line is this host's (`opts.rs`);
//! - `/lib/modules/REL/systemtap/NAME.ko`: a real file, for scripts that members of stapusr may load (`users.rs`);
//! - `<CONFIG_PATH>/zz-stap-bundle.conf`: a relative link to the generation's `stap-bundle.conf`.
//!
//! Only bundles that are believed now count: after a pin went away their links and options go too, and
//! `stap-bundle.conf` is written anew from what is left.
//!
//! All of it follows the switch, is outside its atomic promise, and can be done again at any time: what
//! is right is left alone, what is somebody else's is reported and never touched. Our own start doesn't
//! read any of it.

mod link;
mod opts;
mod places;
mod preview;
mod reconcile;
mod report;
mod scripts;
mod users;
mod wanted;

pub(crate) use preview::preview;
pub use reconcile::reconcile;
pub(crate) use reconcile::{cache_only, reconcile_locked};
pub(crate) use report::Foreign;
pub use report::{CompatError, ForeignFile, ReconcileReport};
pub use scripts::other_scripts;
pub(crate) use scripts::{absent_sources, place_sources};
