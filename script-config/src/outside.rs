//! What a file that bash evaluates asks of the machine: programs that tell something of it, its files, its environment. In the
//! sandbox bash has other answers than on a host, or none, and says nothing of it.
//!
//! The text isn't understood, only taken apart into words and commands; what bash would put together itself isn't seen.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use crate::assignments::{Owner, owner};
use crate::place::Place;
use crate::problem::{ConfigProblem, EvaluationCause};
use crate::source_text::SourceText;

/// Programs whose answer is about the machine on which they run, or about others.
const ASKING: [&str; 27] = [
    "arch",
    "command",
    "curl",
    "date",
    "df",
    "dmesg",
    "dmidecode",
    "dnsdomainname",
    "domainname",
    "free",
    "getconf",
    "getent",
    "hostname",
    "hostnamectl",
    "id",
    "ip",
    "lsb_release",
    "lscpu",
    "lsmod",
    "mount",
    "nproc",
    "systemctl",
    "type",
    "uname",
    "wget",
    "which",
    "whoami",
];

/// Commands whose words aren't files that are looked at, but for patterns behind `for`.
const SAYING: [&str; 18] = [
    ":", "case", "declare", "echo", "eval", "export", "false", "for", "function", "local", "printf",
    "readonly", "return", "set", "shift", "shopt", "typeset", "unset",
];

/// Behind these a command follows.
const KEYWORDS: [&str; 13] =
    ["!", "do", "done", "elif", "else", "esac", "fi", "if", "then", "time", "until", "while", "{"];

/// What the sandbox shows as it is on this machine, and what is the same everywhere.
const SHOWN: [&str; 8] =
    ["/usr/", "/bin/", "/sbin/", "/lib", "/dev/null", "/dev/std", "/dev/fd/", "/config/"];

/// A warning for each thing outside of the sandbox that the file asks, once.
pub(crate) fn questions(source: &SourceText) -> Vec<ConfigProblem> {
    let mut reader = Reader {
        chars: source.text.chars().peekable(),
        line: 1,
        open: vec![Frame::new(None)],
        found: Vec::new(),
    };
    reader.read();
    let mut seen = BTreeSet::new();
    reader.found.retain(|(_, what)| seen.insert(what.clone()));
    let place = |line| Place::whole_line(source.path.as_str(), line);
    let found = reader.found.into_iter();
    found
        .map(|(line, what)| ConfigProblem::new(Some(place(line)), EvaluationCause::Outside { what }))
        .collect()
}

/// A command that is being read; one in a substitution lies above the one around it.
struct Frame {
    /// The character that ends the substitution.
    closer: Option<char>,
    quoted: bool,
    /// The first word that is no assignment.
    command: Option<String>,
    word: String,
    /// The word is what a redirection reads.
    reads: bool,
}

impl Frame {
    const fn new(closer: Option<char>) -> Self {
        Self { closer, quoted: false, command: None, word: String::new(), reads: false }
    }
}

struct Reader<'t> {
    chars: Peekable<Chars<'t>>,
    line: u32,
    open: Vec<Frame>,
    /// Line and what is asked.
    found: Vec<(u32, String)>,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(c) = self.next() {
            let Some(frame) = self.open.last_mut() else { return };
            match c {
                '\\' => {
                    let escaped = self.next();
                    if let (Some(c), Some(frame)) = (escaped.filter(|c| *c != '\n'), self.open.last_mut()) {
                        frame.word.push(c);
                    }
                }
                '"' => frame.quoted = !frame.quoted,
                '\'' if !frame.quoted => self.single_quotes(),
                '$' => self.dollar(),
                '`' if frame.closer == Some('`') => self.close(),
                '`' => self.open.push(Frame::new(Some('`'))),
                _ if frame.quoted => frame.word.push(c),
                '#' if frame.word.is_empty() => self.comment(),
                ')' if frame.closer == Some(')') => self.close(),
                ' ' | '\t' => self.end_word(),
                '\n' | ';' | '|' | '&' | '(' | ')' => self.end_command(),
                '<' => {
                    self.end_word();
                    if let Some(frame) = self.open.last_mut() {
                        frame.reads = true;
                    }
                }
                _ => frame.word.push(c),
            }
        }
        while !self.open.is_empty() {
            self.close();
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        // A line's own word ends before the line is counted.
        if c == '\n' && self.open.last().is_some_and(|frame| !frame.quoted) {
            self.end_word();
        }
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn single_quotes(&mut self) {
        for c in self.chars.by_ref() {
            self.line += u32::from(c == '\n');
            if c == '\'' {
                return;
            }
            if let Some(frame) = self.open.last_mut() {
                frame.word.push(c);
            }
        }
    }

    fn comment(&mut self) {
        while self.chars.next_if(|c| *c != '\n').is_some() {}
    }

    fn dollar(&mut self) {
        match self.chars.peek() {
            Some('(') => {
                self.chars.next();
                self.open.push(Frame::new(Some(')')));
            }
            Some(_) => {
                let braced = self.chars.next_if_eq(&'{').is_some();
                let mut name = String::new();
                while let Some(c) = self.chars.next_if(|c| *c == '_' || c.is_ascii_alphanumeric()) {
                    name.push(c);
                }
                if is_of_the_machine(&name) {
                    self.found.push((self.line, format!("${name}")));
                }
                if let Some(frame) = self.open.last_mut() {
                    frame.word.push_str(if braced { "${" } else { "$" });
                    frame.word.push_str(&name);
                }
            }
            None => {}
        }
    }

    /// Ends a substitution; what it gives is part of the word around it.
    fn close(&mut self) {
        self.end_word();
        self.open.pop();
    }

    fn end_command(&mut self) {
        self.end_word();
        if let Some(frame) = self.open.last_mut() {
            frame.command = None;
        }
    }

    fn end_word(&mut self) {
        let Some(frame) = self.open.last_mut() else { return };
        let word = std::mem::take(&mut frame.word);
        if word.is_empty() {
            return;
        }
        let is_file = word.starts_with('/') && !SHOWN.iter().any(|shown| word.starts_with(shown));
        if std::mem::take(&mut frame.reads) {
            if is_file {
                self.found.push((self.line, word));
            }
            return;
        }
        let Some(command) = &frame.command else {
            let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
                let name = name.strip_suffix('+').unwrap_or(name);
                !name.is_empty()
                    && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric() || "[]".contains(c))
            });
            if is_assignment || KEYWORDS.contains(&word.as_str()) {
                return;
            }
            let program = word.rsplit('/').next().unwrap_or_default().to_owned();
            if ASKING.contains(&program.as_str()) {
                self.found.push((self.line, program));
            }
            frame.command = Some(word);
            return;
        };
        let is_pattern = command == "for" && word.contains(['*', '?', '[']);
        if is_file && (is_pattern || !SAYING.contains(&command.as_str())) {
            self.found.push((self.line, word));
        } else if command == "printf" && word.contains("%(") {
            self.found.push((self.line, "printf %(…)T".to_owned()));
        }
    }
}

/// Variables whose value bash or the environment gives, and which differ between machines. Others, such as `$LINENO`, don't.
fn is_of_the_machine(name: &str) -> bool {
    const OF_BASH: [&str; 11] = [
        "EPOCHREALTIME",
        "EPOCHSECONDS",
        "EUID",
        "GROUPS",
        "HOSTTYPE",
        "MACHTYPE",
        "OSTYPE",
        "PPID",
        "RANDOM",
        "SRANDOM",
        "UID",
    ];
    OF_BASH.contains(&name) || owner(name) == Owner::Environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Vec<String> {
        let source = SourceText { path: "f".into(), text: text.into() };
        let shown = |problem: &ConfigProblem| match problem.cause() {
            crate::Cause::Evaluation(EvaluationCause::Outside { what }) => {
                format!("{} {what}", problem.place().map(ToString::to_string).unwrap_or_default())
            }
            other => panic!("{other}"),
        };
        questions(&source).iter().map(shown).collect()
    }

    #[test]
    fn programs_files_and_variables_of_the_machine_are_named_with_their_lines() {
        for (text, expected) in [
            ("A=1\na_OPT=\"-D HOST=$(hostname -s)\"\n", "f:2 hostname"),
            ("a_OPT=`uname -r | cut -d. -f1`", "f:1 uname"),
            ("if [ -f /etc/redhat-release ]; then\nA=1\nfi", "f:1 /etc/redhat-release"),
            ("[[ -e \"/opt/x y\" ]] && A=1", "f:1 /opt/x y"),
            ("A=$(</proc/version)", "f:1 /proc/version"),
            ("while read -r w; do A=$w; done </etc/words", "f:1 /etc/words"),
            (". /etc/default/probes", "f:1 /etc/default/probes"),
            ("A=$(grep -c ^processor /proc/cpuinfo)", "f:1 /proc/cpuinfo"),
            ("a_OPT=\"-o /var/log/$HOSTNAME.out\"", "f:1 $HOSTNAME"),
            ("A=${USER:-nobody}", "f:1 $USER"),
            ("A=1\n\nB='x\ny'\nC=$(/bin/date +%F)", "f:5 date"),
            ("if ! id stap >/dev/null 2>&1; then A=1; fi", "f:1 id"),
            ("for f in /etc/stap.d/*; do A=$f; done", "f:1 /etc/stap.d/*"),
            ("[ -e /dev/sda ] && A=1", "f:1 /dev/sda"),
            ("command -v stap >/dev/null && A=1", "f:1 command"),
            ("printf -v A '%(%s)T' -1", "f:1 printf %(…)T"),
        ] {
            assert_eq!(asked(text), [expected], "{text}");
        }
        assert_eq!(
            asked("A=$(nproc)\nB=$(nproc)\nC=$(cat /etc/a /etc/b)"),
            ["f:1 nproc", "f:3 /etc/a", "f:3 /etc/b"]
        );
    }

    #[test]
    fn what_the_file_says_itself_is_no_question() {
        for text in [
            "a_OPT='-o /var/log/a.out'\nLOG_FILE=/var/log/x.log\nexport TEMP_PATH=/var/tmp",
            "# $(hostname) and [ -f /etc/x ]\nA=1 # date",
            "options() { echo \"-g -o /var/log/$1.out\"; }\na_OPT=$(options uname)",
            "for script in c d; do declare ${script}_OPT=\"-o /var/log/$script\"; done",
            "A=$((2 * 8))\nB=${A%date}\ncase $A in /x) B=1;; esac",
            "A='$(hostname) [ -f /etc/x ]'\nB=\\$HOME",
            "[ -x /usr/bin/stap ] && A=1\nA=$(echo no | tr a-z A-Z 2>/dev/null)",
            "A=\"unclosed $(echo x",
        ] {
            assert_eq!(asked(text), [""; 0], "{text}");
        }
    }
}
