//! What the end-to-end tests and the demonstration share: the lab, the programs under test, and a virtual
//! machine that boots a real kernel as an air-gapped host.

pub mod coverage;
pub mod document;
mod firmware;
pub mod hosts;
pub mod lab;
pub mod machine;
pub mod programs;
pub mod published;
pub mod scratch;
pub mod secure_boot;
pub mod server_root;
pub mod vm;
pub mod write_log;
