//! Where jobs are compiled: on this machine, or by compile servers.

use crate::compile::Executor;
use crate::job::{CompileJob, KeyParts, Maker};
use crate::servers::CompileServer;

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
