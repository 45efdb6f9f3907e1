//! Where a compile server listens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a compile server listens, as given: `HOST:PORT`, or `[ADDRESS]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The text isn't `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not HOST:PORT, such as builder.example:5001 or [::1]:5001")]
pub struct ServerAddressError;

impl FromStr for ServerAddress {
    type Err = ServerAddressError;

    fn from_str(text: &str) -> Result<Self, ServerAddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(ServerAddressError)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let known =
            |c: char| c.is_ascii_alphanumeric() || ".-_%".contains(c) || (bracketed.is_some() && c == ':');
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port != 0 && digits).ok_or(ServerAddressError)?;
        if host.is_empty() || host.starts_with('-') || !host.chars().all(known) {
            return Err(ServerAddressError);
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl TryFrom<String> for ServerAddress {
    type Error = ServerAddressError;

    fn try_from(text: String) -> Result<Self, ServerAddressError> {
        text.parse()
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for text in ["builder.example:5001", "127.0.0.1:1", "[::1]:65535", "[fe80::1%eth0]:5001"] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "host",
            "host:",
            ":5001",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:5001",
            "-x:1",
            "a b:1",
            "a/b:1",
        ] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
