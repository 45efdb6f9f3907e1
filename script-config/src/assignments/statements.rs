//! From the text of a file to its assignments.

use super::cursor::{Cursor, Mark};
use super::refused::{depth_of_line, opens_block, other_word};
use super::values::{Part, ValueReader};
use crate::place::Place;
use crate::problem::ConfigProblem;
use crate::problem::SyntaxCause;

/// `NAME=value` or `NAME+=value`.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) append: bool,
    pub(super) value: Vec<Part>,
    pub(super) place: Place,
}

/// What one command of a file does.
#[derive(Debug)]
pub(super) enum Statement {
    /// An assignment, which those after it on the same line see.
    Assign(Assignment),
    /// `export` with its assignments, which don't see each other.
    Export(Vec<Assignment>),
}

/// Reads all statements of a file, and everything in it that is refused.
pub(super) fn read(file: &str, text: &str) -> (Vec<Statement>, Vec<ConfigProblem>) {
    let cursor = Cursor::new(file, text);
    let mut reader = Reader { cursor, statements: Vec::new(), block_stays_open: false };
    let mut problems = Vec::new();
    if text.starts_with('\u{feff}') {
        let place = reader.cursor.place();
        problems.push(ConfigProblem::new(Some(place), SyntaxCause::ByteOrderMark));
        reader.cursor.bump();
    }
    loop {
        reader.cursor.skip_blanks();
        match reader.cursor.peek() {
            None => break,
            Some('\n') => {
                reader.cursor.bump();
            }
            Some('#') => reader.cursor.skip_line(),
            Some(_) => {
                let start = reader.cursor.mark();
                if let Err(problem) = reader.command() {
                    reader.recover(start, &problem);
                    problems.push(problem);
                }
            }
        }
    }
    problems.extend(reader.cursor.into_unprintable());
    (reader.statements, problems)
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    statements: Vec<Statement>,
    block_stays_open: bool,
}

/// What stands behind a word of a command.
#[derive(PartialEq, Eq)]
enum Next {
    Word,
    End,
}

impl Reader<'_> {
    /// Reads the assignments up to the end of the line or a `;`.
    fn command(&mut self) -> Result<(), ConfigProblem> {
        let mut before: Option<Assignment> = None;
        loop {
            let start = self.cursor.mark();
            let place = self.cursor.place();
            let name = self.cursor.name();
            let Some(append) = self.assignment_operator(&name)? else {
                if name == "export" && before.is_none() && self.at_word_end() {
                    return self.export(&place);
                }
                self.cursor.return_to(start);
                return Err(other_word(&mut self.cursor, before.as_ref().map(|before| before.name.as_str())));
            };
            let value = ValueReader::new(&mut self.cursor, false).value()?;
            let assignment = Assignment { name, append, value, place };
            if let Some(done) = before.replace(assignment) {
                self.statements.push(Statement::Assign(done));
            }
            if self.next()? == Next::End {
                break;
            }
        }
        self.statements.extend(before.map(Statement::Assign));
        Ok(())
    }

    /// Takes `=` or `+=` behind a name; nothing if another thing stands there.
    fn assignment_operator(&mut self, name: &str) -> Result<Option<bool>, ConfigProblem> {
        if name.is_empty() {
            return Ok(None);
        }
        let mark = self.cursor.mark();
        let append = self.cursor.take('+');
        let place = self.cursor.place();
        if !self.cursor.take('=') {
            self.cursor.return_to(mark);
            return Ok(None);
        }
        if self.cursor.peek() == Some('(') {
            let cause = SyntaxCause::Array { name: name.to_owned() };
            return Err(ConfigProblem::new(Some(place), cause));
        }
        Ok(Some(append))
    }

    fn at_word_end(&mut self) -> bool {
        self.cursor.peek().is_none_or(|c| " \t\n;|&<>()".contains(c))
    }

    /// Reads what follows `export`.
    fn export(&mut self, export: &Place) -> Result<(), ConfigProblem> {
        let mut assignments = Vec::new();
        let mut words = 0;
        while self.next()? == Next::Word {
            words += 1;
            let start = self.cursor.mark();
            let place = self.cursor.place();
            let name = self.cursor.name();
            if let Some(append) = self.assignment_operator(&name)? {
                let value = ValueReader::new(&mut self.cursor, true).value()?;
                assignments.push(Assignment { name, append, value, place });
            } else if name.is_empty() || !self.at_word_end() {
                self.cursor.return_to(start);
                while !self.at_word_end() {
                    self.cursor.bump();
                }
                let text = self.cursor.since(start).to_owned();
                return Err(ConfigProblem::new(Some(place), SyntaxCause::ExportForm { text }));
            }
        }
        if words == 0 {
            let cause = SyntaxCause::ExportForm { text: "export".to_owned() };
            return Err(ConfigProblem::new(Some(export.clone()), cause));
        }
        self.statements.push(Statement::Export(assignments));
        Ok(())
    }

    /// Goes to the next word of the command, or past the command's end.
    fn next(&mut self) -> Result<Next, ConfigProblem> {
        self.cursor.skip_blanks();
        let place = self.cursor.place();
        match self.cursor.peek() {
            None => Ok(Next::End),
            Some('\n') => {
                self.cursor.bump();
                Ok(Next::End)
            }
            Some('#') => {
                self.cursor.skip_line();
                Ok(Next::End)
            }
            Some(';') => {
                self.cursor.bump();
                match self.cursor.peek() {
                    Some(c @ (';' | '&')) => {
                        let operator = format!(";{c}");
                        Err(ConfigProblem::new(Some(place), SyntaxCause::Operator { operator }))
                    }
                    _ => Ok(Next::End),
                }
            }
            Some(c @ ('|' | '&' | '<' | '>' | '(' | ')')) => {
                let operator = c.to_string();
                Err(ConfigProblem::new(Some(place), SyntaxCause::Operator { operator }))
            }
            Some(_) => Ok(Next::Word),
        }
    }

    /// Goes on after something refused: at the next line, or behind the block that it opens, so
    /// that one `if` isn't reported once for each of its lines.
    fn recover(&mut self, start: Mark, problem: &ConfigProblem) {
        self.cursor.skip_line();
        let next_line = self.cursor.mark();
        if !opens_block(problem.cause()) || self.block_stays_open {
            return;
        }
        // From the start of the command, so that an `if` on one line closes there.
        let mut depth = depth_of_line(self.cursor.since(start));
        while depth > 0 {
            if self.cursor.bump().is_none() {
                // Looking for an end once more at each line would take quadratic time.
                self.block_stays_open = true;
                self.cursor.return_to(next_line);
                return;
            }
            let line = self.cursor.mark();
            self.cursor.skip_line();
            depth += depth_of_line(self.cursor.since(line));
        }
    }
}
