//! Start, stop and status against a stand-in `staprun`.

mod adopting;
mod attaching;
mod booting;
mod cleaning;
mod compiling;
mod crediting;
mod ending;
mod foreseeing;
mod graph;
mod guarding;
mod impostors;
mod looking;
mod masking;
mod newer_state;
mod old_kernel;
mod onboot;
mod outputs;
mod outside;
mod restarting;
mod settling;
mod starting;
mod stopping;
mod storm;
mod world;
