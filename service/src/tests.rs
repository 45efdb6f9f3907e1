//! Start, stop and status against a stand-in `staprun`.

mod looking;
mod starting;
mod stopping;
mod world;
