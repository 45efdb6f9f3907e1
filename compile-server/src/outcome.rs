//! What came of an action on servers.

use std::time::SystemTime;

use crate::certificate::Certificate;
use crate::error::ServerError;
use crate::settings::Settings;
use crate::status_directory::Managed;

/// What came of starting one server.
#[derive(Debug)]
pub enum Started {
    /// It runs now.
    Now {
        server: Managed,
        certificate: Certificate,
        /// The certificate was made for this start: clients must trust it first.
        new_certificate: bool,
        /// Of the service's own new certificate: whether this machine's clients trust it by now.
        trust_here: Option<Result<(), ServerError>>,
    },
    /// One with these settings ran already.
    Already(Managed),
    /// It doesn't run.
    Failed(Settings, ServerError),
}

/// What came of stopping one server.
#[derive(Debug)]
pub enum Stopped {
    /// It ran, and is gone.
    Now(Managed),
    /// It had ended before.
    Already(Managed),
    /// It still runs.
    Failed(Managed, ServerError),
}

/// One server in `status`.
#[derive(Debug)]
pub struct StatusLine {
    pub server: Managed,
    /// Whether it runs.
    pub running: bool,
    /// The port on which it listens.
    pub port: Option<u16>,
    /// Its certificate, if we may read it.
    pub certificate: Option<Certificate>,
}

impl StatusLine {
    /// Whether its certificate is good for so many days more.
    #[must_use]
    pub fn certificate_lasts(&self, days: u64) -> bool {
        self.certificate.as_ref().is_none_or(|certificate| certificate.is_good(SystemTime::now(), days))
    }
}
