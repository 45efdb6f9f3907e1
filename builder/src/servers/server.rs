//! What a compile server says of itself when it is asked: for which kernels it compiles, with what, how many jobs at once.
//!
//! Systemtap's own protocol tells little: a certificate, and whether a kernel is served (by an answer, or none). Servers that
//! `stap-bundle server` started also state their threads and limits, to whoever asks (`ask`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bundle_format::{KernelRelease, ScriptName};
use serde::{Deserialize, Serialize};

use crate::job::{CompileJob, KeyParts, ServerAddress, ServerIdentity};

/// Options that a server's `stap` refuses behind `--client-options` (PROTO-04), as far as scripts may have them.
pub(crate) const UNSENDABLE: [&str; 3] = ["-B", "-i", "-q"];

/// How a server's statement begins; `NAME=NUMBER` words follow.
pub const STATEMENT: &str = "stap-bundle-server:";

/// Who doesn't take a connection within this time is not there.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What is remembered of a server that was asked (`known`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownServer {
    pub address: ServerAddress,
    socket: SocketAddr,
    pub trust: PathBuf,
    identity: ServerIdentity,
    threads: Option<usize>,
}

#[derive(Debug, Clone)]
pub struct CompileServer {
    pub(crate) address: ServerAddress,
    pub(crate) socket: SocketAddr,
    /// The database in which its certificate is trusted.
    pub(crate) trust: PathBuf,
    pub(crate) identity: ServerIdentity,
    pub(crate) stated: Stated,
    /// For each kernel of the plan why it doesn't compile for it, if it doesn't.
    pub(crate) kernels: BTreeMap<KernelRelease, Option<String>>,
    /// Scripts that it can't take, and why.
    pub(crate) too_large: BTreeMap<ScriptName, String>,
}

/// What a server states of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    pub threads: Option<usize>,
    pub unpacked: Option<u64>,
    pub packed: Option<u64>,
}

impl Stated {
    pub(crate) fn read(said: &str) -> Self {
        let mut stated = Self::default();
        let Some(line) = said.lines().find_map(|line| line.strip_prefix(STATEMENT)) else { return stated };
        for (name, value) in line.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            let number = value.parse().ok();
            match name {
                // 0 means one after another (SRVD-NET-02).
                "threads" => stated.threads = value.parse().ok().map(|threads: usize| threads.clamp(1, 1024)),
                "max-request-size" => stated.unpacked = number,
                "max-compressed-request" => stated.packed = number,
                _ => {}
            }
        }
        stated
    }
}

impl CompileServer {
    /// Where it is, as given.
    #[must_use]
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Jobs that it takes at once, if it states that.
    #[must_use]
    pub fn threads(&self) -> Option<usize> {
        self.stated.threads
    }

    /// What its `stap` says of its version.
    #[must_use]
    pub fn systemtap(&self) -> &str {
        &self.identity.systemtap
    }

    /// The kernels of the plan, each with the reason why it doesn't compile for it, if it doesn't.
    pub fn kernels(&self) -> impl Iterator<Item = (&KernelRelease, Option<&str>)> {
        self.kernels.iter().map(|(release, why_not)| (release, why_not.as_deref()))
    }

    /// Scripts that it can't take, and why.
    pub fn too_large(&self) -> impl Iterator<Item = (&ScriptName, &str)> {
        self.too_large.iter().map(|(script, why)| (script, why.as_str()))
    }

    /// Whether it compiles a job; the reason if it doesn't.
    pub(crate) fn takes(&self, job: &CompileJob) -> Result<(), String> {
        let release = &job.kernel.release;
        match self.kernels.get(release) {
            None => return Err(not_served(release)),
            Some(Some(why)) => return Err(why.clone()),
            Some(None) => {}
        }
        if let Some(why) = self.too_large.get(job.script.name()) {
            return Err(why.clone());
        }
        let options = &job.script.record().compile;
        match options.iter().find(|word| UNSENDABLE.iter().any(|option| word.starts_with(option))) {
            Some(word) => Err(format!("compile servers don't take the option {word}")),
            None => Ok(()),
        }
    }

    /// The parts of the key of what it makes of a job.
    pub(crate) fn parts(&self, job: &CompileJob) -> KeyParts {
        job.parts.clone().made_by(self.identity.clone())
    }

    /// A server that isn't asked, as if it served these kernels.
    pub(crate) fn known<'k>(known: KnownServer, kernels: impl Iterator<Item = &'k KernelRelease>) -> Self {
        let KnownServer { address, socket, trust, identity, threads } = known;
        Self {
            address,
            socket,
            trust,
            identity,
            stated: Stated { threads, ..Stated::default() },
            kernels: kernels.map(|release| (release.clone(), None)).collect(),
            too_large: BTreeMap::new(),
        }
    }

    /// What is remembered of it.
    pub(crate) fn to_know(&self) -> KnownServer {
        KnownServer {
            address: self.address.clone(),
            socket: self.socket,
            trust: self.trust.clone(),
            identity: self.identity.clone(),
            threads: self.threads(),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_test(address: &str, threads: usize, releases: &[&str]) -> Self {
        let address: ServerAddress = address.parse().unwrap();
        let identity = ServerIdentity { certificate: address.to_string(), systemtap: "5.6".to_owned() };
        Self {
            socket: "127.0.0.1:1".parse().unwrap(),
            trust: PathBuf::from("/none"),
            identity,
            stated: Stated { threads: Some(threads), ..Stated::default() },
            kernels: releases.iter().map(|release| (release.parse().unwrap(), None)).collect(),
            too_large: BTreeMap::new(),
            address,
        }
    }
}

pub(crate) fn not_served(release: &KernelRelease) -> String {
    format!("it doesn't serve {release}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::fake_job;

    #[test]
    fn a_statement_is_one_line_of_numbers() {
        let said =
            "x\nstap-bundle-server: threads=0 max-request-size=7 new=word max-compressed-request=five\n";
        assert_eq!(Stated::read(said), Stated { threads: Some(1), unpacked: Some(7), packed: None });
        assert_eq!(Stated::read("threads=3"), Stated::default());
    }

    #[test]
    fn each_server_has_keys_of_its_own() {
        let job = fake_job("a", "1.0");
        let one = CompileServer::of_test("a:1", 1, &["1.0"]);
        let other = CompileServer::of_test("b:1", 1, &["1.0"]);
        let upgraded = CompileServer {
            identity: ServerIdentity { systemtap: "5.7".to_owned(), ..one.identity.clone() },
            ..one.clone()
        };
        let keys = [one.parts(&job).key(), other.parts(&job).key(), upgraded.parts(&job).key(), job.key];
        let different: BTreeSet<_> = keys.into_iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn a_server_takes_what_it_serves_and_what_can_be_sent() {
        let server = CompileServer::of_test("a:1", 1, &["1.0"]);
        server.takes(&fake_job("a", "1.0")).unwrap();
        assert_eq!(server.takes(&fake_job("a", "2.0")).unwrap_err(), "it doesn't serve 2.0");
    }
}
