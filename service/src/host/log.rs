//! `LOG_FILE`, in the initscript's own line format: `Mon dd HH:MM:SS: text`, local time (INIT-LOG-01).
//!
//! Errors and warnings go to the system's log too, as README 3.5 has it: one datagram to `/dev/log`, where syslogd or
//! journald listens, with the identifier and the priority by which they sort. At boot neither may be there yet. A log that can't be written never stops a start; the program says it once
//! ([`Host::unlogged`]).

use std::io::Write;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use files::FileError;
use jiff::{Timestamp, Zoned, tz::TimeZone};

use crate::host::machine::{EARLY_LOG, Host};
use crate::host::own_files;
use files::with_causes;

impl Host {
    /// Writes a line to `LOG_FILE` (INIT-LOG-01), for what the program itself has to say there.
    pub fn log(&self, text: &str) {
        line(self, text);
    }

    /// As [`Host::log`], and tells the system's log too: errors and warnings (README 3.5, INIT-LOG-02).
    pub fn log_loudly(&self, text: &str) {
        loudly(self, text);
    }

    /// Why a line couldn't be written to `LOG_FILE`, if one couldn't: a log never stops a start, so it is for the program to say
    /// once.
    pub fn unlogged(&self) -> Option<&str> {
        self.unlogged.get().map(String::as_str)
    }
}

/// Appends one line. Ends of lines and control characters inside `text` become blanks, so that nothing can forge a line.
pub(crate) fn line(host: &Host, text: &str) {
    let line = format_line(host.now(), &TimeZone::system(), text);
    if let Err(error) = append(host, line.as_bytes()) {
        // The first reason is the one to mend.
        let _ = host.unlogged.set(with_causes(&error));
    }
}

/// Appends what the start in the initramfs has written, and removes it there. Where that can't be done it stays for the next time.
pub(crate) fn take_over(host: &Host) {
    let Ok(Some(lines)) = own_files::read(host, &host.run_dir, EARLY_LOG) else { return };
    match append(host, &lines) {
        Ok(()) => drop(own_files::remove(host, &host.run_dir, EARLY_LOG)),
        Err(error) => drop(host.unlogged.set(with_causes(&error))),
    }
}

fn append(host: &Host, line: &[u8]) -> Result<(), FileError> {
    let path = &host.log_file;
    let wrong = |error: std::io::Error| FileError::new("write", path, error);
    let directory = host.files.ensure_dir(path.parent().unwrap_or(Path::new("/")))?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| wrong(std::io::ErrorKind::InvalidInput.into()))?;
    // One write in append mode: lines of parallel loads don't mix.
    directory.open_log(name)?.write_all(line).map_err(wrong)
}

/// What the system's log calls us, as the original's `logger` lines were found.
const TAG: &str = "systemtap";

/// Facility daemon (3) with the severities error (3) and warning (4), as RFC 3164 writes them.
const DAEMON_ERROR: u8 = (3 << 3) | 3;
const DAEMON_WARNING: u8 = (3 << 3) | 4;
const DAEMON_NOTICE: u8 = (3 << 3) | 5;

/// Appends one line, and sends it to the system's log: as an error if it begins with `Error:`, else as a warning. Nobody
/// listening, or one who doesn't read, is not waited for.
pub(crate) fn loudly(host: &Host, text: &str) {
    line(host, text);
    let Ok(socket) = UnixDatagram::unbound() else { return };
    let Ok(listener) = host.files.descriptor_of(&host.syslog) else { return };
    if socket.set_nonblocking(true).is_ok() {
        let message = format_message(host.now(), &TimeZone::system(), text);
        let _ = socket.send_to(message.as_bytes(), format!("/proc/self/fd/{}", listener.as_raw_fd()));
    }
}

/// Most characters of a line that go to the kernel's log: it refuses one of 1024 bytes or more.
const MOST_FOR_KERNEL: usize = 250;

/// Writes a line to the kernel's log, which is all that there is before the root file system. Where that can't be done, nothing ends for
/// it.
pub(crate) fn to_kernel(host: &Host, text: &str) {
    let text: String = one_line(text).chars().take(MOST_FOR_KERNEL).collect();
    let Ok(device) = host.files.descriptor_of(&host.kernel_log) else { return };
    let path = format!("/proc/self/fd/{}", device.as_raw_fd());
    let opened = std::fs::OpenOptions::new().write(true).open(path);
    let _ =
        opened.and_then(|mut log| log.write_all(format!("<{DAEMON_NOTICE}>stap-bundle: {text}").as_bytes()));
}

/// As `syslog(3)` writes it; syslogd takes identifier and priority from nothing else.
fn format_message(seconds: u64, zone: &TimeZone, text: &str) -> String {
    let priority = if text.starts_with("Error:") { DAEMON_ERROR } else { DAEMON_WARNING };
    let time = local_time(seconds, zone).strftime("%b %e %H:%M:%S").to_string();
    format!("<{priority}>{time} {TAG}[{}]: {}", std::process::id(), one_line(text))
}

/// Ends of lines, and what acts on a terminal, become blanks.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if script_config::acts(c) { ' ' } else { c }).collect();
    text.trim_end().to_owned()
}

fn format_line(seconds: u64, zone: &TimeZone, text: &str) -> String {
    format!("{}: {}\n", local_time(seconds, zone).strftime("%b %d %H:%M:%S"), one_line(text))
}

fn local_time(seconds: u64, zone: &TimeZone) -> Zoned {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_log_01_a_line_has_month_day_time_and_text() {
        let line = format_line(1_700_000_000, &TimeZone::UTC, "net_drop: started\nJan 01 00:00:00: forged");
        assert_eq!(line, "Nov 14 22:13:20: net_drop: started Jan 01 00:00:00: forged\n");
    }

    #[test]
    fn init_log_02_what_is_said_loudly_reaches_the_log_of_the_system() {
        let (dir, host) = Host::temporary();
        loudly(&host, "Error: nobody listens yet");
        let listens_at = dir.path().join("dev/log");
        std::fs::create_dir_all(listens_at.parent().unwrap()).unwrap();
        let listener = UnixDatagram::bind(&listens_at).unwrap();
        let heard = |text: &str| {
            loudly(&host, text);
            let mut bytes = [0; 200];
            let len = listener.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..len].to_vec()).unwrap()
        };
        let own = std::process::id();
        let error = heard("Error: net_drop\nforged");
        assert!(
            error.starts_with("<27>")
                && error.ends_with(&format!(" systemtap[{own}]: Error: net_drop forged"))
        );
        assert!(heard("Warning: a").starts_with("<28>"));
        assert_eq!(
            format_message(1_699_000_000, &TimeZone::UTC, "Error: a"),
            format!("<27>Nov  3 08:26:40 systemtap[{own}]: Error: a")
        );
        let log = std::fs::read_to_string(host.on_this_machine(&host.log_file)).unwrap();
        assert_eq!(log.lines().count(), 3, "{log}");
        assert_eq!(host.unlogged(), None);
    }

    #[test]
    fn init_file_06_refuses_a_fifo_and_a_link_as_log_file_and_keeps_the_reason() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        for kind in ["fifo", "link"] {
            let (dir, host) = Host::temporary();
            let path = host.on_this_machine(&host.log_file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let victim = dir.path().join("victim");
            match kind {
                "fifo" => mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
                _ => std::os::unix::fs::symlink(&victim, &path).unwrap(),
            }
            line(&host, "one");
            line(&host, "two");
            assert!(host.unlogged().unwrap().starts_with("can't open /var/log/systemtap.log: "), "{kind}");
            assert!(!victim.exists());
        }
    }
}
