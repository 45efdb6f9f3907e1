//! The value of an assignment: quotes, escapes and variables.

use super::cursor::Cursor;
use crate::limits::MAX_NESTING;
use crate::place::Place;
use crate::problem::ConfigProblem;
use crate::problem::SyntaxCause;

/// A piece of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text that stands for itself, free of quotes.
    Text(String),
    /// `$NAME`, `${NAME}` or `${NAME:-default}`.
    Variable { name: String, place: Place, default: Option<Vec<Part>> },
}

/// What surrounds the text being read; it decides which characters are special.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// A value without quotes.
    Bare,
    /// Within `"…"`.
    Quoted,
    /// The default of a `${…}` that stands bare.
    BareDefault,
    /// The default of a `${…}` within `"…"`.
    QuotedDefault,
}

impl Context {
    /// The context of a default that begins here.
    fn default(self) -> Self {
        match self {
            Self::Bare | Self::BareDefault => Self::BareDefault,
            Self::Quoted | Self::QuotedDefault => Self::QuotedDefault,
        }
    }

    fn is_quoted(self) -> bool {
        matches!(self, Self::Quoted | Self::QuotedDefault)
    }
}

type Refusal = ConfigProblem;

pub(super) struct ValueReader<'c, 't> {
    cursor: &'c mut Cursor<'t>,
    after_export: bool,
    depth: usize,
    /// The last character of the word, as written: it decides whether bash expands a `~`.
    last: Option<char>,
}

impl<'c, 't> ValueReader<'c, 't> {
    pub(super) fn new(cursor: &'c mut Cursor<'t>, after_export: bool) -> Self {
        Self { cursor, after_export, depth: 0, last: Some('=') }
    }

    /// Reads up to the blank, line end or operator that ends the value.
    pub(super) fn value(&mut self) -> Result<Vec<Part>, Refusal> {
        let mut parts = Parts::default();
        while let Some(c) = self.cursor.peek() {
            match c {
                ' ' | '\t' | '\n' | ';' => break,
                '|' | '&' | '<' | '>' | '(' | ')' => return Err(self.operator(c)),
                '{' if self.after_export => return Err(self.refuse(SyntaxCause::BraceAfterExport)),
                _ => self.character(c, Context::Bare, &mut parts)?,
            }
        }
        Ok(parts.finish())
    }

    /// Reads one character, or the quote or expansion that it opens.
    fn character(&mut self, c: char, context: Context, parts: &mut Parts) -> Result<(), Refusal> {
        match (c, context) {
            ('\\', _) => self.backslash(context, parts),
            ('\'', Context::Bare | Context::BareDefault) => self.single_quotes(parts),
            ('"', Context::Bare | Context::BareDefault) => self.double_quotes(parts),
            ('$', _) => self.dollar(context, parts),
            ('`', _) => Err(self.refuse(SyntaxCause::CommandSubstitution { open: "`".into() })),
            ('~', Context::Bare | Context::BareDefault) if matches!(self.last, Some('=' | ':') | None) => {
                Err(self.refuse(SyntaxCause::Tilde))
            }
            _ => {
                self.literal(parts);
                Ok(())
            }
        }
    }

    fn literal(&mut self, parts: &mut Parts) {
        if let Some(c) = self.take() {
            parts.push(c);
        }
    }

    fn take(&mut self) -> Option<char> {
        self.last = self.cursor.bump();
        self.last
    }

    fn refuse(&self, cause: SyntaxCause) -> Refusal {
        ConfigProblem::new(Some(self.cursor.place()), cause)
    }

    fn operator(&mut self, c: char) -> Refusal {
        let problem_at = self.cursor.place();
        self.cursor.bump();
        let cause = match (c, self.cursor.peek_raw()) {
            ('<' | '>', Some('(')) => SyntaxCause::ProcessSubstitution,
            _ => SyntaxCause::Operator { operator: c.to_string() },
        };
        ConfigProblem::new(Some(problem_at), cause)
    }

    /// A backslash that continues no line; `Cursor::peek` has taken those.
    fn backslash(&mut self, context: Context, parts: &mut Parts) -> Result<(), Refusal> {
        let place = self.cursor.place();
        self.take();
        let Some(escaped) = self.cursor.peek_raw() else {
            return Err(ConfigProblem::new(Some(place), SyntaxCause::EndsInBackslash));
        };
        let special = match context {
            Context::Bare | Context::BareDefault => true,
            Context::Quoted => "$`\"\\".contains(escaped),
            Context::QuotedDefault => "$`\"\\}".contains(escaped),
        };
        if special {
            self.literal(parts);
        } else {
            parts.push('\\');
        }
        Ok(())
    }

    fn single_quotes(&mut self, parts: &mut Parts) -> Result<(), Refusal> {
        let place = self.cursor.place();
        self.take();
        loop {
            match self.take() {
                Some('\'') => return Ok(()),
                Some(c) => parts.push(c),
                None => return Err(unterminated(place, '\'')),
            }
        }
    }

    fn double_quotes(&mut self, parts: &mut Parts) -> Result<(), Refusal> {
        let place = self.cursor.place();
        self.take();
        loop {
            match self.cursor.peek() {
                Some('"') => {
                    self.take();
                    return Ok(());
                }
                Some(c) => self.character(c, Context::Quoted, parts)?,
                None => return Err(unterminated(place, '"')),
            }
        }
    }

    /// A `$` and what it begins; alone it stands for itself.
    fn dollar(&mut self, context: Context, parts: &mut Parts) -> Result<(), Refusal> {
        let place = self.cursor.place();
        self.take();
        let refuse = |cause| Err(ConfigProblem::new(Some(place.clone()), cause));
        match self.cursor.peek() {
            Some('{') => {
                self.take();
                self.braces(&place, context, parts)
            }
            Some(c) if c == '_' || c.is_ascii_alphabetic() => {
                let name = self.cursor.name();
                self.last = name.chars().last();
                parts.variable(name, place, None);
                Ok(())
            }
            Some('(') => {
                self.take();
                match self.cursor.peek() {
                    Some('(') => refuse(SyntaxCause::Arithmetic { open: "$((".into() }),
                    _ => refuse(SyntaxCause::CommandSubstitution { open: "$(".into() }),
                }
            }
            Some('[') => refuse(SyntaxCause::Arithmetic { open: "$[".into() }),
            Some(quote @ ('\'' | '"')) if !context.is_quoted() => refuse(SyntaxCause::DollarQuote { quote }),
            Some(c) if "@*#?-$!".contains(c) || c.is_ascii_digit() => {
                refuse(SyntaxCause::SpecialParameter { text: format!("${c}") })
            }
            _ => {
                parts.push('$');
                Ok(())
            }
        }
    }

    /// What follows `${`.
    fn braces(&mut self, open: &Place, context: Context, parts: &mut Parts) -> Result<(), Refusal> {
        let start = self.cursor.mark();
        let name = self.cursor.name();
        if !name.is_empty() && self.cursor.take('}') {
            self.last = Some('}');
            parts.variable(name, open.clone(), None);
            return Ok(());
        }
        if name.is_empty() || !(self.cursor.take(':') && self.cursor.take('-')) {
            self.cursor.return_to(start);
            return Err(self.other_expansion(open));
        }
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(ConfigProblem::new(Some(open.clone()), SyntaxCause::TooDeep));
        }
        self.last = None;
        let default = self.default(open, context.default())?;
        self.depth -= 1;
        parts.variable(name, open.clone(), Some(default));
        Ok(())
    }

    /// The default of a `${NAME:-default}` with its closing brace.
    fn default(&mut self, open: &Place, context: Context) -> Result<Vec<Part>, Refusal> {
        let mut parts = Parts::default();
        loop {
            match self.cursor.peek() {
                None => return Err(unterminated(open.clone(), '{')),
                Some('}') => {
                    self.take();
                    return Ok(parts.finish());
                }
                // What these mean here differs between versions of bash, or from what it looks
                // like: `"${A:-'x'}"` keeps the quotes, `${A:-<(x)}` runs x.
                Some(c @ ('{' | '\n')) => return Err(self.in_default(c)),
                Some(c @ ('\'' | '"')) if context.is_quoted() => return Err(self.in_default(c)),
                Some(c @ ('<' | '>' | '(' | ')')) if !context.is_quoted() => {
                    return Err(self.in_default(c));
                }
                Some(c) => self.character(c, context, &mut parts)?,
            }
        }
    }

    fn in_default(&self, character: char) -> Refusal {
        self.refuse(SyntaxCause::InDefault { character })
    }

    /// A `${…}` of another kind, shown as far as its line goes.
    fn other_expansion(&mut self, open: &Place) -> Refusal {
        const SHOWN: usize = 40;
        let start = self.cursor.mark();
        for _ in 0..SHOWN {
            match self.cursor.peek_raw() {
                None | Some('\n') => break,
                Some('}') => {
                    self.cursor.bump();
                    break;
                }
                Some(_) => {
                    self.cursor.bump();
                }
            }
        }
        let text = format!("${{{}", self.cursor.since(start));
        ConfigProblem::new(Some(open.clone()), SyntaxCause::Expansion { text })
    }
}

fn unterminated(open: Place, quote: char) -> Refusal {
    ConfigProblem::new(Some(open), SyntaxCause::Unterminated { quote })
}

/// Parts being collected.
#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    text: String,
}

impl Parts {
    fn push(&mut self, c: char) {
        self.text.push(c);
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    fn variable(&mut self, name: String, place: Place, default: Option<Vec<Part>>) {
        self.flush();
        self.done.push(Part::Variable { name, place, default });
    }

    fn finish(mut self) -> Vec<Part> {
        self.flush();
        self.done
    }
}
