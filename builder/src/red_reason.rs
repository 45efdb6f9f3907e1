//! Why a job failed, in one line that is the same whenever and wherever it fails for that reason.
//!
//! The line goes into the signed manifest, so it may hold no time, process id or temporary name.

/// Longest reason, in bytes; a reason is a hint, the log has the rest.
const LONGEST: usize = 300;

/// Beginnings of the lines by which stap (parse and semantic errors), the compiler and make name an error.
const MARKS: [&str; 5] = ["parse error:", "semantic error:", "error:", "fatal error:", "ERROR:"];

/// Picks the first error that `log` names and normalises it.
#[must_use]
pub fn red_reason(log: &str) -> String {
    let line = MARKS
        .iter()
        .filter_map(|mark| log.lines().position(|line| names_error(line, mark)))
        .min()
        .and_then(|position| log.lines().nth(position))
        .or_else(|| log.lines().rev().find(|line| !line.trim().is_empty()))
        .unwrap_or("stap failed without a message");
    normalised(line)
}

/// Whether the error's mark is in the line as a word of its own.
fn names_error(line: &str, mark: &str) -> bool {
    line.find(mark).is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric()))
}

fn normalised(line: &str) -> String {
    let words: Vec<String> = line.split_ascii_whitespace().map(normalised_word).collect();
    let text: String = words
        .join(" ")
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(LONGEST)
        .collect();
    text.trim_end().to_owned()
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
        "Cannot allocate memory",
        "virtual memory exhausted",
        "out of memory",
        "Killed",
        "Input/output error",
        "Resource temporarily unavailable",
    ];
    SIGNS.iter().any(|sign| log.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_the_reason() {
        let log = "WARNING: something\nsemantic error: while resolving probe point: identifier 'kernel' at script/src/a.stp:1:7\n\
                   semantic error: no match\nPass 2: analysis failed.  [man error::pass2]\n";
        assert_eq!(
            red_reason(log),
            "semantic error: while resolving probe point: identifier 'kernel' at script/src/a.stp:1:7"
        );
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
    }
}
