//! What isn't read, and what to write instead.

use super::cursor::Cursor;
use crate::problem::{Cause, ConfigProblem, SyntaxCause};

/// How much of a refused word a message shows.
const SHOWN: usize = 60;

const OPENERS: [&str; 7] = ["if", "case", "for", "while", "until", "select", "{"];
const CLOSERS: [&str; 4] = ["fi", "esac", "done", "}"];
const OTHER_KEYWORDS: [&str; 12] =
    ["then", "elif", "else", "do", "in", "function", "time", "coproc", "!", "[[", "]]", "(("];

/// Takes a word that is no assignment and says what it is. `before` is the variable that is assigned in
/// front of it on the same line.
pub(super) fn other_word(cursor: &mut Cursor<'_>, before: Option<&str>) -> ConfigProblem {
    let place = cursor.place();
    let start = cursor.mark();
    if let Some(c @ (';' | '&' | '|' | '<' | '>' | '(' | ')')) = cursor.peek() {
        let operator = c.to_string();
        return ConfigProblem::new(Some(place), SyntaxCause::Operator { operator });
    }
    while cursor.peek().is_some_and(|c| !" \t\n;&|<>()".contains(c)) {
        cursor.bump();
    }
    let word: String = cursor.since(start).replace("\\\n", "");
    let text: String = word.chars().take(SHOWN).collect();
    let glued = cursor.peek();
    cursor.skip_blanks();
    let next = cursor.peek();
    ConfigProblem::new(Some(place), classify(&word, text, before, glued, next))
}

fn classify(
    word: &str,
    text: String,
    before: Option<&str>,
    glued: Option<char>,
    next: Option<char>,
) -> SyntaxCause {
    let keywords = [OPENERS.as_slice(), &CLOSERS, &OTHER_KEYWORDS].concat();
    let (left, has_equals) = match word.split_once('=') {
        Some((left, _)) => (left, true),
        None => (word, false),
    };
    let is_name = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && text.chars().next().is_some_and(|c| !c.is_ascii_digit())
    };
    let like_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-.+".contains(c));
    if let Some(before) = before {
        SyntaxCause::BlankInValue { name: before.to_owned(), word: text }
    } else if keywords.contains(&word) {
        SyntaxCause::Keyword { word: text }
    } else if next == Some('(') && !has_equals {
        SyntaxCause::Function { name: text }
    } else if let Some((name, _)) = word.split_once('[')
        && is_name(name)
        && has_equals
    {
        SyntaxCause::Array { name: name.to_owned() }
    } else if has_equals && like_name(left) {
        SyntaxCause::VariableName { name: left.to_owned() }
    } else if next == Some('=') && glued != Some('=') && like_name(word) {
        SyntaxCause::BlankBeforeEquals { name: text }
    } else {
        SyntaxCause::Command { text }
    }
}

/// Tells whether what was refused may open a block of several lines.
pub(super) fn opens_block(cause: &Cause) -> bool {
    match cause {
        Cause::Syntax(SyntaxCause::Function { .. }) => true,
        Cause::Syntax(SyntaxCause::Keyword { word }) => {
            OPENERS.contains(&word.as_str()) || word == "function"
        }
        _ => false,
    }
}

/// By how much a line changes the depth of blocks. A guess by words, good enough to find where
/// reading can go on: the file is refused anyway.
pub(super) fn depth_of_line(line: &str) -> i32 {
    let words = line.split([' ', '\t', ';', '(', ')', '&', '|']);
    words
        .map(|word| match word {
            word if OPENERS.contains(&word) => 1,
            word if CLOSERS.contains(&word) => -1,
            _ => 0,
        })
        .sum()
}
