//! Why a job failed, in one line that is the same whenever and wherever it fails for that reason.
//!
//! The line goes into the signed manifest, so it may hold no time, process id or temporary name.

use super::failure::{Circumstances, Failure};
use super::first_error::quotes_source;
use super::known_failures::{TRACEPOINT, meaning};

/// Longest reason, in bytes; a reason is a hint, the log has the rest.
const LONGEST: usize = 500;

/// Most of it that is stap's own.
const LONGEST_SAID: usize = 300;

/// Why a compile failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedReason {
    /// What a known failure means and what to do, then what stap said.
    pub text: String,
    /// Whether the same compile may go well without a change that its key covers.
    pub may_pass_next_time: bool,
    /// Whether what is missing is a tracepoint.
    pub lacks_tracepoint: bool,
}

/// Why the compile with this log failed.
#[must_use]
pub(crate) fn red_reason(log: &str, circumstances: &Circumstances<'_>) -> RedReason {
    // The compiler quotes as the locale has it.
    let log = log.replace(['\u{2018}', '\u{2019}'], "'");
    let failure = Failure::new(&log, *circumstances);
    let said = said(&failure);
    let short = may_pass_next_time(&log);
    match meaning(&failure) {
        Some(meaning) => RedReason {
            text: shortened(&printable(&format!("{}; {said}", meaning.sentence)), LONGEST),
            may_pass_next_time: short || meaning.ends.without_the_key(circumstances),
            lacks_tracepoint: meaning.class == TRACEPOINT,
        },
        None => RedReason { text: said, may_pass_next_time: short, lacks_tracepoint: false },
    }
}

/// What stap said first. Where nothing in the log looks like an error, its last words.
fn said(failure: &Failure<'_>) -> String {
    if failure.error.said.line.is_empty() {
        let last = failure.log.lines().rev().find(|line| !line.trim().is_empty());
        return normalised(last.unwrap_or("stap failed without a message"));
    }
    normalised(&failure.error.in_one_line())
}

fn normalised(line: &str) -> String {
    let words: Vec<String> = line.split_ascii_whitespace().map(normalised_word).collect();
    shortened(&printable(&words.join(" ")), LONGEST_SAID)
}

/// ASCII only.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

/// At most `longest` bytes of a text in ASCII.
fn shortened(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect::<String>().trim_end().to_owned()
}

/// Drops what changes from run to run: stap's directory below /tmp, the place of the work directory.
fn normalised_word(word: &str) -> String {
    let Some(at) = word.find("/tmp/stap") else {
        return word.replace("/mnt/", "");
    };
    let rest = &word[at + "/tmp/".len()..];
    let rest = rest.split_once('/').map_or("", |(_, rest)| rest);
    format!("{}{rest}", &word[..at])
}

/// Whether the failure may be the machine's fault: such a failure is tried again, never remembered.
#[must_use]
pub(crate) fn may_pass_next_time(log: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "No space left on device",
        // Of the job's limit: the next build may have a higher one.
        "File too large",
        "Cannot allocate memory",
        "virtual memory exhausted",
        "out of memory",
        "Input/output error",
        "Resource temporarily unavailable",
    ];
    const SHORT_SIGNS: [&str; 2] = ["Killed", "File size limit exceeded"];
    let mut said = log.lines().filter(|line| !quotes_source(line));
    said.any(|line| {
        SIGNS.iter().any(|sign| line.contains(sign))
            // Short enough to be a name in a script, which stap repeats in its own errors.
            || !line.contains("semantic error:")
                && !line.contains("parse error:")
                && SHORT_SIGNS.iter().any(|sign| line.contains(sign))
    })
}

/// The signal that has killed stap, where a shell or the sandbox passes it on as an exit code.
pub(crate) fn killed_by(code: i32) -> Option<i32> {
    const SIGNAL_CODES: i32 = 128;
    (code >= SIGNAL_CODES).then_some(code - SIGNAL_CODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(log: &str) -> String {
        red_reason(log, &Circumstances::default()).text
    }

    #[test]
    fn a_reason_is_what_to_do_then_the_first_error_with_its_cause_and_its_source() {
        let log = "WARNING: something\nsemantic error: while resolving probe point: identifier 'kernel' at \
                   script/src/a.stp:1:7\n        source: probe kernel.trace(\"x\") {\n                      ^\n\n\
                   semantic error: no match\nPass 2: analysis failed.  [man error::pass2]\n";
        assert_eq!(
            reason(log),
            "no trace header of this kernel's build tree has the tracepoint x: make the probe optional (`?`) or leave the script \
             out; a tracepoint of a module may have its header in the kernel's full source alone (-r PATH); semantic error: no \
             match; while resolving probe point: identifier 'kernel' at script/src/a.stp:1:7; probe kernel.trace(\"x\") {"
        );
        assert_eq!(reason("a\nparse error: unexpected x\nerror: y\n"), "parse error: unexpected x");
    }

    #[test]
    fn temporary_names_and_strange_characters_are_gone() {
        let log = "/tmp/stapAbC12x/a_src.c:12:3: error: \u{2018}foo\u{2019} \u{e4}\nmake[1]: *** [x] Error 1\nPass 4: compilation failed.\n";
        assert_eq!(reason(log), "a_src.c:12:3: error: 'foo' ?");
        assert_eq!(reason("error: in /mnt/script/x\n"), "error: in script/x");
    }

    #[test]
    fn there_is_always_a_reason_and_it_is_short() {
        assert_eq!(reason(""), "stap failed without a message");
        assert_eq!(reason("first\nlast words\n\n"), "last words");
        assert_eq!(reason(&format!("error: {}", "x".repeat(1000))).len(), LONGEST_SAID);
        assert_eq!(reason("terror: no\nparse error: yes\n"), "parse error: yes");
    }

    #[test]
    fn a_lack_of_space_is_not_the_scripts_fault() {
        assert!(may_pass_next_time("cc1: error: x: No space left on device"));
        assert!(!may_pass_next_time("semantic error: no match"));
        assert!(may_pass_next_time("gcc: fatal error: Killed signal terminated program cc1"));
    }

    /// Such a script was compiled again by every build.
    #[test]
    fn a_quoted_line_of_the_script_was_taken_for_a_kill() {
        let log = "semantic error: type mismatch (long): identifier 'Killed' at script/src/a.stp:3:9\n        source: \
                   \tprintln(\"Killed, out of memory\" + 1)\n                       ^\n";
        assert!(!may_pass_next_time(log));
        assert!(!may_pass_next_time(
            "a_src.c:3:1: error: x\n   12 | /* Input/output error */\n      | ^~~~~\n"
        ));
        assert!(may_pass_next_time(&format!("{log}Killed\n")));
    }
}
