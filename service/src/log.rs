//! `LOG_FILE`, in the initscript's own line format: `Mon dd HH:MM:SS: text`, local time (INIT-LOG-01).
//!
//! A log that can't be written never stops a start.

use std::fs::OpenOptions;
use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};

use crate::Host;

/// Appends one line. Ends of lines and control characters inside `text` become blanks, so that nothing can forge a line.
pub(crate) fn line(host: &Host, text: &str) {
    let line = format_line(host.now(), &TimeZone::system(), text);
    if let Some(dir) = host.log_file.parent() {
        let _ = std::fs::create_dir_all(dir);
    }
    // One write in append mode: lines of parallel loads don't mix.
    let file = OpenOptions::new().append(true).create(true).open(&host.log_file);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}

fn format_line(seconds: u64, zone: &TimeZone, text: &str) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.clone());
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}: {}\n", time.strftime("%b %d %H:%M:%S"), text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_log_01_a_line_has_month_day_time_and_text() {
        let line = format_line(1_700_000_000, &TimeZone::UTC, "net_drop: started\nJan 01 00:00:00: forged");
        assert_eq!(line, "Nov 14 22:13:20: net_drop: started Jan 01 00:00:00: forged\n");
    }
}
