//! The compile servers of a build.

use super::server::CompileServer;
use crate::job::{CompileJob, KeyParts, Maker};

/// The compile servers of a build. Without any, this machine compiles.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    /// The servers, as they were asked.
    pub servers: Vec<CompileServer>,
    /// This machine compiles what no server takes, or is left for.
    pub or_here: bool,
}

impl Servers {
    /// Who may compile a job, best first; where nobody does, why each server doesn't.
    pub(crate) fn makers(&self, job: &CompileJob) -> Result<Vec<Maker>, String> {
        let taking = self.servers.iter().filter(|server| server.takes(job).is_ok());
        let mut makers: Vec<Maker> = taking.map(|server| Maker::Server(server.address().clone())).collect();
        if self.servers.is_empty() || (makers.is_empty() && self.or_here) {
            makers.push(Maker::Here);
        }
        if makers.is_empty() { Err(self.why_nobody(job)) } else { Ok(makers) }
    }

    fn why_nobody(&self, job: &CompileJob) -> String {
        let why = |server: &CompileServer| {
            server.takes(job).err().map(|why| format!("{}: {why}", server.address()))
        };
        let all: Vec<String> = self.servers.iter().filter_map(why).collect();
        all.join("; ")
    }

    /// Who may have made a result that is in the cache, with the parts of its key: this machine first, whose toolchain is known.
    pub(crate) fn keys(&self, job: &CompileJob) -> Vec<(Maker, KeyParts)> {
        let of_server = |server: &CompileServer| (Maker::Server(server.address().clone()), server.parts(job));
        let servers = self.servers.iter().map(of_server);
        std::iter::once((Maker::Here, job.parts.clone())).chain(servers).collect()
    }
}
