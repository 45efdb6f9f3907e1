//! What a report says of a red cell's log: the pass that failed, and the last lines.

use std::path::Path;

use files::read::read;

/// Lines of the log that stand in a report; the cache has the whole.
const LAST: usize = 20;
/// Most bytes of a log that are read: four times what a build keeps of one.
pub(super) const LONGEST_LOG: u64 = 1 << 20;

/// An excerpt of a compile's log.
#[derive(Debug, Default)]
pub(super) struct RedLog {
    /// Which of stap's passes failed, 1 to 5.
    pub(super) pass: Option<u8>,
    /// The last lines.
    pub(super) tail: Vec<String>,
}

impl RedLog {
    /// Reads a log; one that isn't there any more has nothing to say.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = read(path, LONGEST_LOG).unwrap_or_default();
        Self::of(&String::from_utf8_lossy(&bytes))
    }

    fn of(text: &str) -> Self {
        let failed = text.lines().find_map(|line| {
            let (number, rest) = line.strip_prefix("Pass ")?.split_once(':')?;
            rest.contains("failed").then_some(number)?.parse().ok()
        });
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LAST);
        Self { pass: failed, tail: lines.into_iter().skip(from).map(str::to_owned).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_pass_and_the_last_lines_are_kept() {
        let text = format!("{}Pass 2: analysis failed.  [man error::pass2]\nexit 1\n", "line\n".repeat(30));
        let log = RedLog::of(&text);
        assert_eq!((log.pass, log.tail.len()), (Some(2), 20));
        assert_eq!(log.tail.last().map(String::as_str), Some("exit 1"));
        assert_eq!(RedLog::of("Pass 1: parsed user script\n").pass, None);
        assert!(RedLog::read(Path::new("/nowhere")).tail.is_empty());
    }
}
