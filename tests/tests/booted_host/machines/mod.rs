//! One file for each subject; [`world`] is what they share.

mod boot;
mod denied_calls;
mod ending;
mod generations;
mod init_scripts;
mod late_mount;
mod packages;
mod panicking;
mod readers;
mod reports;
mod running;
mod sandbox;
mod signatures;
mod users;
mod world;
