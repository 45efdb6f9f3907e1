//! One file for each subject; [`world`] is what they share.

mod boot;
mod generations;
mod init_scripts;
mod panicking;
mod running;
mod users;
mod world;
