//! What a host says of itself in one line (`stap-bundle status --report`): short enough for a serial console or a QR code.

use std::collections::BTreeMap;

use bundle_format::{BundleName, BundleVersion, KernelRelease, Machine, ScriptName};
use serde::{Deserialize, Serialize};

/// Name and version of the document. A member that is added doesn't change it.
const SCHEMA: &str = "host-report/1";

/// Most bytes of a line: a thousand scripts, none of which runs.
pub(crate) const MAX_REPORT: usize = 256 << 10;

/// One host at one moment. What is empty isn't written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    pub schema: String,
    /// Seconds since 1970, by the host's clock.
    pub time: u64,
    pub host: String,
    /// What `uname -r` prints; absent where no kernel runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelRelease>,
    /// What `uname -v` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    pub machine: Machine,
    /// The number of the current generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<ReportedBundle>,
    /// Names of installed bundles that aren't believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_bundles: Vec<String>,
    /// Scripts that run, or have done their work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<ScriptName>,
    /// Scripts that don't, by the identifiers of docs/status-reasons.md.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, Vec<ScriptName>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<ScriptName>,
    /// Programs that aren't those for which a module was made: path and build id; an empty id is no program, or one without an id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<String, String>,
    /// What `doctor` calls a warning or a problem, by its identifiers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
}

/// An installed bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedBundle {
    pub name: BundleName,
    pub version: BundleVersion,
    pub serial: u64,
    /// Absent for `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_before: Option<u64>,
}

/// Why a line is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("it has more than {MAX_REPORT} bytes")]
    TooLong,
    #[error("it is no report of a host")]
    NoReport,
    #[error("it is damaged: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("its schema is `{found}`, this stap-bundle reads {SCHEMA}")]
    Schema { found: String },
}

impl HostReport {
    /// A report of this host with nothing in it.
    #[must_use]
    pub fn new(time: u64, host: String, machine: Machine) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            time,
            host,
            kernel: None,
            build: None,
            machine,
            generation: None,
            bundles: Vec::new(),
            refused_bundles: Vec::new(),
            running: Vec::new(),
            refused: BTreeMap::new(),
            masked: Vec::new(),
            programs: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Said {
            schema: String,
        }
        if line.len() > MAX_REPORT {
            return Err(ReportError::TooLong);
        }
        // Before members of a later version are called mistakes.
        let Ok(Said { schema }) = serde_json::from_str(line) else { return Err(ReportError::NoReport) };
        if schema != SCHEMA {
            return Err(ReportError::Schema { found: schema });
        }
        Ok(serde_json::from_str(line)?)
    }

    /// The line, without its end.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Whether a text is of reports and not a list: its first line with anything on it is a document.
    #[must_use]
    pub fn is_in(text: &str) -> bool {
        text.lines().map(str::trim).find(|line| !line.is_empty()).is_some_and(|line| line.starts_with('{'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> HostReport {
        HostReport::new(1_767_225_600, "web7.example.net".to_owned(), "x86_64".parse().unwrap())
    }

    #[test]
    fn a_report_of_twenty_scripts_has_less_than_1024_bytes() {
        let names = |from: usize, to: usize| {
            (from..to).map(|number| format!("script_name_{number}").parse().unwrap()).collect::<Vec<_>>()
        };
        let bundle = |name: &str| ReportedBundle {
            name: name.parse().unwrap(),
            version: "2026.12.1".parse().unwrap(),
            serial: 1_767_225_600,
            domain: Some("observability".to_owned()),
            best_before: Some(1_798_761_600),
        };
        let report = HostReport {
            kernel: Some("6.12.107+deb13-cloud-amd64".parse().unwrap()),
            build: Some("#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-11-02)".to_owned()),
            generation: Some(1234),
            bundles: vec![bundle("network-scripts"), bundle("storage-scripts")],
            running: names(0, 17),
            refused: [("another-program".to_owned(), names(17, 19)), ("tampered".to_owned(), names(19, 20))]
                .into(),
            masked: names(19, 20),
            programs: [("/usr/lib/postgresql/17/bin/postgres".to_owned(), "ab".repeat(20))].into(),
            findings: vec!["best-before".to_owned()],
            ..report()
        };
        let line = report.to_line().unwrap();
        assert!(line.len() < 1024, "{}: {line}", line.len());
        assert_eq!(HostReport::parse(&line).unwrap(), report);
    }

    #[test]
    fn what_is_no_report_says_why() {
        let said = |line: &str| HostReport::parse(line).unwrap_err().to_string();
        assert_eq!(said("6.12.1"), "it is no report of a host");
        assert_eq!(said("{}"), "it is no report of a host");
        assert!(said(r#"{"schema":"host-report/1"}"#).starts_with("it is damaged: missing field `time`"));
        assert_eq!(
            said(r#"{"schema":"host-report/2","new":1}"#),
            "its schema is `host-report/2`, this stap-bundle reads host-report/1"
        );
        assert_eq!(said(&"x".repeat(MAX_REPORT + 1)), "it has more than 262144 bytes");
        // What a later version adds is passed over.
        let mut later: serde_json::Value = serde_json::from_str(&report().to_line().unwrap()).unwrap();
        later["later"] = 1.into();
        assert_eq!(HostReport::parse(&later.to_string()).unwrap(), report());
    }
}
