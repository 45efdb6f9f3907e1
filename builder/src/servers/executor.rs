//! Compiles by a compile server: systemtap's own client sends the job and brings the module.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bundle_format::ScriptName;
use child::{Cancel, Ended, Finished};

use super::client::{Client, Exchange, LayOut, RequestSize, sent_by};
use super::server::{CONNECT_LIMIT, CompileServer};
use crate::compile::{
    Compilation, Executor, ExecutorError, LeaderTask, Leading, ModuleFile, made_uprobes, read_module,
};
use crate::job::{CompileJob, ModuleInfo, client_command, module_path};
use crate::sandbox::{JobLimits, Sandbox, Sysroot};
use crate::state::BuildDirectories;
use crate::warm::{EMPTY_SCRIPT, Led, MODULE, SCANNED, WarmFiles, WarmUpPart};
use crate::words::{Circumstances, may_pass_next_time, red_reason};

/// Tries of a job whose connection is closed without an answer, while the server lives. It may have been restarted meanwhile.
const TRIES: usize = 2;

/// What a server is asked to see whether it is still there.
const STILL_THERE: JobLimits = JobLimits { time: Duration::from_secs(60), memory: 4 << 30, file: 64 << 20 };

/// Compiles by one compile server.
#[derive(Debug)]
pub(crate) struct ServerExecutor<'a> {
    pub server: &'a CompileServer,
    pub sandbox: &'a Sandbox,
    pub sysroots: &'a [Arc<Sysroot>],
    pub directories: &'a BuildDirectories,
}

impl Executor for ServerExecutor<'_> {
    fn compile(
        &self,
        job: &CompileJob,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Compilation, ExecutorError> {
        let argv = client_command(
            self.server.socket,
            job.script.name(),
            &job.kernel.named_for_stap(),
            &[job.kernel.stap_options(), job.script.sent_options()].concat(),
            &job.script.record().arguments,
        );
        let sysroot = &self.sysroots[job.kernel.sysroot];
        let exchange = self.answered(sysroot, &argv, &|work| sent_by(work, job), limits, cancel)?;
        let module = module_of(&exchange, job.script.name())?;
        let uprobes = made_uprobes(&exchange.work);
        let log = log_of(&exchange);
        let Finished { status: ended, wall, .. } = exchange.finished;
        // What it costs the server, it doesn't tell.
        Ok(Compilation { ended, log, module, uprobes, wall, cpu: None, missed: Vec::new() })
    }

    fn lead(&self, task: &LeaderTask, limits: &JobLimits, cancel: &Cancel) -> Result<Leading, ExecutorError> {
        let kernel = task.kernel.named_for_stap();
        let mut argv = ["stap", &format!("--use-server={}", self.server.socket), "-k", "-r", &kernel]
            .map(str::to_owned)
            .to_vec();
        argv.extend(task.flags.options());
        argv.extend(match task.part {
            WarmUpPart::Configuration => {
                ["-vv", "-m", MODULE, "-p4", "-e", EMPTY_SCRIPT].map(str::to_owned).to_vec()
            }
            WarmUpPart::Scan => ["-l", SCANNED].map(str::to_owned).to_vec(),
        });
        let sysroot = &self.sysroots[task.kernel.sysroot];
        let exchange = self.answered(sysroot, &argv, &|_| Ok(Vec::new()), limits, cancel)?;
        let mut note = None;
        let log = log_of(&exchange);
        let led = match (exchange.finished.status, task.part) {
            (Ended::Cancelled, _) => Led::Cancelled,
            (ended @ (Ended::TimedOut(_) | Ended::Signal(_)), _) => Led::Incomplete(ended.to_string()),
            (Ended::Code(_), WarmUpPart::Scan) => {
                let found = log.lines().any(|line| line.starts_with("kernel.trace("));
                if found {
                    Led::Complete(None)
                } else {
                    Led::Incomplete(red_reason(&log, &Circumstances::default()).text)
                }
            }
            (Ended::Code(0), WarmUpPart::Configuration) => {
                note = self.note_on(&log);
                match module_of(&exchange, &leaders_name()?)? {
                    Some(Ok(module)) => judged(&module, task),
                    Some(Err(what)) => Led::Incomplete(format!("its module was refused: {what}")),
                    None => Led::Incomplete("it made no module".to_owned()),
                }
            }
            (Ended::Code(_), WarmUpPart::Configuration) => {
                Led::Incomplete(red_reason(&log, &Circumstances::default()).text)
            }
        };
        Ok(Leading {
            led,
            wall: exchange.finished.wall,
            cpu: None,
            note,
            scan: None,
            taken: WarmFiles::new(),
        })
    }
}

impl ServerExecutor<'_> {
    fn client(&self) -> Client<'_> {
        Client { sandbox: self.sandbox, directories: self.directories, trust: &self.server.trust }
    }

    /// An exchange that the server has answered, or that was ended from this side.
    fn answered(
        &self,
        sysroot: &Sysroot,
        argv: &[String],
        lay_out: &LayOut<'_>,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Exchange, ExecutorError> {
        let mut size = None;
        for _ in 0..TRIES {
            let exchange = self.client().run(sysroot, argv, lay_out, limits, cancel)?;
            let ended_here = matches!(exchange.finished.status, Ended::Cancelled | Ended::TimedOut(_));
            if exchange.answer.is_some() || ended_here {
                return Ok(exchange);
            }
            let gone = self.gone(sysroot, cancel)?;
            if cancel.is_cancelled() {
                let finished = Finished { status: Ended::Cancelled, ..exchange.finished };
                return Ok(Exchange { finished, ..exchange });
            }
            if let Some(why) = gone {
                let said = last_words(&exchange.finished.stdout.text());
                return Err(ExecutorError::ServerLost { said: format!("{said}; {why}") });
            }
            size = exchange.request;
        }
        let RequestSize { unpacked, packed } = size.unwrap_or_default();
        let why = format!(
            "the server closed the connection without an answer; its log says why; a request of {unpacked} bytes, \
             {packed} packed, may be above its limits (--max-request-size, --max-compressed-request)"
        );
        Err(ExecutorError::ServerRefused { why })
    }

    /// Why the server counts as lost: `None` if it still takes connections, and shows its certificate.
    fn gone(&self, sysroot: &Sysroot, cancel: &Cancel) -> Result<Option<String>, ExecutorError> {
        // The list alone names a server by what the client knows of it.
        if let Err(error) = TcpStream::connect_timeout(&self.server.socket, CONNECT_LIMIT) {
            return Ok(Some(not_taken(&error)));
        }
        let server = format!("--use-server={}", self.server.socket);
        let argv = ["stap".to_owned(), server, "--list-servers=specified,trusted".to_owned()];
        let exchange = self.client().run(sysroot, &argv, &|_| Ok(Vec::new()), &STILL_THERE, cancel)?;
        Ok(why_gone(exchange.finished.status, &exchange.finished.stdout.text()))
    }

    /// `make -jN` is given one more than the threads by which stap numbers probes: with several, numbers are a matter of luck.
    fn note_on(&self, log: &str) -> Option<String> {
        let make = log.lines().find(|line| line.starts_with("Running ") && line.contains(" make -C "))?;
        let jobs: usize =
            make.split_ascii_whitespace().find_map(|word| word.strip_prefix("-j"))?.parse().ok()?;
        (jobs > 2).then(|| {
            format!(
                "compile server {} may number probes differently each time, so modules of several probes aren't \
                 reproducible: start it with STAP_NTHREADS=1, as `stap-bundle server start` does",
                self.server.address()
            )
        })
    }
}

/// Why no connection to a server came about.
fn not_taken(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return format!("it takes no connection within {} s", CONNECT_LIMIT.as_secs());
    }
    format!("it takes no connection: {error}")
}

/// Why a server that was asked for its certificate counts as lost, if it does.
fn why_gone(ended: Ended, said: &str) -> Option<String> {
    if let Ended::TimedOut(limit) = ended {
        return Some(format!("it takes connections, and shows no certificate within {} s", limit.as_secs()));
    }
    let shown = said.contains("certinfo=\"") && !said.contains("certinfo=\"unknown\"");
    (!shown).then(|| "it takes connections, and shows no certificate that is trusted here".to_owned())
}

/// A server whose compiler isn't the farm's makes other modules than the bundle would say.
fn judged(module: &[u8], task: &LeaderTask) -> Led {
    let kernel = &task.kernel;
    let read = leaders_name().map(|name| ModuleInfo::read(module, &name, &kernel.release, &kernel.machine));
    if let Ok(Err(error)) = read {
        return Led::Incomplete(format!("what it makes is refused: {error}"));
    }
    let found = kernel_module::compilers(module).unwrap_or_default();
    let theirs = |own: &String| found.into_iter().find(|compiler| !kernel_module::is_of(compiler, own));
    match kernel.compiler.as_ref().and_then(|own| Some((own, theirs(own)?))) {
        Some((own, theirs)) => Led::Incomplete(format!(
            "it compiles with {theirs}, and the sysroot with {own}: a bundle names one compiler for each kernel"
        )),
        None => Led::Complete(None),
    }
}

fn leaders_name() -> Result<ScriptName, ExecutorError> {
    MODULE.parse().map_err(|_| ExecutorError::ServerRefused { why: format!("{MODULE} is no module's name") })
}

fn module_of(exchange: &Exchange, name: &ScriptName) -> Result<Option<ModuleFile>, ExecutorError> {
    Ok(read_module(&exchange.work, &module_path(name))?)
}

/// What the server's `stap` wrote; what its client wrote where that has failed by itself.
fn log_of(exchange: &Exchange) -> String {
    let client = exchange.finished.stdout.text();
    let Some(answer) = &exchange.answer else { return client };
    let server = format!("{}{}", answer.stderr, answer.stdout);
    let own_failure = !exchange.finished.status.success() && !server.contains("error");
    if own_failure || may_pass_next_time(&client) { format!("{server}{client}") } else { server }
}

/// The last line of the client that says something of the failure.
fn last_words(said: &str) -> String {
    let idle = ["Passes:", "Tip:", "Keeping temporary directory", "WARNING:"];
    let line = said
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !idle.iter().any(|begin| line.starts_with(begin)));
    line.unwrap_or("its client says nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_clients_last_words_are_those_on_the_failure() {
        let said = "Unable to connect to a server.\nPasses: via server failed.  Try again with another '-v' option.\n\
                    Tip: /usr/share/doc/systemtap/README.Debian should help you get started.\n";
        assert_eq!(last_words(said), "Unable to connect to a server.");
        assert_eq!(last_words("\n"), "its client says nothing");
    }

    /// It was lost, whatever had happened.
    #[test]
    fn a_time_out_was_not_told_from_a_server_that_is_gone() {
        let shown = "host=lab port=5001 certinfo=\"00:cc\"\n";
        assert_eq!(why_gone(Ended::Code(0), shown), None);
        let limit = STILL_THERE.time;
        assert!(why_gone(Ended::TimedOut(limit), shown).unwrap().ends_with("within 60 s"));
        let unknown = shown.replace("00:cc", "unknown");
        assert!(why_gone(Ended::Code(0), &unknown).unwrap().ends_with("trusted here"));
        assert!(not_taken(&io::ErrorKind::TimedOut.into()).ends_with("within 10 s"));
        assert!(not_taken(&io::ErrorKind::ConnectionRefused.into()).ends_with("connection refused"));
    }

    #[test]
    fn several_threads_that_number_probes_are_noted() {
        let server = CompileServer::of_test("a:1", 1, &[]);
        let directories = BuildDirectories::beneath(Path::new("/none"));
        let sandbox = Sandbox::without_user_change();
        let executor =
            ServerExecutor { server: &server, sandbox: &sandbox, sysroots: &[], directories: &directories };
        let make = |jobs: &str| format!("x\nRunning env -uARCH make -C /b M=/m modules {jobs}\nother\n");
        assert_eq!(executor.note_on(&make("-j2")), None);
        assert!(executor.note_on(&make("-j5")).unwrap().contains("STAP_NTHREADS=1"));
        assert_eq!(executor.note_on("nothing"), None);
    }
}
