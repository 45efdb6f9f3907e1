//! Where jobs are compiled: on this machine, or by compile servers.

use std::fmt;

use crate::compile_server::{CompileServer, ServerAddress};
use crate::executor::Executor;
use crate::job::{CompileJob, KeyParts};

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

/// A place where jobs are compiled, with its workers.
pub(crate) struct Site<'a> {
    pub executor: &'a dyn Executor,
    /// Jobs that run there at once.
    pub workers: usize,
    /// `None`: this machine.
    pub server: Option<&'a CompileServer>,
    /// It takes only what no other one takes any more.
    pub last_resort: bool,
}

impl<'a> Site<'a> {
    /// This machine.
    pub(crate) fn here(executor: &'a dyn Executor, workers: usize) -> Self {
        Self { executor, workers, server: None, last_resort: false }
    }

    pub(crate) fn maker(&self) -> Maker {
        self.server.map_or(Maker::Here, |server| Maker::Server(server.address().clone()))
    }

    pub(crate) fn takes(&self, job: &CompileJob) -> bool {
        self.server.is_none_or(|server| server.takes(job).is_ok())
    }

    /// The parts of the key of what it makes of a job.
    pub(crate) fn parts(&self, job: &CompileJob) -> KeyParts {
        self.server.map_or_else(|| job.parts.clone(), |server| server.parts(job))
    }
}
