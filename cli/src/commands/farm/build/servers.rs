//! The compile servers of a build: which, what they say of themselves, and what to do where they don't help.

use std::path::PathBuf;

use builder::{AskError, BuildError, CompileServer, Plan, ServerAddress, Servers};
use child::Cancel;
use compile_server::client_databases;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;

/// Which compile servers take the jobs.
#[derive(Debug, clap::Args)]
pub(super) struct ServerOptions {
    /// Have this compile server (stap-server) compile; repeatable
    ///
    /// Each server is asked for which of the kernels it compiles, and with what; jobs go where their kernel is served, one at
    /// a time to each server: start several servers on a machine with many cores. What a server was at that is lost goes to another
    /// one. Its certificate must be trusted: `stap-bundle server trust HOST:PORT`. The sysroot needs `stap`, `zip` and `unzip`,
    /// and the build trees, which say what the kernels are.
    #[arg(long, value_name = "HOST:PORT")]
    server: Vec<ServerAddress>,
    /// Compile on this machine what no server takes, or is left for; without it, such a build ends with what is missing.
    #[arg(hide_short_help = true, long, requires = "server")]
    or_here: bool,
}

impl ServerOptions {
    /// The servers as they answered last, without asking them; `None` without servers, or where one must be asked.
    pub(super) fn known(&self, plan: &Plan) -> Option<Servers> {
        let asked = (!self.server.is_empty()).then_some(&self.server)?;
        Some(Servers { servers: builder::known_servers(plan, asked)?, or_here: self.or_here })
    }

    /// Asks the servers; tells what they say.
    pub(super) fn ask(&self, plan: &Plan, cancel: &Cancel, ui: &mut Ui) -> Result<Servers, Failure> {
        if self.server.is_empty() {
            return Ok(Servers::default());
        }
        let databases = client_databases().map_err(|error| crate::commands::farm::server::failure(&error))?;
        let asked = builder::ask_servers(plan, &self.server, &databases, cancel);
        let (servers, warnings) = asked.map_err(|error| not_asked(&error, &databases))?;
        for server in &servers {
            ui.progress(told(server));
        }
        for warning in warnings {
            ui.warning(warning);
        }
        for server in &servers {
            let refused = server.kernels().filter_map(|(release, why)| Some((release, why?)));
            let own = refused.map(|(release, why)| format!("{}, {release}: {why}", server.address()));
            let large = server.too_large().map(|(_, why)| why.to_owned());
            for warning in own.chain(large) {
                ui.warning(warning);
            }
        }
        Ok(Servers { servers, or_here: self.or_here })
    }
}

/// `127.0.0.1:5001: systemtap 5.6, 2 threads, 3 of 4 kernels`.
fn told(server: &CompileServer) -> String {
    let all = server.kernels().count();
    let taken = server.kernels().filter(|(_, why_not)| why_not.is_none()).count();
    let threads =
        server.threads().map_or_else(String::new, |threads| format!("{}, ", count(threads, "thread")));
    format!(
        "compile server {}: systemtap {}, {threads}{taken} of {}",
        server.address(),
        server.systemtap(),
        count(all, "kernel")
    )
}

fn not_asked(error: &AskError, databases: &[PathBuf]) -> Failure {
    let failure = Failure::of(Exit::NoBundle, error);
    match error {
        AskError::Unreachable { .. } => failure
            .hint("start it over there: stap-bundle server start -r REL --port PORT; `stap-bundle server status` shows the port"),
        AskError::NoAnswer { .. } => failure.hint(
            "it may be overloaded, or stuck: look at its log over there (`stap-bundle server status` names it), then run the same command again",
        ),
        AskError::Untrusted { server, .. } => {
            let looked: Vec<String> = databases.iter().map(|path| path.display().to_string()).collect();
            failure
                .hint(format!("compare its fingerprint and trust it: stap-bundle server trust {server}"))
                .hint(format!("trusted certificates are in {}", looked.join(" and ")))
        }
        _ => failure,
    }
}

/// What to do about a build that the servers didn't finish; `None` if something else was wrong.
pub(super) fn failure(error: &BuildError) -> Option<Failure> {
    const SHOWN: usize = 5;
    let mut failure = Failure::of(Exit::NoBundle, error);
    match error {
        BuildError::Unserved { cells } => {
            failure.because = cells.iter().take(SHOWN).map(|(cell, why)| format!("{cell}: {why}")).collect();
            let more = cells.len().saturating_sub(SHOWN);
            if more > 0 {
                failure.because.push(format!("and {more} more"));
            }
            Some(failure.hint("start a server for them (stap-bundle server start -r REL), or compile them on this machine: --or-here"))
        }
        BuildError::ServersLost { lost, .. } => {
            failure.because = lost.iter().map(|(server, said)| format!("{server}: {said}")).collect();
            Some(
                failure.hint(
                    "run the same command again once a server serves; or go on on this machine: --or-here",
                ),
            )
        }
        _ => None,
    }
}

/// The servers of a plan that is only shown.
pub(super) fn as_json(servers: &Servers) -> Vec<Value> {
    let of_server = |server: &CompileServer| {
        let kernels: Vec<Value> = server
            .kernels()
            .map(|(release, why)| json!({ "kernel": release, "served": why.is_none(), "why_not": why }))
            .collect();
        json!({
            "server": server.address().to_string(), "systemtap": server.systemtap(),
            "threads": server.threads(), "kernels": kernels,
        })
    };
    servers.servers.iter().map(of_server).collect()
}

#[cfg(test)]
mod tests {
    /// Two crates that don't know each other must mean the same words.
    #[test]
    fn servers_answer_the_question_that_builds_ask() {
        assert_eq!(builder::QUESTION, compile_server::QUESTION);
        assert_eq!(builder::STATEMENT, compile_server::STATEMENT);
    }
}
