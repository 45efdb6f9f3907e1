//! Asking compile servers, all at once, for which kernels of a plan they compile, and which scripts they can take.

use std::path::{Path, PathBuf};

use child::Cancel;

use super::error::AskError;
use super::known::remember;
use super::question::Question;
use super::server::CompileServer;
use crate::job::ServerAddress;
use crate::plan::Plan;

/// Asks compile servers about the kernels and scripts of a plan, side by side. `databases` are looked through for their
/// certificates, in this order. The second list is what the user should know.
pub fn ask_servers(
    plan: &Plan,
    addresses: &[ServerAddress],
    databases: &[PathBuf],
    cancel: &Cancel,
) -> Result<(Vec<CompileServer>, Vec<String>), AskError> {
    for (at, address) in addresses.iter().enumerate() {
        if addresses.iter().take(at).any(|before| before == address) {
            return Err(AskError::Twice { server: address.clone() });
        }
    }
    check_client(plan)?;
    let asked: Vec<_> = std::thread::scope(|scope| {
        let ask = |address| move || Question { plan, address, cancel }.ask(databases);
        let asking: Vec<_> = addresses.iter().map(|address| scope.spawn(ask(address))).collect();
        asking.into_iter().map(|thread| thread.join().unwrap_or(Err(AskError::Cancelled))).collect()
    });
    let (servers, warnings) = those_that_answer(asked)?;
    remember(&plan.directories, &servers);
    Ok((servers, warnings))
}

/// The client packs and unpacks by programs of their own, and says nothing useful without them.
fn check_client(plan: &Plan) -> Result<(), AskError> {
    for kernel in plan.kernels() {
        let sysroot = plan.sysroot_of(kernel);
        for (program, package) in [("zip", "zip"), ("unzip", "unzip")] {
            if sysroot.host_path(&Path::new("usr/bin").join(program)).is_err() {
                let sysroot = sysroot.path().to_owned();
                return Err(AskError::NoClient { sysroot, program, package });
            }
        }
    }
    Ok(())
}

/// The servers that have answered, and what the user should know; an error if none has, or if one must not be passed over.
fn those_that_answer(
    asked: Vec<Result<(CompileServer, Vec<String>), AskError>>,
) -> Result<(Vec<CompileServer>, Vec<String>), AskError> {
    let mut servers = Vec::new();
    let mut warnings = Vec::new();
    let mut silent = None;
    for answer in asked {
        match answer {
            Ok((server, said)) => {
                servers.push(server);
                warnings.extend(said);
            }
            // As one that is lost later: the others take its jobs.
            Err(error @ (AskError::Unreachable { .. } | AskError::NoAnswer { .. })) => {
                warnings.push(format!("{error}; the other servers take its jobs"));
                silent.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = silent.filter(|_| servers.is_empty()) {
        return Err(error);
    }
    warnings.sort();
    warnings.dedup();
    Ok((servers, warnings))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use child::Ended;

    use super::*;
    use crate::servers::question::in_time;

    /// It was taken for one that isn't trusted, or doesn't serve the kernel.
    #[test]
    fn a_question_that_timed_out_was_taken_for_an_answer() {
        let address: ServerAddress = "a:1".parse().unwrap();
        let limit = Duration::from_secs(120);
        let silent = || Err(in_time(&address, Ended::TimedOut(limit)).unwrap_err());
        let error = those_that_answer(vec![silent()]).unwrap_err();
        assert_eq!(error.to_string(), "compile server a:1 didn't answer within 120 s");
        let other = CompileServer::of_test("b:1", 1, &["1.0"]);
        let (servers, warnings) = those_that_answer(vec![silent(), Ok((other, Vec::new()))]).unwrap();
        assert_eq!(servers.len(), 1);
        assert_eq!(
            warnings,
            ["compile server a:1 didn't answer within 120 s; the other servers take its jobs"]
        );
        in_time(&address, Ended::Code(1)).unwrap();
        assert!(matches!(in_time(&address, Ended::Cancelled), Err(AskError::Cancelled)));
    }
}
