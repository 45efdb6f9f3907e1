//! Where things are on the host, beneath the root. `docs/design/architecture.md`, "The host's disk".

/// The state directory; everything in it is written under [`crate::WriterLock`].
pub const STATE: &str = "/var/lib/stap-bundle";
/// Name of the document in [`STATE`] that says which kinds of documents and links there are; absent until a version needs more
/// than the first one has.
pub(crate) const STATE_LAYOUT: &str = "layout.json";
/// Name of a lock file: of the state directory for writers, of a generation for its readers and the collection.
pub(crate) const LOCK: &str = "lock";
/// Name of the directory of generations in [`STATE`].
pub(crate) const GENERATIONS: &str = "generations";
/// Name of the one switch in [`STATE`]: a link to `generations/<n>`.
pub(crate) const CURRENT: &str = "current";
/// Name of the link that an install is about to rename over [`CURRENT`]. While it is there, the
/// generation it names has never been current.
pub(crate) const NEXT: &str = ".next";
/// Name of the link that a rollback is about to rename over [`CURRENT`].
pub(crate) const BACK: &str = ".back";
/// What a generation is called in [`GENERATIONS`] while it is being written, before its number.
pub(crate) const STAGING: &str = ".staging-";
/// Directory of the floors and the history.
pub(crate) const RECORDS: &str = "/var/lib/stap-bundle/state";
/// Names of the two copies of the floors in [`RECORDS`].
pub(crate) const FLOORS: [&str; 2] = ["floors", "floors.copy"];
/// Name of the record of our files in /lib/modules/REL/systemtap, in [`RECORDS`].
pub(crate) const USER_MODULES: &str = "user-modules";
/// Name of the directory of pinned generations in [`RECORDS`]: an empty file for each, called by its number.
pub(crate) const PINS: &str = "pins";
/// Name of the file of all masks in [`RECORDS`].
pub(crate) const MASKS: &str = "masks.json";
/// What a generation is called in [`GENERATIONS`] while `gc` removes it, before its number.
pub(crate) const TOMBSTONE: &str = ".gone-";
/// Name of the list of scripts that start from the initramfs in [`ADMINISTRATION`], and of the directory in [`RECORDS`] of what images were
/// given.
pub(crate) const ONBOOT: &str = "onboot";
/// Name of the administrator's policy in [`ADMINISTRATION`].
pub(crate) const POLICY: &str = "policy.toml";
/// Name of the append-only history in [`RECORDS`].
pub(crate) const HISTORY: &str = "history";
/// Name of the directory of accepted chains of roots in [`RECORDS`], one directory a domain.
pub(crate) const ROOTS: &str = "roots";
/// Names of the two copies of a domain's accepted chain.
pub(crate) const CHAIN_FILES: [&str; 2] = ["chain.stapr", "chain.stapr.copy"];
/// Name of the file beside them that says up to which generation nothing proves the chain any more.
pub(crate) const FORGOTTEN: &str = "forgotten";
/// Name of a pinned root in the trust directory.
pub(crate) const ROOT_PIN: &str = "root.stapr";
/// Name of the record beside a bundle that says by which root it was accepted.
pub(crate) const ROOT_RECORD: &str = "root.json";
/// The administrator's own directory.
pub(crate) const ADMINISTRATION: &str = "/etc/stap-bundle";
/// What is true until the next boot.
pub(crate) const RUN: &str = "/run/stap-bundle";
/// The administrator's pins, one directory a domain.
pub(crate) const TRUST: &str = "/etc/stap-bundle/trust";
/// Name of the file in a domain's directory of pins that says which bundle names the domain owns.
pub(crate) const OWNED: &str = "bundles";
/// Where `install` without a file looks.
pub const INBOX: &str = "/var/lib/stap-bundle/inbox";
/// Where the distribution keeps a kernel's modules, one directory a release.
pub const LIB_MODULES: &str = "/lib/modules";

/// Name of the index of a generation.
pub(crate) const INDEX: &str = "generation.json";
/// Name of the directory of bundles in a generation.
pub(crate) const BUNDLES: &str = "bundles";
/// Name of the directory of modules in a generation.
pub(crate) const KERNELS: &str = "kernels";
/// Name of the directory of the shared `uprobes.ko` in a kernel's directory; a script may be called `uprobes`.
pub(crate) const UPROBES_DIRECTORY: &str = "uprobes";
/// Name of the shared module for user-space probes.
pub(crate) const UPROBES_FILE: &str = "uprobes.ko";
/// Name of the directory of SET.json files of a bundle.
pub(crate) const SETS: &str = "sets";
/// Name of a bundle's file in its directory.
pub(crate) const BUNDLE_FILE: &str = "bundle.stapb";
/// Name of the full bundle that a delta was made from, beside the delta's own file.
pub(crate) const BASE_FILE: &str = "base.stapb";
/// Name of the options and requirements for the initscript in a generation.
pub(crate) const OPTIONS: &str = "stap-bundle-options.conf";
/// Name of what keeps the initscript from compiling, in a generation. Up to 0.1.0 it held the options, too.
pub(crate) const CONFIGURATION: &str = "stap-bundle.conf";
/// Name of the directory in a generation through which stock tools see it.
pub(crate) const VIEW: &str = "initscript";
/// Name of the link to [`OPTIONS`] in the initscript's `CONFIG_PATH`; sorts before a host's own files, so that theirs count.
pub const OPTIONS_LINK: &str = "00-stap-bundle.conf";
/// Name of the link to [`CONFIGURATION`] there; sorts last.
pub const CONFIGURATION_LINK: &str = "zz-stap-bundle.conf";
