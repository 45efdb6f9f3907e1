//! The first error in a log: what it says, of what, and where.
//!
//! ```text
//! semantic error: while resolving probe point: identifier 'kernel' at script/src/a.stp:1:7     doing
//!         source: probe kernel.trace("x") {
//! semantic error: no match                                                                     said
//!
//! parse error: expected literal string or number                                               said
//!         saw: operator ')' at script/src/a.stp:2:31
//!      source: probe timer.s(1) { println(1 +) }
//! ```
//! Warnings and quoted source are no errors.

/// Beginnings of the lines by which stap (parse and semantic errors), the compiler and make name an error.
const MARKS: [&str; 5] = ["parse error:", "semantic error:", "error:", "fatal error:", "ERROR:"];

/// What a shell and make say of what they can't run or read, and stap of its options: they use none of the marks.
const SHELL_MARKS: [&str; 6] = [
    ": not found",
    ": command not found",
    ": Exec format error",
    ": No such file or directory",
    ": Permission denied",
    "*** ",
];

/// By which stap names what it was about, before the error itself.
const DOING: &str = "error: while ";

/// One error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said<'l> {
    /// The line.
    pub line: &'l str,
    /// What was there instead of what was expected, and where: `operator ')' at script/src/a.stp:2:31`.
    pub saw: Option<&'l str>,
    /// The line of source that stap quotes, as it is.
    pub source: Option<&'l str>,
    /// The line of C code that the compiler quotes.
    pub code: Option<&'l str>,
}

/// The first error of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FirstError<'l> {
    pub said: Said<'l>,
    /// What stap was about when it found the error.
    pub doing: Option<Said<'l>>,
}

impl<'l> FirstError<'l> {
    pub(super) fn of(log: &'l str) -> Option<Self> {
        let lines: Vec<&str> = log.lines().collect();
        let marked =
            |is_one: fn(&str) -> bool| lines.iter().position(|line| is_one(line) && !quotes_source(line));
        let first = marked(names_error).or_else(|| marked(of_shell))?;
        let said = Said::at(&lines, first);
        if !said.line.contains(DOING) {
            return Some(Self { said, doing: None });
        }
        let rest = lines.iter().enumerate().skip(first + 1);
        let cause = rest.clone().find(|(_, line)| names_error(line) && !quotes_source(line));
        Some(match cause {
            Some((cause, _)) => Self { said: Said::at(&lines, cause), doing: Some(said) },
            None => Self { said, doing: None },
        })
    }

    /// The probe point, or the line, that it is about.
    pub(super) fn source(&self) -> Option<&'l str> {
        self.doing.and_then(|doing| doing.source).or(self.said.source)
    }

    /// In one line: what is wrong, where, and the source.
    pub(super) fn in_one_line(&self) -> String {
        let Self { said, doing } = self;
        let saw = said.saw.map(|saw| format!("saw: {saw}"));
        let doing = doing.map(|doing| doing.line.trim_start_matches("semantic error: ").to_owned());
        let parts =
            [Some(said.line.to_owned()), saw, doing, self.source().map(|source| source.trim().to_owned())];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl<'l> Said<'l> {
    /// The error in the line `at`, with the lines below it up to the next one.
    fn at(lines: &[&'l str], at: usize) -> Self {
        let line = lines.get(at).copied().unwrap_or_default();
        let below =
            lines.iter().skip(at + 1).take_while(|line| !line.trim().is_empty() && !names_error(line));
        let below: Vec<&'l str> = below.map(|line| line.trim_start()).collect();
        let after = |names: &[&str]| {
            names.iter().find_map(|name| below.iter().find_map(|line| line.strip_prefix(name)))
        };
        Self { line, saw: after(&["saw: ", "at: "]), source: after(&["source: "]), code: numbered(&below) }
    }

    /// The column in the quoted source that it is about, from 0.
    pub(super) fn column(&self) -> Option<usize> {
        let (_, column) = self.line.rsplit_once(':')?;
        column.parse::<usize>().ok()?.checked_sub(1)
    }
}

/// Whether an error's mark is in the line as a word of its own.
fn names_error(line: &str) -> bool {
    // With `-v` stap says of each of its parts that it has given up, before it says why.
    let gives_up = line.starts_with("semantic error: resolution failed in ");
    // `[man error::pass4]` is no error.
    let is_word = |at: usize, mark: &str| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric()) && !line[at + mark.len()..].starts_with(':')
    };
    !gives_up && MARKS.iter().any(|mark| line.match_indices(mark).any(|(at, _)| is_word(at, mark)))
}

fn of_shell(line: &str) -> bool {
    line.starts_with("stap: ") || SHELL_MARKS.iter().any(|mark| line.contains(mark))
}

/// The first line that the compiler quotes: `  12 | …`.
fn numbered<'l>(lines: &[&'l str]) -> Option<&'l str> {
    lines.iter().find(|line| line.starts_with(|c: char| c.is_ascii_digit()) && quotes_source(line)).copied()
}

/// Whether a line repeats source: `source: …` of stap, `  12 | …` of the compiler.
pub(super) fn quotes_source(line: &str) -> bool {
    let line = line.trim_start();
    let is_numbered = |(number, _): (&str, &str)| number.trim_end().bytes().all(|byte| byte.is_ascii_digit());
    line.starts_with("source:") || line.split_once('|').is_some_and(is_numbered)
}
