//! What compile servers said of themselves when they were asked last.
//!
//! What a server made is in the cache under a key that has the server in it, so a build must know who the server is before it can
//! look. From here it does without asking: a build that lacks nothing needs no server, not even one that runs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::server::{CompileServer, KnownServer};
use crate::job::ServerAddress;
use crate::plan::Plan;
use crate::state::{BuildDirectories, FileStamp, Notes};

/// A server, and the database that trusted it as it was then.
#[derive(Debug, Serialize, Deserialize)]
struct TrustedServer {
    server: KnownServer,
    trusted_by: FileStamp,
}

/// The file by which a database of certificates changes.
fn stamp(trust: &Path) -> Option<FileStamp> {
    FileStamp::of(&trust.join("cert9.db"))
}

fn read(directories: &BuildDirectories) -> Vec<TrustedServer> {
    Notes::read(&directories.known_servers()).unwrap_or_default()
}

/// Remembers servers that have answered. Where that fails, the next build asks again.
pub(crate) fn remember(directories: &BuildDirectories, servers: &[CompileServer]) {
    let mut known = read(directories);
    known.retain(|of| !servers.iter().any(|server| *server.address() == of.server.address));
    known.extend(servers.iter().filter_map(|server| {
        let server = server.to_know();
        Some(TrustedServer { trusted_by: stamp(&server.trust)?, server })
    }));
    directories.notes().write(&directories.known_servers(), &known);
}

/// The servers at these addresses as they answered last; `None` if one of them isn't known, or the database of
/// certificates that trusted it has changed since. Nobody has asked whether they still serve: this is for a build that
/// compiles nothing ([`crate::OpenCells::Refuse`]).
#[must_use]
pub fn known_servers(plan: &Plan, addresses: &[ServerAddress]) -> Option<Vec<CompileServer>> {
    let known = read(&plan.directories);
    let of = |address: &ServerAddress| {
        let found = known.iter().find(|of| of.server.address == *address)?;
        let unchanged = stamp(&found.server.trust) == Some(found.trusted_by);
        let kernels = plan.kernels().map(|kernel| &kernel.release);
        unchanged.then(|| CompileServer::known(found.server.clone(), kernels))
    };
    addresses.iter().map(of).collect()
}
