//! A place in the text of a file, moving forward.

use std::sync::Arc;

use crate::place::Place;
use crate::problem::ConfigProblem;
use crate::problem::SyntaxCause;

/// The text of a file from some place on.
///
/// `peek` sees the text as bash's own reader does, with continued lines joined; `peek_raw` sees
/// the characters themselves, as within single quotes and comments.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    file: Arc<str>,
    text: &'t str,
    at: usize,
    line: u32,
    column: u32,
    in_comment: bool,
    unprintable: Vec<ConfigProblem>,
}

/// Where a cursor was, to return to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    at: usize,
    line: u32,
    column: u32,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        Self {
            file: file.into(),
            text,
            at: 0,
            line: 1,
            column: 1,
            in_comment: false,
            unprintable: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place::new(Arc::clone(&self.file), self.line, self.column)
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { at: self.at, line: self.line, column: self.column }
    }

    pub(super) fn return_to(&mut self, mark: Mark) {
        (self.at, self.line, self.column) = (mark.at, mark.line, mark.column);
    }

    /// The text between a mark and here.
    pub(super) fn since(&self, mark: Mark) -> &'t str {
        self.text.get(mark.at..self.at).unwrap_or_default()
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek_raw(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The next character after any joined line ends.
    pub(super) fn peek(&mut self) -> Option<char> {
        while self.rest().starts_with("\\\n") {
            self.bump();
            self.bump();
        }
        self.peek_raw()
    }

    /// Takes the next character as it stands in the file.
    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek_raw()?;
        if c.is_control() && !matches!(c, '\n' | '\t') && !self.in_comment {
            self.note_unprintable(c);
        }
        self.at += c.len_utf8();
        if c == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(c)
    }

    /// Takes the next joined character if it is `wanted`.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.bump();
        }
        there
    }

    pub(super) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.bump();
        }
    }

    /// Goes to the end of the line, and looks for nothing there: a `\` doesn't continue a comment.
    pub(super) fn skip_line(&mut self) {
        self.in_comment = true;
        while self.peek_raw().is_some_and(|c| c != '\n') {
            self.bump();
        }
        self.in_comment = false;
    }

    /// Takes a variable's name, which is empty if none stands here.
    pub(super) fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            let fits = c == '_' || c.is_ascii_alphabetic() || c.is_ascii_digit() && !name.is_empty();
            if !fits {
                break;
            }
            name.push(c);
            self.bump();
        }
        name
    }

    /// One report for each character is enough: a CRLF file has one on each line.
    fn note_unprintable(&mut self, character: char) {
        let cause = match character {
            '\r' => SyntaxCause::CarriageReturn,
            character => SyntaxCause::ControlCharacter { character },
        };
        let known = |problem: &ConfigProblem| *problem.cause() == cause.clone().into();
        if !self.unprintable.iter().any(known) {
            let problem = ConfigProblem::new(Some(self.place()), cause);
            self.unprintable.push(problem);
        }
    }

    /// The characters met outside comments that no value may have.
    pub(super) fn into_unprintable(self) -> Vec<ConfigProblem> {
        self.unprintable
    }
}
