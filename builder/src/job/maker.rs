//! Who makes a module.

use std::fmt;

use super::address::ServerAddress;

/// Who made a cell's module, or tried to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Maker {
    /// This machine, in the sandbox.
    #[default]
    Here,
    /// A compile server.
    Server(ServerAddress),
    /// All compile servers that were asked have refused it.
    Nobody,
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Server(address) => address.fmt(f),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}
