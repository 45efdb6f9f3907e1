//! Tests of whole installs: each begins with an empty host in a temporary directory and bundles that
//! are made in memory, signed with a test key.

mod chain_copies;
pub(crate) mod choices;
mod collect;
mod compat;
mod delta;
mod domain_accounts;
mod domains;
mod faults;
mod floors;
mod foreseen;
mod fsck;
mod gone_kernels;
mod install;
mod integration;
mod kept;
mod lacking;
mod later_kernel;
mod masks;
mod near_the_corpus;
mod newer_state;
mod other_builds;
mod other_file_systems;
mod other_users;
mod racing_readers;
mod reader;
mod removal;
mod roots;
mod side_by_side;
mod sources;
pub(crate) mod world;
mod years;
