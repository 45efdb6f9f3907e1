//! What bash wrote while it sourced configuration files: the variables that each changed, and what each printed.

use std::collections::BTreeSet;

use child::Captured;
use script_config::{ConfigProblem, EvaluatedFile, EvaluationCause, Place, SourceText, VariableChange};

/// What each of our own variables and functions in bash begins with.
pub(crate) const OURS: &str = "__stap_bundle_";

/// Characters that a message shows of a printed line.
const SHOWN: usize = 200;

/// What came over the descriptor for variables.
#[derive(Default)]
pub(crate) struct Words {
    /// The changes of each file; those before the first file are left out.
    changes: Vec<Vec<VariableChange>>,
    /// The file that bash began with last.
    pub begun: Option<usize>,
    /// How many files bash came to the end of.
    pub ended: usize,
}

impl Words {
    pub(crate) fn of(output: &Captured) -> Self {
        // `head` is all there is when no more than half of the cap was written.
        let mut words = output.head().split(|byte| *byte == 0);
        let mut all = Self::default();
        let text = |word: Option<&[u8]>| word.map(|word| String::from_utf8_lossy(word).into_owned());
        while let Some(kind) = words.next() {
            match kind {
                b"B" => {
                    all.begun = text(words.next()).and_then(|word| word.parse().ok());
                    all.changes.push(Vec::new());
                }
                b"E" => {
                    words.next();
                    all.ended += 1;
                }
                b"V" => {
                    let name = text(words.next());
                    let attributes = text(words.next());
                    if let (Some(name), Some(attributes), Some(value)) = (name, attributes, words.next()) {
                        let array = attributes.contains(['a', 'A']);
                        all.push(VariableChange::Set { name, array, text: value.to_vec() });
                    }
                }
                b"U" => {
                    if let Some(name) = text(words.next()) {
                        all.push(VariableChange::Unset { name });
                    }
                }
                _ => {}
            }
        }
        all
    }

    fn push(&mut self, change: VariableChange) {
        let (VariableChange::Set { name, .. } | VariableChange::Unset { name }) = &change;
        if let (Some(changes), false) = (self.changes.last_mut(), name.starts_with(OURS)) {
            changes.push(change);
        }
    }

    pub(crate) fn files(self, sources: &[SourceText]) -> Vec<EvaluatedFile> {
        let files = sources.iter().zip(self.changes);
        files.map(|(source, changes)| EvaluatedFile { source: source.clone(), changes }).collect()
    }
}

/// What bash and each file printed.
pub(crate) struct Printed {
    pub files: Vec<String>,
}

impl Printed {
    pub(crate) fn of(output: &[u8], files: usize) -> Self {
        let text = String::from_utf8_lossy(output);
        let mut parts = text.split('\0').skip(1);
        let mut all = vec![String::new(); files];
        // A file that prints NULs itself has its words lost, not another file's.
        while let Some(number) = parts.next() {
            if let Some(file) = number.parse().ok().and_then(|at: usize| all.get_mut(at)) {
                file.push_str(parts.next().unwrap_or_default());
            }
        }
        Self { files: all }
    }

    pub(crate) fn longest(&self) -> Option<usize> {
        (0..self.files.len()).max_by_key(|at| self.files.get(*at).map_or(0, String::len))
    }

    /// Complaints of bash, each at its line; and one for each file that prints something else.
    pub(crate) fn problems(&self, mount: &str, sources: &[SourceText]) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (source, printed) in sources.iter().zip(&self.files) {
            let mut known = BTreeSet::new();
            let mut first_other = None;
            for line in printed.lines().filter(|line| !line.trim().is_empty()) {
                match complaint(mount, line) {
                    // Of a syntax error bash shows the line too, as a second complaint.
                    Some((number, _)) if !known.insert(number) => {}
                    Some((number, text)) => {
                        let place = Place::whole_line(source.path.as_str(), number);
                        let cause = EvaluationCause::Complaint { text: text.to_owned() };
                        problems.push(ConfigProblem::new(Some(place), cause));
                    }
                    None => _ = first_other.get_or_insert(line),
                }
            }
            // A program that a file runs complains in words of its own.
            if let Some(line) = first_other {
                let text = line.chars().take(SHOWN).collect();
                let place = Place::whole_file(source.path.as_str());
                problems.push(ConfigProblem::new(Some(place), EvaluationCause::Prints { text }));
            }
        }
        problems
    }
}

/// Takes apart `/config/7: line 3: nosuch: command not found`.
fn complaint<'l>(mount: &str, line: &'l str) -> Option<(u32, &'l str)> {
    let rest = line.strip_prefix(mount)?.strip_prefix('/')?;
    let (_, rest) = rest.split_once(": ")?;
    // `eval: line 3:` and `-c: line 3:` count from the line of their command.
    let (_, rest) = rest.split_once("line ")?;
    let (number, text) = rest.split_once(": ")?;
    Some((number.parse().ok()?, text))
}

/// A line that was printed, without the name that only the sandbox knows; the start of it if it is long.
pub(crate) fn shown(mount: &str, line: Option<&str>) -> String {
    let line = line.unwrap_or_default();
    let (number, text) = complaint(mount, line)
        .map_or((String::new(), line), |(number, text)| (format!("line {number}: "), text));
    number + &text.chars().take(SHOWN).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_of_bash_has_a_line() {
        let texts = [
            ("/config/0: line 3: nosuch: command not found", Some((3, "nosuch: command not found"))),
            ("/config/12: eval: line 4: unexpected EOF", Some((4, "unexpected EOF"))),
            ("/config/0: line x: nothing", None),
            ("ls: cannot access '/x': No such file or directory", None),
            ("hello", None),
        ];
        for (line, expected) in texts {
            assert_eq!(complaint("/config", line), expected, "{line}");
        }
    }
}
