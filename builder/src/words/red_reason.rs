//! Why a job failed, in one line that is the same whenever and wherever it fails for that reason.
//!
//! The line goes into the signed manifest, so it may hold no time, process id or temporary name.

use super::known_failures::meaning;

/// Longest reason, in bytes; a reason is a hint, the log has the rest.
const LONGEST: usize = 300;

/// Beginnings of the lines by which stap (parse and semantic errors), the compiler and make name an error.
const MARKS: [&str; 5] = ["parse error:", "semantic error:", "error:", "fatal error:", "ERROR:"];

/// Why the compile with this log failed: what a known failure means and what to do, then what stap said.
#[must_use]
pub fn red_reason(log: &str) -> String {
    let said = first_error(log);
    match meaning(log) {
        Some(meaning) => shortened(&format!("{meaning}; {said}")),
        None => said,
    }
}

/// Picks the first error that `log` names and normalises it. stap first says what it was doing ("while resolving probe
/// point") and then, in an error of its own, what was wrong; between them stands the source. All three make the reason.
fn first_error(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let is_error = |line: &&str| MARKS.iter().any(|mark| names_error(line, mark));
    let Some(first) = lines.iter().position(is_error) else {
        let last = lines.iter().rev().find(|line| !line.trim().is_empty());
        return normalised(last.unwrap_or(&"stap failed without a message"));
    };
    let line = lines.get(first).copied().unwrap_or_default();
    let rest = lines.get(first + 1..).unwrap_or_default();
    if !line.contains("error: while ") {
        return normalised(line);
    }
    let source = rest.iter().find_map(|line| line.trim().strip_prefix("source: "));
    let cause = rest.iter().find(|line| is_error(line));
    let parts = [cause.copied(), Some(line.trim_start_matches("semantic error: ")), source];
    normalised(&parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// Whether the error's mark is in the line as a word of its own.
fn names_error(line: &str, mark: &str) -> bool {
    line.find(mark).is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
}

fn normalised(line: &str) -> String {
    let words: Vec<String> = line.split_ascii_whitespace().map(normalised_word).collect();
    let text: String =
        words.join(" ").chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    shortened(&text)
}

/// At most [`LONGEST`] bytes of a text in ASCII.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect::<String>().trim_end().to_owned()
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
pub fn may_pass_next_time(log: &str) -> bool {
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

/// Whether a line repeats source: `source: …` of stap, `  12 | …` of the compiler.
fn quotes_source(line: &str) -> bool {
    let line = line.trim_start();
    let is_numbered = |(number, _): (&str, &str)| number.trim_end().bytes().all(|byte| byte.is_ascii_digit());
    line.starts_with("source:") || line.split_once('|').is_some_and(is_numbered)
}

/// The signal that has killed stap, where a shell or the sandbox passes it on as an exit code.
pub(crate) fn killed_by(code: i32) -> Option<i32> {
    const SIGNAL_CODES: i32 = 128;
    (code >= SIGNAL_CODES).then_some(code - SIGNAL_CODES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_reason() {
        let log = "WARNING: something\nsemantic error: while resolving probe point: identifier 'kernel' at \
                   script/src/a.stp:1:7\n        source: probe kernel.trace(\"x\") {\n                      ^\n\n\
                   semantic error: no match\nPass 2: analysis failed.  [man error::pass2]\n";
        assert_eq!(
            red_reason(log),
            "this kernel has no such tracepoint: make the probe optional (`?`), or leave the script out for it; semantic \
             error: no match; while resolving probe point: identifier 'kernel' at script/src/a.stp:1:7; probe \
             kernel.trace(\"x\") {"
        );
        assert_eq!(red_reason("a\nparse error: unexpected x\nerror: y\n"), "parse error: unexpected x");
    }

    #[test]
    fn temporary_names_and_strange_characters_are_gone() {
        let log = "/tmp/stapAbC12x/a_src.c:12:3: error: \u{2018}foo\u{2019} undeclared\nmake[1]: *** [x] Error 1\nPass 4: compilation failed.\n";
        assert_eq!(red_reason(log), "a_src.c:12:3: error: ?foo? undeclared");
        assert_eq!(red_reason("error: in /mnt/script/x\n"), "error: in script/x");
    }

    #[test]
    fn there_is_always_a_reason_and_it_is_short() {
        assert_eq!(red_reason(""), "stap failed without a message");
        assert_eq!(red_reason("first\nlast words\n\n"), "last words");
        assert_eq!(red_reason(&format!("error: {}", "x".repeat(1000))).len(), LONGEST);
        assert_eq!(red_reason("terror: no\nparse error: yes\n"), "parse error: yes");
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
