//! One exchange with a compile server, by the client of systemtap (`stap --use-server`) in its sandbox.

use std::path::{Path, PathBuf};

use child::{Cancel, Finished, Limits};
use files::FileError;

use crate::compile::{ExecutorError, LOG_CAP, lay_out, works};
use crate::inputs::tapset;
use crate::job::{CompileJob, SENT_DIRECTORY, script_path};
use crate::sandbox::{
    CLIENT_TEMPORARY, Inside, JobDirectory, JobLimits, STAP_DIRECTORY, Sandbox, Sysroot, in_shell,
};
use crate::state::BuildDirectories;

/// The files of a database of trusted certificates (TRUST-02). Clients of systemtap 5.6 can't read everybody's database unless
/// they are root, so each client gets a copy as its own.
const TRUST_FILES: [&str; 3] = ["cert9.db", "key4.db", "pkcs11.txt"];

/// Where the client looks for that, below its work directory.
const TRUST: &str = "stapdir/ssl/client";

/// Largest file of such a database.
const LARGEST_TRUST: u64 = 16 << 20;

/// Largest of the client's files that is read, in bytes: a request with tapsets, or what a server said.
const LARGEST_KEPT: u64 = 64 << 20;

/// Names in the client's temporary directory that are looked at.
const MOST_NAMES: usize = 1000;

/// The prefix of the client's own directory below its temporary one.
const CLIENT_DIRECTORY: &str = "stap";

/// With what a client is run, and as whom it trusts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    pub sandbox: &'a Sandbox,
    pub directories: &'a BuildDirectories,
    /// The database of trusted certificates.
    pub trust: &'a Path,
}

/// Puts into the work directory what is to be sent, and tells which paths the client finds where.
pub(crate) type LayOut<'a> = dyn Fn(&JobDirectory) -> Result<Vec<(PathBuf, String)>, FileError> + 'a;

/// What came of an exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub finished: Finished,
    pub work: JobDirectory,
    /// What the server's `stap` wrote, if the server has answered.
    pub answer: Option<Answer>,
    /// How large the request was, if one was made.
    pub request: Option<RequestSize>,
}

/// What the server's `stap` wrote (PROTO-06).
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub stdout: String,
    pub stderr: String,
}

/// The size of a request, in bytes (PROTO-02).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestSize {
    /// Of all its files.
    pub unpacked: u64,
    /// Of the packed request.
    pub packed: u64,
}

impl Client<'_> {
    /// Runs `argv` in a directory that `lay_out` has filled; `sent` are paths in it and where the client finds them.
    pub(crate) fn run(
        &self,
        sysroot: &Sysroot,
        argv: &[String],
        lay_out: &LayOut<'_>,
        limits: &JobLimits,
        cancel: &Cancel,
    ) -> Result<Exchange, ExecutorError> {
        let work = self.directories.new_work(self.sandbox)?;
        let sent = lay_out(&work)?;
        for directory in [TRUST, STAP_DIRECTORY, CLIENT_TEMPORARY] {
            work.make_given(directory)?;
        }
        self.copy_trust(&work)?;
        let command =
            self.sandbox.client_command(&Inside::new(sysroot, &work), &sent, &in_shell(argv, limits));
        let time = Limits { time: Some(limits.time), output_cap: LOG_CAP, ..Limits::default() };
        let finished = works(command.combined_output().run(&time, cancel)?)?;
        let (answer, request) = what_was_kept(&work);
        Ok(Exchange { finished, work, answer, request })
    }

    /// Copies the database of trusted certificates. The client opens it for writing (SIGN-04), so it needs one that is its own.
    fn copy_trust(&self, work: &JobDirectory) -> Result<(), FileError> {
        for name in TRUST_FILES {
            let bytes = files::read::read_given(&self.trust.join(name), LARGEST_TRUST)?;
            work.write_given(&Path::new(TRUST).join(name), &bytes)?;
        }
        Ok(())
    }
}

/// Lays a job out for the client, and tells what it finds where.
pub(crate) fn sent_by(work: &JobDirectory, job: &CompileJob) -> Result<Vec<(PathBuf, String)>, FileError> {
    lay_out(work, job)?;
    let script = work.path().join(script_path(job.script.name()));
    let directory = script.parent().unwrap_or(work.path()).to_owned();
    let tapsets = (0..job.script.tapsets().len())
        .map(|number| (work.path().join(tapset::place(number)), tapset::sent_place(number)));
    Ok(std::iter::once((directory, SENT_DIRECTORY.to_owned())).chain(tapsets).collect())
}

/// The answer and the request's size, from the temporary directory that the client has left. A server has answered if its exit
/// code is there: what the client says on its terminal is the same for several failures.
fn what_was_kept(work: &JobDirectory) -> (Option<Answer>, Option<RequestSize>) {
    let temporary = work.directory().open_dir(CLIENT_TEMPORARY);
    let names = temporary.and_then(|temporary| temporary.entries_up_to(MOST_NAMES)).unwrap_or_default();
    let in_own = |own: &str, name: &str| Path::new(CLIENT_TEMPORARY).join(own).join(name);
    // No link on the way is followed, so what is read is no file of this machine.
    let found = names.iter().filter(|name| name.starts_with(CLIENT_DIRECTORY)).find_map(|own| {
        let request = work.read(&in_own(own, "client.zip"), LARGEST_KEPT).ok()?;
        Some((own, request))
    });
    let Some((own, request)) = found else { return (None, None) };
    let read = |name: &str| work.read(&in_own(own, "server").join(name), LARGEST_KEPT).ok();
    let text = |name: &str| without_server_paths(&String::from_utf8_lossy(&read(name).unwrap_or_default()));
    let answer = read("rc").map(|_| Answer { stdout: text("stdout"), stderr: text("stderr") });
    let unpacked = unpacked_size(&request).unwrap_or_default();
    (answer, Some(RequestSize { unpacked, packed: request.len() as u64 }))
}

/// The sum of the lengths that the directory of a zip archive has. (In the client's own copy of the request, scripts are links.)
pub(crate) fn unpacked_size(archive: &[u8]) -> Option<u64> {
    const END: &[u8] = b"PK\x05\x06";
    const ENTRY: &[u8] = b"PK\x01\x02";
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = archive.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)))
    };
    let end = archive.windows(END.len()).rposition(|window| window == END)?;
    let count = number(end + 10, 2)?;
    let mut at = number(end + 16, 4)?;
    let mut sum = 0;
    for _ in 0..count {
        archive.get(at..)?.starts_with(ENTRY).then_some(())?;
        sum += number(at + 24, 4)? as u64;
        at += 46 + number(at + 28, 2)? + number(at + 30, 2)? + number(at + 32, 2)?;
    }
    Some(sum)
}

/// Takes the names of the server's temporary directories out: they are others each time, and a reason must not be.
pub(crate) fn without_server_paths(text: &str) -> String {
    const BEGIN: &str = "<server>/";
    const END: &str = "/response/stap000000/";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        out.push_str(before);
        let word =
            behind.split(|c: char| c.is_whitespace() || c == '"' || c == '\'').next().unwrap_or_default();
        rest = if let Some(at) = word.find(END) {
            behind.get(at + END.len()..).unwrap_or_default()
        } else {
            out.push_str(BEGIN);
            behind
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::fake_work;

    #[test]
    fn the_servers_temporary_names_are_no_part_of_what_it_said() {
        let said = "error: <server>/.systemtap/server-tmp/stap-server.S294Eq/response/stap000000/a_src.c:3:1: x\n\
                    in \"<server>/cache/f0/x.h\" and <server>/t/stap-server.1/response/stap000000/b.c";
        assert_eq!(without_server_paths(said), "error: a_src.c:3:1: x\nin \"<server>/cache/f0/x.h\" and b.c");
        assert_eq!(without_server_paths("plain <server>/"), "plain <server>/");
    }

    /// An archive of `a`, 2 bytes, and `dir/b`, 3 bytes.
    const ARCHIVE: &[u8] = b"PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x5c\xcdDSO\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00a12PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00!\x5c\x0f\xb5\xf54\x03\x00\x00\x00\x03\x00\x00\x00\x05\x00\x00\x00dir/b345PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00\x00\x00!\x5c\xcdDSO\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01\x00\x00\x00\x00aPK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00\x00\x00!\x5c\x0f\xb5\xf54\x03\x00\x00\x00\x03\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01!\x00\x00\x00dir/bPK\x05\x06\x00\x00\x00\x00\x02\x00\x02\x00b\x00\x00\x00G\x00\x00\x00\x00\x00";

    #[test]
    fn the_size_of_a_request_is_read_from_its_directory() {
        assert_eq!(unpacked_size(ARCHIVE), Some(5));
        for len in 0..ARCHIVE.len() {
            let cut = unpacked_size(&ARCHIVE[..len]);
            assert!(cut.is_none() || len + 22 > ARCHIVE.len(), "{len}");
        }
    }

    /// As the client leaves it; then with a link that the server's answer could hold.
    #[test]
    fn an_answer_is_one_with_an_exit_code_and_no_link_is_followed() {
        let (_base, work) = fake_work();
        let own = work.path().join("client/stapAbCdEf");
        fs::create_dir_all(own.join("server")).unwrap();
        assert!(matches!(what_was_kept(&work), (None, None)));
        fs::write(own.join("client.zip"), ARCHIVE).unwrap();
        fs::write(own.join("server/stderr"), "said").unwrap();
        let (answer, request) = what_was_kept(&work);
        assert!(answer.is_none());
        assert_eq!(request, Some(RequestSize { unpacked: 5, packed: 191 }));
        fs::write(own.join("server/rc"), "1").unwrap();
        assert_eq!(what_was_kept(&work).0.unwrap().stderr, "said");
        fs::remove_file(own.join("server/stderr")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", own.join("server/stderr")).unwrap();
        assert_eq!(what_was_kept(&work).0.unwrap().stderr, "");
        fs::rename(own.join("server"), work.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(work.path().join("elsewhere"), own.join("server")).unwrap();
        assert!(what_was_kept(&work).0.is_none());
    }
}
