//! From a request to jobs. In comes a `BuildRequest`; out goes a `Plan`, or all that is wrong with the request at once.

pub(crate) mod inputs;
pub(crate) mod kernel_search;
pub(crate) mod make;
pub(crate) mod matrix;
pub(crate) mod policy;
pub(crate) mod problem;
pub(crate) mod request;
pub(crate) mod scripts;
pub(crate) mod shard;
pub(crate) mod unbuilt;
