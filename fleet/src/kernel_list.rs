//! Lists of kernels as administrators gather them from a fleet: releases, lines of `uname`, tables, and what ansible and ssh print around them.

mod line;
mod table;

use bundle_format::{KernelRelease, Machine};

use line::{Line, in_words, line_of, may_be_release};
use table::Table;

/// A kernel of a list, and what is known of the host that runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKernel {
    /// What `uname -r` prints, or the path of a build tree.
    pub kernel: String,
    pub host: Option<String>,
    /// What `uname -v` prints, its words divided by single blanks.
    pub uname_v: Option<String>,
    pub machine: Option<Machine>,
}

impl ListedKernel {
    fn new(kernel: &str) -> Self {
        Self { kernel: kernel.to_owned(), host: None, uname_v: None, machine: None }
    }

    fn on(self, host: Option<&str>) -> Self {
        Self { host: host.map(str::to_owned).or(self.host), ..self }
    }
}

/// A line that names no kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Counted from 1.
    pub line: usize,
    pub text: String,
}

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelList {
    /// In the order of the lines.
    pub kernels: Vec<ListedKernel>,
    pub passed_over: Vec<PassedOver>,
}

/// Reads a list. Empty lines and those that begin with `#` are comments; what names no kernel is passed over and named.
#[must_use]
pub fn kernels_in(bytes: &[u8]) -> KernelList {
    let text = decoded(bytes);
    let mut list = KernelList::default();
    let mut state = Reading::default();
    for (position, line) in text.lines().enumerate() {
        let line = line.trim();
        match state.read(line) {
            Line::Kernel(kernel) => list.kernels.push(kernel),
            Line::Nothing => {}
            Line::Junk => list.passed_over.push(PassedOver { line: position + 1, text: line.to_owned() }),
        }
    }
    list
}

/// Windows writes a mark at the beginning, and UTF-16 behind some of them.
fn decoded(bytes: &[u8]) -> String {
    let sixteen = |rest: &[u8], order: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.as_chunks::<2>().0.iter().map(|pair| order(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => sixteen(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => sixteen(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8_lossy(rest).into_owned(),
    }
}

/// What earlier lines say of the next one.
#[derive(Debug, Default)]
struct Reading {
    /// A line of ansible or pssh has named the host of the next line.
    host: Option<String>,
    /// In what ansible says of a host that it didn't reach: it ends with a line `}`.
    in_failure: bool,
    table: Option<Table>,
}

impl Reading {
    fn read(&mut self, line: &str) -> Line {
        if self.in_failure {
            self.in_failure = line != "}";
            return Line::Nothing;
        }
        if line.is_empty() || line.starts_with('#') {
            return Line::Nothing;
        }
        if let Some(said) = self.of_ansible(line).or_else(|| self.of_pssh(line)) {
            return said;
        }
        match self.of_table(line).unwrap_or_else(|| line_of(line)) {
            // A host may greet before it answers.
            Line::Kernel(kernel) => Line::Kernel(kernel.on(self.host.take().as_deref())),
            other => other,
        }
    }

    /// `web7 | CHANGED | rc=0 >>`, with what the command printed below it, or behind `(stdout)`.
    fn of_ansible(&mut self, line: &str) -> Option<Line> {
        let mut parts = line.splitn(4, " | ");
        let host = parts.next().filter(|host| !host.contains(char::is_whitespace))?;
        let status = parts.next()?;
        self.host = None;
        let Some(code) = parts.next() else {
            self.in_failure = status.ends_with("=> {");
            return Some(Line::Junk);
        };
        if !code.starts_with("rc=0") {
            return Some(Line::Junk);
        }
        if let Some(printed) = parts.next() {
            return Some(match in_words(printed.strip_prefix("(stdout) ").unwrap_or(printed)) {
                Line::Kernel(kernel) => Line::Kernel(kernel.on(Some(host))),
                other => other,
            });
        }
        self.host = Some(host.to_owned());
        Some(Line::Nothing)
    }

    /// `[1] 12:00:00 [SUCCESS] web7`, with what the command printed below it.
    fn of_pssh(&mut self, line: &str) -> Option<Line> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [number, _, status, host, ..] = &words[..] else { return None };
        let number = number.strip_prefix('[')?.strip_suffix(']')?;
        number.parse::<u32>().ok()?;
        self.host = None;
        if *status != "[SUCCESS]" {
            return Some(Line::Junk);
        }
        self.host = Some((*host).to_owned());
        Some(Line::Nothing)
    }

    /// `None` if the line is none of a table.
    fn of_table(&mut self, line: &str) -> Option<Line> {
        if let Some(table) = &self.table
            && let Some(kernel) = table.row(line)
        {
            return Some(Line::Kernel(kernel));
        }
        if let Some(table) = Table::with_heading(line) {
            self.table = Some(table);
            return Some(Line::Nothing);
        }
        table::without_heading(line).map(Line::Kernel)
    }
}

#[cfg(test)]
mod tests;
