//! Start, stop and status against a stand-in `staprun`.

mod booting;
mod cleaning;
mod looking;
mod restarting;
mod starting;
mod stopping;
mod world;
