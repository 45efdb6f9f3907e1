//! Running a child: one loop over its pidfd, its pipes and the cancellation.
//!
//! Where there are no pidfds (before Linux 5.3, and in sandboxes that deny unknown calls), the loop looks now and then whether the
//! child has become a zombie. It stays one until we reap it, so its number is its own all that time and signals by number are safe.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getegid, kill_process_group, test_kill_process_group, waitid,
};

use crate::cancel::Waker;
use crate::course::{Course, KILL_PATIENCE, Step};
use crate::cpu::cpu_time_of_zombie;
use crate::process::pidfd_of;
use crate::stream::{Pieces, Pipe, Sink};
use crate::{Cancel, Captured, ChildCommand, ChildError, Ended, Finished, Limits, OutputStream};

/// Once standard output is closed, a standard error that others keep open is given up after this much silence.
const QUIET: Duration = Duration::from_millis(50);

/// A freshly written program may be "busy" for a moment, while another thread is between fork and exec.
const BUSY_TRIES: u32 = 50;

/// First pause between two looks at a child without a pidfd; it doubles up to [`LONGEST_PAUSE`], and begins again with each output.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long a killed group may take to be gone before we stop waiting for it.
const GROUP_END: Duration = Duration::from_secs(1);

impl ChildCommand {
    /// Runs the child to its end and keeps what it wrote.
    pub fn run(&self, limits: &Limits, cancel: &Cancel) -> Result<Finished, ChildError> {
        run(self, limits, cancel, Pieces::Lines, &mut |_, _| ())
    }

    /// As [`ChildCommand::run`]; besides, hands each line (without its end) to `on_line` as soon as it is complete.
    pub fn run_streaming(
        &self,
        limits: &Limits,
        cancel: &Cancel,
        mut on_line: impl FnMut(OutputStream, &[u8]),
    ) -> Result<Finished, ChildError> {
        run(self, limits, cancel, Pieces::Lines, &mut on_line)
    }

    /// As [`ChildCommand::run_streaming`], but hands on what it writes as it comes, byte for byte and not by lines.
    pub fn run_raw(
        &self,
        limits: &Limits,
        cancel: &Cancel,
        mut on_bytes: impl FnMut(OutputStream, &[u8]),
    ) -> Result<Finished, ChildError> {
        run(self, limits, cancel, Pieces::Bytes, &mut on_bytes)
    }
}

fn run(
    command: &ChildCommand,
    limits: &Limits,
    cancel: &Cancel,
    pieces: Pieces,
    on_line: &mut dyn FnMut(OutputStream, &[u8]),
) -> Result<Finished, ChildError> {
    if cancel.is_cancelled() {
        return Ok(Finished {
            status: Ended::Cancelled,
            stdout: Captured::new(0),
            stderr: Captured::new(0),
            wall: Duration::ZERO,
            cpu: None,
            left_open: false,
        });
    }
    let mut running = Running::start(command, limits, pieces)?;
    let follow = |source: io::Error| ChildError::Follow { command: command.display(), source };
    let waker = cancel.waker().map_err(|errno| follow(errno.into()))?;
    let stopped = running.follow(command, limits, cancel, &waker, on_line)?;
    let wall = running.started.elapsed();
    let (status, cpu) = running.reap(stopped.is_some()).map_err(follow)?;
    let left_open = running.drain(limits.drain, on_line).map_err(follow)?;
    let status = match (stopped, status.code()) {
        (Some(reason), _) => reason,
        (None, Some(code)) => Ended::Code(code),
        (None, None) => Ended::Signal(status.signal().unwrap_or_default()),
    };
    let (stdout, stderr) = running.outputs(on_line);
    Ok(Finished { status, stdout, stderr, wall, cpu, left_open })
}

/// A started child. If dropped before it was reaped (an error, a panic in the caller's line sink), it is killed.
struct Running {
    child: Child,
    pid: Pid,
    pidfd: Option<OwnedFd>,
    /// Without a pidfd: until the next look whether it has ended.
    pause: Duration,
    started: Instant,
    input: Option<Sink>,
    stdout: Pipe,
    stderr: Option<Pipe>,
    reaped: bool,
}

impl Running {
    fn start(command: &ChildCommand, limits: &Limits, pieces: Pieces) -> Result<Self, ChildError> {
        let spawn_error = |source: io::Error| ChildError::Spawn { command: command.display(), source };
        if let Some(path) = command.directory().filter(|path| !path.is_dir()) {
            return Err(ChildError::NoWorkingDirectory { path: path.to_owned(), command: command.display() });
        }
        let (mut child, stdout, stderr) = spawn(command)?.map_err(spawn_error)?;
        let started = Instant::now();
        let pid = Pid::from_child(&child);
        let pidfd = match pidfd_of(pid) {
            Ok(pidfd) => pidfd,
            Err(errno) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(spawn_error(errno.into()));
            }
        };
        let input =
            child.stdin.take().map(|pipe| Sink::new(pipe.into(), command.input_bytes().unwrap_or_default()));
        let stdout = Pipe::new(stdout, OutputStream::Stdout, limits.output_cap, pieces);
        let stderr = stderr.map(|pipe| Pipe::new(pipe, OutputStream::Stderr, limits.output_cap, pieces));
        let running =
            Self { child, pid, pidfd, pause: FIRST_PAUSE, started, input, stdout, stderr, reaped: false };
        running.make_nonblocking().map_err(|errno| spawn_error(errno.into()))?;
        Ok(running)
    }

    fn make_nonblocking(&self) -> rustix::io::Result<()> {
        if let Some(sink) = &self.input {
            ioctl_fionbio(sink, true)?;
        }
        for pipe in std::iter::once(&self.stdout).chain(&self.stderr).filter_map(Pipe::file) {
            ioctl_fionbio(pipe, true)?;
        }
        Ok(())
    }

    /// Serves the pipes until the child has ended; returns why we stopped it, if we did.
    fn follow(
        &mut self,
        command: &ChildCommand,
        limits: &Limits,
        cancel: &Cancel,
        waker: &Waker,
        on_line: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> Result<Option<Ended>, ChildError> {
        let (asked_with, grace) = command.asked();
        let mut course = Course::Free { until: limits.time.map(|limit| self.started + limit) };
        loop {
            match course.step(Instant::now(), cancel.is_cancelled(), limits.time, grace) {
                Step::Wait => {}
                Step::Ask => self.signal_group(asked_with),
                Step::Kill => self.signal_group(Signal::KILL),
                Step::GiveUp => {
                    self.reaped = true; // Waiting in `drop` would be for ever.
                    return Err(ChildError::Unkillable {
                        pid: self.pid.as_raw_nonzero().get(),
                        command: command.display(),
                        seconds: KILL_PATIENCE.as_secs(),
                    });
                }
            }
            // Once stopped, the waker would be readable for ever.
            let waker = course.reason().is_none().then_some(waker);
            let ended = self
                .poll_once(course.next(), waker, on_line)
                .map_err(|source| ChildError::Follow { command: command.display(), source })?;
            if ended {
                return Ok(course.reason());
            }
        }
    }

    /// Waits for the next thing to happen, at most until `until`; returns whether the child has ended.
    fn poll_once(
        &mut self,
        until: Option<Instant>,
        waker: Option<&Waker>,
        on_line: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> io::Result<bool> {
        let mut fds = Vec::with_capacity(5);
        let pidfd = self.pidfd.as_ref().filter(|_| !self.reaped);
        fds.extend(pidfd.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        let looks = !self.reaped && pidfd.is_none();
        fds.extend(waker.map(|waker| PollFd::new(waker, PollFlags::IN)));
        fds.extend(self.input.as_ref().map(|sink| PollFd::new(sink, PollFlags::OUT)));
        let pipes = std::iter::once(&self.stdout).chain(&self.stderr);
        fds.extend(pipes.filter_map(Pipe::file).map(|file| PollFd::new(file, PollFlags::IN)));
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        let pause = looks.then_some(self.pause);
        let timeout = timeout.into_iter().chain(pause).min().map(timespec);
        let happened = match poll(&mut fds, timeout.as_ref()) {
            Ok(count) => count > 0,
            Err(Errno::INTR) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let ended = pidfd.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        let ended = ended || (looks && self.is_zombie()?);
        self.pause = if happened { FIRST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        if self.input.as_mut().is_some_and(Sink::feed) {
            self.input = None; // All written, or nobody reads it: the child sees the end of its input.
        }
        self.stdout.take_in(on_line)?;
        if let Some(stderr) = &mut self.stderr {
            stderr.take_in(on_line)?;
        }
        Ok(ended)
    }

    /// Whether it has ended and waits to be reaped.
    fn is_zombie(&self) -> io::Result<bool> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let found = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), look))?;
        Ok(found.is_some())
    }

    /// Collects the exit status; if we stopped the child, what is left of its group is killed first.
    fn reap(&mut self, stopped: bool) -> io::Result<(ExitStatus, Option<Duration>)> {
        if stopped {
            // The leader is a zombie still, so the group's number can't be anyone else's.
            self.signal_group(Signal::KILL);
        }
        let cpu = cpu_time_of_zombie(self.pid);
        let status = self.child.wait()?;
        self.reaped = true;
        if stopped {
            self.await_group_end();
        }
        Ok((status, cpu))
    }

    /// A killed process still takes a moment to die; whoever removes its directory next should not meet it.
    /// A zombie that nobody reaps (no init in a container) keeps the group alive, so the wait has an end.
    fn await_group_end(&self) {
        let end = Instant::now() + GROUP_END;
        while test_kill_process_group(self.pid).is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Reads what descendants still write; returns whether a pipe was left open.
    fn drain(
        &mut self,
        patience: Duration,
        on_line: &mut dyn FnMut(OutputStream, &[u8]),
    ) -> io::Result<bool> {
        self.input = None;
        let end = Instant::now() + patience;
        let mut quiet_since = Instant::now();
        loop {
            let stderr_open = self.stderr.as_ref().is_some_and(|pipe| pipe.file().is_some());
            let stdout_open = self.stdout.file().is_some();
            if !stdout_open && !stderr_open {
                return Ok(false);
            }
            let give_up = if stdout_open { end } else { end.min(quiet_since + QUIET) };
            if Instant::now() >= give_up {
                return Ok(true);
            }
            let before = self.received();
            self.poll_once(Some(give_up), None, on_line)?;
            if self.received() != before {
                quiet_since = Instant::now();
            }
        }
    }

    fn received(&self) -> u64 {
        self.stdout.received() + self.stderr.as_ref().map_or(0, Pipe::received)
    }

    fn outputs(&mut self, on_line: &mut dyn FnMut(OutputStream, &[u8])) -> (Captured, Captured) {
        let stdout = self.stdout.finish(on_line);
        let stderr = self.stderr.as_mut().map_or_else(|| Captured::new(0), |pipe| pipe.finish(on_line));
        (stdout, stderr)
    }

    fn signal_group(&self, signal: Signal) {
        // The group may be gone or may have changed its user; the wait that follows tells.
        let _ = kill_process_group(self.pid, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal_group(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

type Spawned = (Child, OwnedFd, Option<OwnedFd>);

/// Starts the child with its output pipes. Our copies of the writing ends are closed on return, so that the pipes can end.
fn spawn(command: &ChildCommand) -> Result<io::Result<Spawned>, ChildError> {
    let mut prepared = command.prepare()?;
    let mut tries = 0;
    let mut forks = false;
    loop {
        let spawned = (|| -> io::Result<Spawned> {
            let (stdout, writer) = io::pipe()?;
            let (stderr, error_writer) = if command.is_combined() {
                (None, writer.try_clone()?)
            } else {
                let (reader, writer) = io::pipe()?;
                (Some(OwnedFd::from(reader)), writer)
            };
            let child = prepared.stdout(Stdio::from(writer)).stderr(Stdio::from(error_writer)).spawn()?;
            Ok((child, OwnedFd::from(stdout), stderr))
        })();
        match spawned {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            // A sandbox that denies clone3 with EPERM lets the C library's posix_spawn start nothing; fork(2) doesn't need
            // it. The standard library forks if a group is to be set, and setting the one that we have changes nothing.
            Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) && !forks => {
                forks = true;
                prepared.gid(getegid().as_raw());
            }
            other => return Ok(other),
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
