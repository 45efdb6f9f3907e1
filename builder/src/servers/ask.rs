//! Asking compile servers for which kernels of a plan they compile, with what, and which scripts they can take.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bundle_format::ScriptName;
use child::{Cancel, Ended};

use crate::compile::executor::ExecutorError;
use crate::inputs::toolchain::stap_version;
use crate::job::address::ServerAddress;
use crate::job::cell::{CompileJob, ServerIdentity};
use crate::job::recipe::client_command;
use crate::plan::matrix::Plan;
use crate::sandbox::job_shell::JobLimits;
use crate::sandbox::sysroot::Sysroot;
use crate::servers::client::{
    Answer, Client, Exchange, RequestSize, sent_by, unpacked_size, without_server_paths,
};
use crate::servers::known::remember;
use crate::servers::server::{CONNECT_LIMIT, CompileServer, Stated, not_served};
use crate::words::quoted::quoted;
use crate::words::red_reason::red_reason;

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

/// Why a server can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody takes the connection.
    #[error("compile server {server} can't be reached")]
    Unreachable {
        /// The server.
        server: ServerAddress,
        /// What the kernel or the resolver said.
        source: io::Error,
    },
    /// It takes connections, and doesn't answer.
    #[error("compile server {server} didn't answer within {} s", limit.as_secs())]
    NoAnswer {
        /// The server.
        server: ServerAddress,
        /// The time limit of a question.
        limit: Duration,
    },
    /// Its certificate isn't in a database of trusted ones.
    #[error("compile server {server} is not trusted here: {said}")]
    Untrusted {
        /// The server.
        server: ServerAddress,
        /// What systemtap's client said.
        said: String,
    },
    /// It was given twice.
    #[error("compile server {server} is given twice")]
    Twice {
        /// The server.
        server: ServerAddress,
    },
    /// The sysroot has no client, or not all that it needs.
    #[error(
        "{sysroot} has no {program}, which systemtap's client needs: the Debian package {package} would bring it"
    )]
    NoClient {
        /// The sysroot.
        sysroot: PathBuf,
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// The client couldn't be run.
    #[error("compile server {server} can't be asked")]
    Client {
        /// The server.
        server: ServerAddress,
        /// Why not.
        source: Box<ExecutorError>,
    },
    /// The build was cancelled.
    #[error("cancelled while compile servers were asked")]
    Cancelled,
}

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
    let (mut servers, mut warnings, mut silent) = (Vec::new(), Vec::new(), None);
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

/// Asking one server.
struct Question<'a> {
    plan: &'a Plan,
    address: &'a ServerAddress,
    cancel: &'a Cancel,
}

impl Question<'_> {
    fn ask(&self, databases: &[PathBuf]) -> Result<(CompileServer, Vec<String>), AskError> {
        let socket = self.connect()?;
        let (trust, certificate) = self.certificate(socket, databases)?;
        let mut kernels = BTreeMap::new();
        // What it first says of itself: its name in keys must not follow the order of the kernels.
        let (mut systemtap, mut stated) = (String::new(), None);
        for kernel in self.plan.kernels() {
            let release = &kernel.release;
            if kernel.by_path {
                let why = "a build tree given by its path isn't known to a compile server";
                kernels.insert(release.clone(), Some(why.to_owned()));
                continue;
            }
            let options =
                ["-vv", "-p2", "-r", release.as_str(), "-D", &format!("{QUESTION}=1"), "-e", ASKED_SCRIPT];
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
        let stated = stated.unwrap_or_default();
        let identity = ServerIdentity { certificate, systemtap };
        let (address, too_large) = (self.address.clone(), BTreeMap::new());
        let mut server = CompileServer { address, socket, trust, identity, stated, kernels, too_large };
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
        let (sandbox, directories) = (&self.plan.sandbox, &self.plan.directories);
        let client = Client { sandbox, directories, trust };
        let fixed = ["stap".to_owned(), format!("--use-server={socket}"), "-k".to_owned()];
        let argv: Vec<String> =
            fixed.into_iter().chain(options.iter().map(|word| (*word).to_owned())).collect();
        let limits = JobLimits { time: ASK_LIMIT, ..JobLimits::default() };
        let exchange = client.run(sysroot, &argv, &|_| Ok(Vec::new()), &limits, self.cancel);
        let exchange = exchange
            .map_err(|source| AskError::Client { server: self.address.clone(), source: Box::new(source) })?;
        in_time(self.address, exchange.finished.status)?;
        Ok(exchange)
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
        let (sandbox, directories) = (&self.plan.sandbox, &self.plan.directories);
        let client = Client { sandbox, directories, trust: &server.trust };
        let record = job.script.record();
        let argv = client_command(
            nobody,
            job.script.name(),
            &job.kernel.named_for_stap(),
            &job.script.sent_options(),
            &record.arguments,
        );
        let limits = JobLimits { time: ASK_LIMIT, ..JobLimits::default() };
        let sysroot = self.plan.sysroot_of(&job.kernel);
        let exchange = client.run(sysroot, &argv, &|work| sent_by(work, job), &limits, self.cancel);
        let exchange = exchange
            .map_err(|source| AskError::Client { server: self.address.clone(), source: Box::new(source) })?;
        Ok(exchange.request)
    }
}

/// A question that was stopped has no answer: it says nothing of trust, or of kernels.
fn in_time(server: &ServerAddress, ended: Ended) -> Result<(), AskError> {
    match ended {
        Ended::Cancelled => Err(AskError::Cancelled),
        Ended::TimedOut(limit) => Err(AskError::NoAnswer { server: server.clone(), limit }),
        _ => Ok(()),
    }
}

/// Why a server that has answered doesn't compile for a kernel, if it doesn't.
fn why_not(exchange: &Exchange, answer: &Answer, version: &str, own: &str) -> Option<String> {
    if !exchange.finished.status.success() {
        return Some(format!("it can't compile: {}", red_reason(&answer.stderr)));
    }
    // A bundle names one toolchain for each kernel.
    (version != own).then(|| format!("its systemtap is {version}, and that of the sysroot {own}"))
}

/// What stands behind `version` in the line with which `stap -vv` begins.
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
    numbers.chain([red_reason(&said)]).chain(version_in(&said)).collect()
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
