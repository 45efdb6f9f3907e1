//! Standard input that must keep coming: a stream that stops, or drips, doesn't hold a command for ever.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// What must come within each time limit, in bytes.
const LEAST: u64 = 64 << 10;

/// Reads `input` while at least [`LEAST`] bytes come within each `limit`. Only the time spent waiting counts.
#[derive(Debug)]
pub(crate) struct SteadyInput<R> {
    input: R,
    /// `None` waits for ever.
    limit: Option<Duration>,
    /// Time spent waiting since that many bytes came.
    waited: Duration,
    /// Bytes that came meanwhile.
    came: u64,
}

impl<R: Read + AsFd> SteadyInput<R> {
    pub(crate) const fn new(input: R, limit: Option<Duration>) -> Self {
        Self { input, limit, waited: Duration::ZERO, came: 0 }
    }

    /// Waits until there is something to read, or the end.
    fn wait(&mut self) -> io::Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        loop {
            let Some(left) = limit.checked_sub(self.waited).filter(|left| !left.is_zero()) else {
                let Self { came, .. } = self;
                let words = format!(
                    "{came} bytes came in {} s, expected at least {LEAST}: the sender stopped or is too slow (--idle-timeout)",
                    limit.as_secs_f64()
                );
                return Err(io::Error::new(io::ErrorKind::TimedOut, words));
            };
            let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
            let begun = Instant::now();
            let ready = poll(&mut [PollFd::new(&self.input, PollFlags::IN)], Some(&left));
            self.waited += begun.elapsed();
            match ready {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<R: Read + AsFd> Read for SteadyInput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        let read = self.input.read(buffer)?;
        self.came += read as u64;
        if self.came >= LEAST {
            self.came = 0;
            self.waited = Duration::ZERO;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that looks at the clock; a writer that gives this many bytes, and neither ends nor goes on.
    fn stalled(bytes: usize, limit: Option<Duration>) -> (SteadyInput<io::PipeReader>, io::PipeWriter) {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, &vec![7; bytes]).unwrap();
        (SteadyInput::new(reader, limit), writer)
    }

    #[test]
    fn what_stops_is_given_up_and_says_what_came() {
        let (mut input, _writer) = stalled(100, Some(Duration::from_millis(50)));
        let error = input.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().starts_with("100 bytes came in 0.05 s, expected at least 65536"),
            "{error}"
        );
    }

    #[test]
    fn an_end_in_time_is_an_end() {
        for limit in [None, Some(Duration::from_secs(600))] {
            let (mut input, writer) = stalled(100, limit);
            drop(writer);
            assert_eq!(input.read_to_end(&mut Vec::new()).unwrap(), 100);
        }
    }

    #[test]
    fn what_comes_in_time_begins_the_next_limit() {
        let (mut input, writer) = stalled(1 << 16, Some(Duration::from_secs(600)));
        input.waited = Duration::from_secs(599);
        input.read_exact(&mut vec![0; 1 << 16]).unwrap();
        assert_eq!((input.came, input.waited), (0, Duration::ZERO));
        drop(writer);
    }
}
