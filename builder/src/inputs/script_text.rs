//! The words of a script or tapset, without comments and embedded C.

/// A word of the script language, or what is between words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// A name, a number, or a pattern of names (`sys*`).
    Word(&'t str),
    /// What is between two quotes.
    Text(&'t str),
    Mark(char),
    /// `%(`, `%?`, `%:`, `%)`: what stap reads depends on the kernel, or is the body of a macro.
    Begin,
    Then,
    Otherwise,
    End,
}

/// All words of a text, as stap takes it apart; what it would refuse gives any words.
pub(crate) fn tokens_of(text: &str) -> Vec<Token<'_>> {
    Tokens { rest: text }.collect()
}

struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    /// Goes on behind `end`, or to the end of the text.
    fn pass(&mut self, begin: usize, end: &str) {
        let rest = self.rest.get(begin..).unwrap_or_default();
        self.rest = rest.find(end).and_then(|at| rest.get(at + end.len()..)).unwrap_or_default();
    }

    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn quoted(&mut self) -> Token<'t> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let mut is_escaped = false;
        let end = inner.find(|c: char| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        let text = inner.get(..end.unwrap_or(inner.len())).unwrap_or_default();
        self.rest = inner.get(text.len() + 1..).unwrap_or_default();
        Token::Text(text)
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            let two = self.rest.get(..2).unwrap_or_default();
            let mark = match two {
                "/*" => {
                    self.pass(2, "*/");
                    continue;
                }
                "%{" => {
                    self.pass(2, "%}");
                    continue;
                }
                "//" => {
                    self.pass(2, "\n");
                    continue;
                }
                // The number of arguments; no comment.
                "$#" | "@#" => Token::Mark(first),
                "%(" => Token::Begin,
                "%?" => Token::Then,
                "%:" => Token::Otherwise,
                "%)" => Token::End,
                _ if first == '#' => {
                    self.pass(1, "\n");
                    continue;
                }
                _ if first == '"' => return Some(self.quoted()),
                _ if is_of_word(first) => {
                    let end = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
                    return Some(Token::Word(self.take(end)));
                }
                _ => {
                    self.take(first.len_utf8());
                    return Some(Token::Mark(first));
                }
            };
            self.take(2);
            return Some(mark);
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '*'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_embedded_c_are_no_words() {
        let text = "a /* b */ c // d\n# e\n\"f \\\" g\" %{ h %} i%( j %? k %: l %) $# @1 m.n*";
        let words: Vec<&str> = tokens_of(text)
            .into_iter()
            .filter_map(|token| if let Token::Word(word) = token { Some(word) } else { None })
            .collect();
        assert_eq!(words, ["a", "c", "i", "j", "k", "l", "1", "m", "n*"]);
        assert!(tokens_of(text).contains(&Token::Text("f \\\" g")));
    }

    #[test]
    fn a_text_that_ends_too_early_ends() {
        for text in ["/*", "/* x", "\"x", "\"", "%{", "%", "#", "\"\\", "é\"ü", "$"] {
            assert!(tokens_of(text).len() <= 3, "{text}");
        }
    }
}
