//! What a terminal shows while a build runs: a line for each running job, and below them the totals. The lines are a function
//! of the state, the time and the terminal's size; drawing them is left to the caller.

use std::time::Duration;

/// How far a build is.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Cells in the matrix, and those with a result.
    pub cells: usize,
    pub done: usize,
    /// Among the latter.
    pub cached: usize,
    pub compiled: usize,
    pub red: usize,
    pub skipped: usize,
    /// Compiles that get on at full speed side by side.
    pub at_full_speed: usize,
    running: Vec<Running>,
    /// CPU time of what was left to be done at a moment, running jobs whole.
    left: Option<Duration>,
}

/// A job or a leader at work.
#[derive(Debug)]
struct Running {
    what: String,
    kernel: String,
    /// Where, if that isn't this machine.
    server: Option<String>,
    /// Time of the build at which it was begun.
    since: Duration,
}

impl Live {
    /// A compile of script `what`, or a leader that makes part `what`, has begun.
    pub(super) fn begun(&mut self, what: &str, kernel: &str, server: Option<String>, since: Duration) {
        self.running.push(Running { what: what.to_owned(), kernel: kernel.to_owned(), server, since });
    }

    /// It has ended.
    pub(super) fn ended(&mut self, what: &str, kernel: &str, server: Option<&str>) {
        let is_it = |running: &Running| {
            running.what == what && running.kernel == kernel && running.server.as_deref() == server
        };
        if let Some(place) = self.running.iter().position(is_it) {
            self.running.remove(place);
        }
    }

    /// Nothing runs at that server any more.
    pub(super) fn lost(&mut self, server: &str) {
        self.running.retain(|running| running.server.as_deref() != Some(server));
    }

    /// So much CPU time is left to be spent, on running jobs too.
    pub(super) fn work_left(&mut self, cpu: Duration) {
        self.left = Some(cpu);
    }

    /// The lines, at a time of the build, for a terminal of that size. None is longer than the terminal is wide, and they
    /// leave a line of it free, so that it doesn't scroll.
    pub(super) fn lines(&self, now: Duration, terminal: Size) -> Vec<String> {
        // In the last column many terminals go on to the next line.
        let width = terminal.columns.saturating_sub(1);
        let room = terminal.rows.saturating_sub(2).max(1);
        let mut shown: Vec<&Running> = self.running.iter().collect();
        shown.sort_by_key(|running| running.since);
        let hidden = if shown.len() > room { shown.len() + 1 - room } else { 0 };
        shown.truncate(self.running.len() - hidden);
        let widest = shown.iter().map(|running| running.what.chars().count()).max().unwrap_or_default();
        let mut lines: Vec<String> = shown
            .iter()
            .map(|running| {
                let Running { what, kernel, server, since } = running;
                let server = server.as_ref().map_or_else(String::new, |server| format!("  at {server}"));
                let elapsed = clock(now.saturating_sub(*since));
                cut(&format!("{elapsed:>7}  {what:<widest$}  {kernel}{server}"), width)
            })
            .collect();
        if hidden > 0 {
            lines.push(cut(&format!("{:7}  and {hidden} more", ""), width));
        }
        lines.push(cut(&self.totals(now), width));
        lines
    }

    fn totals(&self, now: Duration) -> String {
        let Self { cells, done, .. } = self;
        let elapsed = clock(now);
        if *cells == 0 {
            return format!("{elapsed:>7}");
        }
        // The most urgent first: a narrow terminal cuts the rest off.
        let left = self.time_left(now).map_or_else(String::new, |left| format!(", {} left", about(left)));
        let kinds = [
            (self.red, "red"),
            (self.compiled, "compiled"),
            (self.cached, "cached"),
            (self.skipped, "skipped"),
        ];
        let kinds: Vec<String> = kinds
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
        format!("{elapsed:>7}  {done}/{cells} cells{left}{kinds}")
    }

    /// What is left of the work, shared among those that can work at it. `None` if nobody knows, or if all of it has taken
    /// longer than expected.
    fn time_left(&self, now: Duration) -> Option<Duration> {
        let part = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let spent: Duration = self.running.iter().map(|running| now.saturating_sub(running.since)).sum();
        // More than the cores are enough for get a part of one each.
        let running = self.running.len().max(1);
        let spent = spent / part(running) * part(running.min(self.at_full_speed.max(1)));
        let left = self.left?.checked_sub(spent).filter(|left| !left.is_zero())?;
        let most = self.at_full_speed.min(self.cells.saturating_sub(self.done)).max(1);
        Some(left / part(most))
    }
}

/// `0:07`, `12:30`, `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let hours = seconds / 3600;
    let minutes = seconds / 60 % 60;
    let seconds = seconds % 60;
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

/// An estimate needs no more than one figure or two.
fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => "a few seconds".to_owned(),
        10..90 => format!("about {} s", seconds.div_ceil(10) * 10),
        90..5400 => format!("about {} min", (seconds + 30) / 60),
        _ => format!("about {}.{} h", seconds / 3600, seconds % 3600 / 360),
    }
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

fn cut(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shown(live: &Live, seconds: u32, columns: usize, rows: usize) -> String {
        live.lines(SECOND * seconds, Size { columns, rows }).join("\n")
    }

    fn busy() -> Live {
        let mut live =
            Live { cells: 24, done: 11, cached: 8, compiled: 2, red: 1, at_full_speed: 2, ..Live::default() };
        live.begun("tracepoint scan", "6.12.90-amd64", None, SECOND * 10);
        live.begun("net_drop", "6.1.0-47-amd64", Some("farm.example:5003".to_owned()), SECOND * 70);
        live
    }

    #[test]
    fn each_running_job_has_a_line_and_the_totals_are_below() {
        let mut live = busy();
        insta::assert_snapshot!(shown(&live, 75, 80, 24), @r"
            1:05  tracepoint scan  6.12.90-amd64
            0:05  net_drop         6.1.0-47-amd64  at farm.example:5003
            1:15  11/24 cells: 1 red, 2 compiled, 8 cached
        ");
        live.work_left(SECOND * 270);
        live.ended("tracepoint scan", "6.12.90-amd64", None);
        insta::assert_snapshot!(shown(&live, 3700, 80, 24), @r"
        1:00:30  net_drop  6.1.0-47-amd64  at farm.example:5003
        1:01:40  11/24 cells: 1 red, 2 compiled, 8 cached
        ");
        live.lost("farm.example:5003");
        insta::assert_snapshot!(shown(&live, 76, 80, 24), @"   1:16  11/24 cells, about 2 min left: 1 red, 2 compiled, 8 cached");
    }

    #[test]
    fn a_narrow_or_low_terminal_is_not_overrun() {
        let mut live = busy();
        live.work_left(SECOND * 100);
        insta::assert_snapshot!(shown(&live, 75, 40, 24), @r"
            1:05  tracepoint scan  6.12.90-amd64
            0:05  net_drop         6.1.0-47-amd…
            1:15  11/24 cells, about 20 s left:…
        ");
        for number in 0..40 {
            live.begun(&format!("script_{number}"), "6.1.0", None, SECOND * 72);
        }
        insta::assert_snapshot!(shown(&live, 75, 80, 6), @r"
            1:05  tracepoint scan  6.12.90-amd64
            0:05  net_drop         6.1.0-47-amd64  at farm.example:5003
            0:03  script_0         6.1.0
                  and 39 more
            1:15  11/24 cells, about 50 s left: 1 red, 2 compiled, 8 cached
        ");
        for (columns, rows) in [(0, 0), (1, 1), (3, 2), (12, 3), (80, 24)] {
            let lines = live.lines(SECOND * 75, Size { columns, rows });
            assert!(lines.len() < rows.max(3), "{columns} × {rows}: {lines:?}");
            assert!(
                lines.iter().all(|line| line.chars().count() < columns.max(1)),
                "{columns} × {rows}: {lines:?}"
            );
        }
    }

    #[test]
    fn the_time_left_is_that_of_those_who_work_at_it() {
        let mut live = Live { cells: 10, at_full_speed: 4, ..Live::default() };
        let left = |live: &Live, seconds: u32| live.time_left(SECOND * seconds).map(|left| left.as_secs());
        assert_eq!(left(&live, 0), None, "nothing is known");
        live.work_left(SECOND * 80);
        assert_eq!(left(&live, 0), Some(20));
        live.begun("a", "1.0", None, Duration::ZERO);
        live.begun("b", "1.0", None, Duration::ZERO);
        assert_eq!(left(&live, 20), Some(10));
        live.at_full_speed = 1;
        assert_eq!(left(&live, 20), Some(60), "two that share one core have done half");
        live.at_full_speed = 4;
        live.done = 9;
        assert_eq!(left(&live, 20), Some(40), "the last cell occupies one worker");
        assert_eq!(left(&live, 40), None, "they take longer than expected");
        for (seconds, text) in
            [(3, "a few seconds"), (12, "about 20 s"), (100, "about 2 min"), (9000, "about 2.5 h")]
        {
            assert_eq!(about(SECOND * seconds), text);
        }
    }
}
