//! Why a script that was to be loaded doesn't run: a closed list, each entry with an id that stays and with what to do.

use crate::host::ServiceError;
use crate::reasons::reason::Reason;
use crate::reasons::start_refusal::StartRefusal;
use crate::staprun::StaprunRefusal;
use files::with_causes;

/// Why a script that was to be loaded doesn't run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartFailure {
    /// `staprun` failed, and nothing is loaded.
    #[error("staprun failed: {0}")]
    Staprun(StaprunRefusal),
    /// `staprun` failed, but had loaded the module already.
    #[error("staprun failed after it had loaded the module: {0}")]
    NotStarted(StaprunRefusal),
    /// `staprun` didn't end.
    #[error("staprun didn't end within {seconds} s")]
    TimedOut {
        /// The limit in seconds.
        seconds: u64,
    },
    /// The start was interrupted.
    #[error("the start was interrupted")]
    Interrupted,
    /// The time that the whole start may take is over.
    #[error("the whole start was to end within {seconds} s")]
    OutOfTime {
        /// The budget in seconds.
        seconds: u64,
    },
    /// `staprun` ended well, but the script never said that it runs (RUN-06).
    #[error("{}", init_failed(*.seconds, .said.as_deref()))]
    InitFailed {
        /// How long the service looked, in seconds.
        seconds: u64,
        /// The module's first error.
        said: Option<String>,
    },
    /// The script has ended with an error, in a begin probe for instance.
    #[error("it reported an error: {0}")]
    ScriptError(String),
    /// The script has ended itself, or reported an error, right after its start (INIT-START-19).
    #[error("it ended right after its start")]
    EndedAtOnce,
    /// The process that was to write the output isn't there.
    #[error("the process that writes its output ended at once{}", .said.as_ref().map(|said| format!(": {said}")).unwrap_or_default())]
    RecorderDied {
        /// What it said last, to the system's log.
        said: Option<String>,
    },
    /// Something on the host failed before or after the load.
    #[error("{0}")]
    Host(String),
    /// The module was changed or removed on the disk after it had been verified.
    #[error("{0}")]
    Refused(StartRefusal),
}

impl StartFailure {
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Staprun(refusal) | Self::NotStarted(refusal) => match refusal {
                StaprunRefusal::Lockdown => "lockdown",
                StaprunRefusal::SecureBoot => "secure-boot",
                StaprunRefusal::SignatureEnforced => "signature-enforced",
                StaprunRefusal::ModulesDisabled => "modules-disabled",
                StaprunRefusal::NotPermitted => "not-permitted",
                StaprunRefusal::UnknownSymbol => "unknown-symbol",
                StaprunRefusal::InvalidFormat => "invalid-format",
                StaprunRefusal::NameTaken => "name-taken",
                StaprunRefusal::Other(_) => "staprun-failed",
            },
            Self::TimedOut { .. } => "timed-out",
            Self::Interrupted => "interrupted",
            Self::OutOfTime { .. } => "out-of-time",
            Self::InitFailed { .. } => "init-failed",
            Self::ScriptError(_) => "script-error",
            Self::EndedAtOnce => "ended-at-once",
            Self::RecorderDied { .. } => "recorder-died",
            Self::Host(_) => "host",
            Self::Refused(refusal) => refusal.id(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Staprun(refusal) | Self::NotStarted(refusal) => refusal.advice(),
            Self::TimedOut { .. } => {
                "see dmesg; the machine may be overloaded, or the script's begin probe too slow"
            }
            Self::Interrupted => "start it again",
            Self::OutOfTime { .. } => "start it again, with a longer --timeout",
            Self::InitFailed { said: None, .. } | Self::EndedAtOnce => {
                "see dmesg, and try the script by hand with staprun"
            }
            Self::InitFailed { .. } | Self::ScriptError(_) => {
                "mend the script, or what it needs of this host; the log file has all that it said"
            }
            Self::RecorderDied { said: None } => "see the system log: the output may not be writable",
            Self::RecorderDied { .. } => "mend that, and start it again",
            Self::Host(_) => "see the log file",
            Self::Refused(refusal) => refusal.advice(),
        }
    }
}

fn init_failed(seconds: u64, said: Option<&str>) -> String {
    match said {
        Some(said) => format!("its module was loaded, but its probes weren't registered: {said}"),
        None => format!("its module was loaded, but its probes weren't registered within {seconds} s"),
    }
}

impl From<&StartFailure> for Reason {
    fn from(failure: &StartFailure) -> Self {
        Self { id: failure.id().into(), text: failure.to_string(), advice: failure.advice().into() }
    }
}

impl From<ServiceError> for StartFailure {
    fn from(error: ServiceError) -> Self {
        Self::Host(with_causes(&error))
    }
}
