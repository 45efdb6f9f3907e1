//! Asking one compile server.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::ScriptName;
use child::{Cancel, Ended};

use super::client::{
    Answer, Client, Exchange, LayOut, RequestSize, sent_by, unpacked_size, without_server_paths,
};
use super::error::AskError;
use super::server::{CONNECT_LIMIT, CompileServer, Stated, not_served};
use crate::inputs::stap_version;
use crate::job::{CompileJob, ServerAddress, ServerIdentity, client_command};
use crate::plan::Plan;
use crate::sandbox::{JobLimits, Sysroot};
use crate::words::{Circumstances, quoted, red_reason};

/// The macro by which a server is asked to state what it is; to a script it means nothing.
pub const QUESTION: &str = "STAP_BUNDLE_ASKS";

/// Limits of a server that were not set, in bytes: of the packed request, and of its files (PROTO-02).
const USUAL_LIMITS: RequestSize = RequestSize { unpacked: 50_000, packed: 5_000 };

/// What the files of a request have besides the script, its tapsets and arguments, and what packing adds: not more than this
/// (measured: 2 KB). A request that is smaller by so much than the limits need not be measured.
const OVERHEAD: u64 = 3_000;

/// Time limit of a question. The answer takes a second; on a loaded server, some.
const ASK_LIMIT: Duration = Duration::from_secs(120);

/// The script of a question: the least that passes 2 take.
const ASKED_SCRIPT: &str = "probe begin { exit() }";

/// Asking one server.
pub(crate) struct Question<'a> {
    pub plan: &'a Plan,
    pub address: &'a ServerAddress,
    pub cancel: &'a Cancel,
}

impl Question<'_> {
    pub(crate) fn ask(&self, databases: &[PathBuf]) -> Result<(CompileServer, Vec<String>), AskError> {
        let socket = self.connect()?;
        let (trust, certificate) = self.certificate(socket, databases)?;
        let mut kernels = BTreeMap::new();
        // What it first says of itself: its name in keys must not follow the order of the kernels.
        let mut systemtap = String::new();
        let mut stated = None;
        for kernel in self.plan.kernels() {
            let release = &kernel.release;
            if kernel.by_path {
                let why = "a build tree given by its path isn't known to a compile server";
                kernels.insert(release.clone(), Some(why.to_owned()));
                continue;
            }
            if let Some(flag) = kernel.make.first() {
                let why = format!(
                    "make is given {flag} for this kernel, and a compile server takes nothing for make (-B)"
                );
                kernels.insert(release.clone(), Some(why));
                continue;
            }
            let macro_ = format!("{QUESTION}=1");
            let mut options = vec!["-vv", "-p2", "-r", release.as_str()];
            let of_kernel = kernel.stap_options();
            options.extend(of_kernel.iter().map(String::as_str));
            options.extend(["-D", &macro_, "-e", ASKED_SCRIPT]);
            let exchange = self.run(socket, &trust, self.plan.sysroot_of(kernel), &options)?;
            let Some(answer) = &exchange.answer else {
                kernels.insert(release.clone(), Some(not_served(release)));
                continue;
            };
            let said = format!("{}\n{}", answer.stdout, answer.stderr);
            stated.get_or_insert_with(|| Stated::read(&said));
            let version = version_in(&said).unwrap_or_default();
            let own = self.plan.toolchain_of(kernel).map(|toolchain| toolchain.stap.as_str());
            kernels.insert(release.clone(), why_not(&exchange, answer, &version, own.unwrap_or_default()));
            if systemtap.is_empty() {
                systemtap = version;
            }
        }
        let mut server = CompileServer {
            address: self.address.clone(),
            socket,
            trust,
            identity: ServerIdentity { certificate, systemtap },
            stated: stated.unwrap_or_default(),
            kernels,
            too_large: BTreeMap::new(),
        };
        let warnings = self.measure(&mut server)?;
        Ok((server, warnings))
    }

    /// The first of the host's addresses at which somebody listens. The client is given that: it looks up no names.
    fn connect(&self) -> Result<SocketAddr, AskError> {
        let unreachable = |source| AskError::Unreachable { server: self.address.clone(), source };
        let found = (self.address.host.as_str(), self.address.port).to_socket_addrs().map_err(unreachable)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for socket in found {
            match TcpStream::connect_timeout(&socket, CONNECT_LIMIT) {
                Ok(_) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    /// The database that trusts the server, and its certificate's serial number (TRUST-01).
    fn certificate(&self, socket: SocketAddr, databases: &[PathBuf]) -> Result<(PathBuf, String), AskError> {
        let mut said = "no certificate of a server is trusted".to_owned();
        let Some(kernel) = self.plan.kernels().next() else {
            return Err(AskError::Untrusted { server: self.address.clone(), said });
        };
        for database in databases.iter().filter(|database| database.join("cert9.db").exists()) {
            let options = ["--list-servers=specified,trusted"];
            let exchange = self.run(socket, database, self.plan.sysroot_of(kernel), &options)?;
            let output = exchange.finished.stdout.text();
            if let Some(serial) = field(&output, "certinfo=\"").filter(|serial| *serial != "unknown") {
                return Ok((database.clone(), serial.to_owned()));
            }
            let line = output.lines().find(|line| line.contains("SEC_ERROR") || line.contains("SSL"));
            let line = line.unwrap_or("its certificate is not among the trusted ones");
            line.trim().clone_into(&mut said);
        }
        Err(AskError::Untrusted { server: self.address.clone(), said })
    }

    fn run(
        &self,
        socket: SocketAddr,
        trust: &Path,
        sysroot: &Sysroot,
        options: &[&str],
    ) -> Result<Exchange, AskError> {
        let fixed = ["stap".to_owned(), format!("--use-server={socket}"), "-k".to_owned()];
        let argv: Vec<String> =
            fixed.into_iter().chain(options.iter().map(|word| (*word).to_owned())).collect();
        let exchange = self.exchange(trust, sysroot, &argv, &|_| Ok(Vec::new()))?;
        in_time(self.address, exchange.finished.status)?;
        Ok(exchange)
    }

    fn exchange(
        &self,
        trust: &Path,
        sysroot: &Sysroot,
        argv: &[String],
        lay_out: &LayOut<'_>,
    ) -> Result<Exchange, AskError> {
        let client = Client { sandbox: &self.plan.sandbox, directories: &self.plan.directories, trust };
        let limits = JobLimits { time: ASK_LIMIT, ..JobLimits::default() };
        let exchange = client.run(sysroot, argv, lay_out, &limits, self.cancel);
        exchange.map_err(|source| AskError::Client { server: self.address.clone(), source: Box::new(source) })
    }

    /// Finds out which scripts are too large for the server's limits, before anything is sent: the client makes the request, but
    /// for an address where nobody is. Limits that the server doesn't state may be other than the usual ones: that is a warning.
    fn measure(&self, server: &mut CompileServer) -> Result<Vec<String>, AskError> {
        let limits = RequestSize {
            unpacked: server.stated.unpacked.unwrap_or(USUAL_LIMITS.unpacked),
            packed: server.stated.packed.unwrap_or(USUAL_LIMITS.packed),
        };
        let mut warnings = Vec::new();
        let mut measured: BTreeSet<&ScriptName> = BTreeSet::new();
        for job in self.plan.jobs() {
            let script = &job.script;
            if script.most_sent() + OVERHEAD <= limits.packed.min(limits.unpacked)
                || !measured.insert(script.name())
            {
                continue;
            }
            let Some(size) = self.request_size(job, server)? else { continue };
            if size.unpacked <= limits.unpacked && size.packed <= limits.packed {
                continue;
            }
            let why = format!(
                "the request for {} has {} bytes, {} packed, and {} takes {} and {}",
                script.name(),
                size.unpacked,
                size.packed,
                self.address,
                limits.unpacked,
                limits.packed
            );
            if server.stated.packed.is_some() {
                server.too_large.insert(script.name().clone(), why);
            } else {
                warnings.push(format!(
                    "{why} unless it was started with higher limits (--max-request-size, --max-compressed-request)"
                ));
            }
        }
        Ok(warnings)
    }

    fn request_size(
        &self,
        job: &CompileJob,
        server: &CompileServer,
    ) -> Result<Option<RequestSize>, AskError> {
        // Nobody listens on port 1 of the client's own machine, and the request is made before that shows.
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let argv = client_command(
            nobody,
            job.script.name(),
            &job.kernel.named_for_stap(),
            &[job.kernel.stap_options(), job.script.sent_options()].concat(),
            &job.script.record().arguments,
        );
        let sysroot = self.plan.sysroot_of(&job.kernel);
        let exchange = self.exchange(&server.trust, sysroot, &argv, &|work| sent_by(work, job))?;
        Ok(exchange.request)
    }
}

/// A question that was stopped has no answer: it says nothing of trust, or of kernels.
pub(crate) fn in_time(server: &ServerAddress, ended: Ended) -> Result<(), AskError> {
    match ended {
        Ended::Cancelled => Err(AskError::Cancelled),
        Ended::TimedOut(limit) => Err(AskError::NoAnswer { server: server.clone(), limit }),
        _ => Ok(()),
    }
}

/// Why a server that has answered doesn't compile for a kernel, if it doesn't.
fn why_not(exchange: &Exchange, answer: &Answer, version: &str, own: &str) -> Option<String> {
    if !exchange.finished.status.success() {
        return Some(format!(
            "it can't compile: {}",
            red_reason(&answer.stderr, &Circumstances::default()).text
        ));
    }
    // A bundle names one toolchain for each kernel.
    (version != own).then(|| format!("its systemtap is {version}, and that of the sysroot {own}"))
}

/// What follows `version` in the line with which `stap -vv` begins.
fn version_in(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.starts_with("Systemtap translator/driver (version "))?;
    Some(quoted(&stap_version(line)))
}

/// The texts that a build shows or signs of a server's answer with these bytes: for the fuzz target of that name, which has no
/// server.
#[doc(hidden)]
#[must_use]
pub fn words_of_answer(bytes: &[u8]) -> Vec<String> {
    let said = without_server_paths(&String::from_utf8_lossy(bytes));
    let Stated { threads, unpacked, packed } = Stated::read(&said);
    let numbers = [threads.map(|threads| threads as u64), unpacked, packed, unpacked_size(bytes)];
    let numbers = numbers.into_iter().flatten().map(|number| number.to_string());
    numbers.chain([red_reason(&said, &Circumstances::default()).text]).chain(version_in(&said)).collect()
}

/// The text between `name` and the next quotation mark.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.split_once(name)?.1.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_01_the_serial_is_read_from_the_list_of_servers() {
        let list = "Systemtap Compile Server Status for 'specified,trusted'\n host=lab address=127.0.0.1 port=5001 \
                    sysinfo=\"unknown\" version=unknown certinfo=\"00:cc:1b:74:80\"\n";
        assert_eq!(field(list, "certinfo=\""), Some("00:cc:1b:74:80"));
        assert_eq!(field("No servers found", "certinfo=\""), None);
    }
}
