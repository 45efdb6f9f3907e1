//! What is written for the initscript's sake, so that it runs a bundle's scripts unmodified.
//!
//! - `<CACHE_PATH>/REL/NAME.ko` and `.opts`: relative links through `current` into the generation's own view (`view.rs`), so the
//!   switch moves all at once;
//! - `<CONFIG_PATH>/00-stap-bundle.conf` and `zz-stap-bundle.conf`: relative links to the generation's options, before the host's own
//!   files, and to what keeps the initscript from compiling, behind them (`configuration.rs`);
//! - `/lib/modules/REL/systemtap/NAME.ko`: a real file, for scripts that members of stapusr may load (`users.rs`).
//!
//! Only bundles that are believed now count: after a pin went away their links and options go too, and
//! both files are written again from what is left.
//!
//! Around a switch: new links first (`ahead.rs`), which lead nowhere until `current` moves; then the switch; then the links of
//! names that went away, which lead nowhere since. So a kill at any moment leaves the old set or the new one for stock tools
//! too. Three things follow the switch and are outside of that promise:
//! - files of others that `--move-foreign` moves aside: to do so before would take something away that the old set goes beside;
//! - the real files for stapusr: `staprun` takes no link out of their directory, so each is replaced in one step, by itself;
//! - scripts that `--with-source` places: they are newer than their module until its time has followed (`scripts.rs`).
//!
//! All of it can be done again at any time: what is right is left alone, what is somebody else's is reported and never
//! touched. Our own start doesn't read any of it.

mod ahead;
mod configuration;
mod lacking;
mod link;
mod opts;
mod places;
mod preview;
mod reconcile;
mod report;
mod scripts;
mod users;
mod view;
mod wanted;

pub(crate) use ahead::{joined, link_ahead};
pub(crate) use configuration::cache_only;
pub use lacking::lacking;
pub(crate) use preview::preview;
pub use reconcile::reconcile;
pub(crate) use reconcile::reconcile_locked;
pub(crate) use report::Foreign;
pub use report::{CompatError, ForeignFile, Lacking, Lost, ReconcileReport};
pub use scripts::other_scripts;
pub(crate) use scripts::{absent_sources, place_sources};
