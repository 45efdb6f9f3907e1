//! The CPU time of a child that has ended but isn't reaped yet.

use std::time::Duration;

use rustix::process::Pid;

use crate::process::stat_text;

/// User plus system time of `pid` and of those of its descendants that were waited for.
///
/// Read from `/proc/PID/stat`, which a zombie still has; `None` where /proc isn't mounted.
pub(crate) fn cpu_time_of_zombie(pid: Pid) -> Option<Duration> {
    let stat = stat_text(rustix::fs::CWD, &format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    cpu_time_in(&stat, rustix::param::clock_ticks_per_second())
}

/// Adds utime, stime, cutime and cstime, fields 14 to 17 of `proc_pid_stat(5)`.
fn cpu_time_in(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    // The command name, field 2, may hold blanks and parentheses: what follows its last parenthesis is well-formed.
    let after_name = &stat[stat.rfind(')')? + 1..];
    let fields: Vec<u64> = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let ticks: u64 = (fields.len() == 4).then(|| fields.iter().sum())?;
    Some(Duration::from_millis(ticks.checked_mul(1000)?.checked_div(ticks_per_second)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fields_are_added_past_a_strange_name() {
        let stat = "7 (a) b (c) Z 1 7 7 0 -1 4194316 100 0 0 0 25 10 300 65 20 0 1 0 0";
        assert_eq!(cpu_time_in(stat, 100), Some(Duration::from_secs(4)));
        assert_eq!(cpu_time_in("7 (a) Z 1 2", 100), None);
        assert_eq!(cpu_time_in("", 100), None);
    }
}
