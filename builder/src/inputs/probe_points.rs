//! The probe points of a script or tapset: all between `probe` and the body, or more.
//!
//! A point that can't be read for certain says so: one with a macro or an argument of the script where a name could be, and a piece
//! that depends on the kernel and is no whole point.

use super::script_text::Token;

/// What a `probe` declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// The name that it gives to its points.
    pub alias: Option<String>,
    pub points: Vec<ProbePoint>,
}

/// A probe point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbePoint {
    Read(Vec<Component>),
    /// It may be any.
    Uncertain,
}

/// A part of a probe point between dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    pub name: String,
    /// The argument in parentheses, if that is one string.
    pub text: Option<String>,
}

/// All that a text declares.
pub(crate) fn declarations(tokens: &[Token<'_>]) -> Vec<Declaration> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let is_name = matches!(before, Some(Token::Mark('.' | '@' | '$')));
        if *token == Token::Word("probe") && !is_name {
            found.push(declaration(tokens.get(at + 1..).unwrap_or_default()));
        }
    }
    found
}

/// Whether a macro of the text has a piece of a tracepoint in its body. What it declares as a whole is found among the
/// declarations.
pub(crate) fn has_macro_of_points(tokens: &[Token<'_>]) -> bool {
    tokens.windows(2).enumerate().any(|(at, pair)| {
        let is_macro = pair == [Token::Mark('@'), Token::Word("define")];
        is_macro && has_points(tokens.get(at + 2..).unwrap_or_default())
    })
}

fn has_points(definition: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    for token in definition {
        match token {
            Token::Begin => depth += 1,
            Token::End => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return false;
                }
            }
            Token::Word("kernel" | "trace") => return true,
            _ => {}
        }
    }
    false
}

fn declaration(tokens: &[Token<'_>]) -> Declaration {
    let (header, is_certain) = header(tokens);
    let mut alias = None;
    let mut points = header.as_slice();
    if let Some(at) = header.iter().position(|token| *token == Token::Mark('=')) {
        let (name, rest) = header.split_at(at);
        alias = Some(name_of(name));
        points = rest.get(1..).unwrap_or_default();
    }
    let mut points: Vec<ProbePoint> = split(points).map(point).collect();
    if !is_certain {
        points.push(ProbePoint::Uncertain);
    }
    Declaration { alias, points }
}

fn name_of(tokens: &[Token<'_>]) -> String {
    let text = |token: &Token<'_>| match token {
        Token::Word(word) => (*word).to_owned(),
        Token::Mark('.') => ".".to_owned(),
        _ => String::new(),
    };
    tokens.iter().map(text).collect()
}

/// The words up to the body, pieces that depend on the kernel beside each other, and a `*` for what braces have in them; and
/// whether that is all.
fn header<'t>(tokens: &[Token<'t>]) -> (Vec<Token<'t>>, bool) {
    let mut header: Vec<Token<'t>> = Vec::new();
    let mut is_certain = true;
    let mut parentheses = 0_usize;
    let mut conditions = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        match token {
            Token::Mark('{') if expects_name(header.last()) => {
                let inner = tokens.get(at + 1..).unwrap_or_default();
                at += closing(inner, '{', '}').map_or(tokens.len(), |end| end + 2);
                header.push(Token::Word("*"));
                continue;
            }
            Token::Mark('{') => return (header, is_certain && conditions == 0),
            Token::Word("if") if parentheses == 0 && header.last() != Some(&Token::Mark('.')) => {
                let rest = tokens.get(at..).unwrap_or_default();
                return (header, is_certain && conditions == 0 && rest.contains(&Token::Mark('{')));
            }
            Token::Begin => {
                is_certain &= header.last() != Some(&Token::Mark('.'));
                conditions += 1;
                let rest = tokens.get(at..).unwrap_or_default();
                let Some(then) = rest.iter().position(|token| *token == Token::Then) else {
                    return (header, false);
                };
                at += then;
            }
            // What is read instead has a `probe` of its own.
            Token::Otherwise if conditions == 0 => at += alternative(tokens.get(at..).unwrap_or_default()),
            Token::Otherwise => {
                is_certain &= next != Some(&Token::Mark('.'));
                header.push(Token::Mark(','));
            }
            Token::End => {
                let goes_on = match next {
                    Some(Token::Word(_)) => !expects_name(header.last()),
                    next => matches!(next, Some(Token::Mark('.' | '('))),
                };
                is_certain &= !goes_on;
                conditions = conditions.saturating_sub(1);
            }
            Token::Then => is_certain = false,
            Token::Mark('@' | '$') if parentheses == 0 => is_certain = false,
            token => {
                match token {
                    Token::Mark('(') => parentheses += 1,
                    Token::Mark(')') => parentheses = parentheses.saturating_sub(1),
                    _ => {}
                }
                header.push(token.clone());
            }
        }
        at += 1;
    }
    (header, false)
}

/// How many words there are before the end of this alternative.
fn alternative(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Begin => depth += 1,
            Token::End if depth == 0 => return at.saturating_sub(1),
            Token::End => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Whether a name is due after this, so that a brace begins no body.
fn expects_name(last: Option<&Token<'_>>) -> bool {
    matches!(last, None | Some(Token::Mark('.' | ',' | '=')))
}

/// The points of a list, with the words between them left out.
fn split<'a, 't>(tokens: &'a [Token<'t>]) -> impl Iterator<Item = &'a [Token<'t>]> {
    let mut depth = 0_usize;
    let points = tokens.split(move |token| match token {
        Token::Mark('(') => {
            depth += 1;
            false
        }
        Token::Mark(')') => {
            depth = depth.saturating_sub(1);
            false
        }
        Token::Mark(',' | '?' | '!') => depth == 0,
        _ => false,
    });
    points.filter(|point| !point.is_empty())
}

fn point(tokens: &[Token<'_>]) -> ProbePoint {
    let mut components = Vec::new();
    let mut rest = tokens;
    loop {
        let [Token::Word(name), behind @ ..] = rest else { return ProbePoint::Uncertain };
        let mut text = None;
        rest = behind;
        if let [Token::Mark('('), inner @ ..] = rest {
            let Some(end) = closing(inner, '(', ')') else { return ProbePoint::Uncertain };
            let (argument, behind) = inner.split_at(end);
            if let [Token::Text(only)] = argument {
                text = Some((*only).to_owned());
            }
            rest = behind.get(1..).unwrap_or_default();
        }
        components.push(Component { name: (*name).to_owned(), text });
        match rest {
            [] => return ProbePoint::Read(components),
            [Token::Mark('.'), behind @ ..] => rest = behind,
            _ => return ProbePoint::Uncertain,
        }
    }
}

/// Where the bracket before these words is closed.
fn closing(tokens: &[Token<'_>], begin: char, end: char) -> Option<usize> {
    let mut depth = 1_usize;
    tokens.iter().position(|token| {
        match token {
            Token::Mark(mark) if *mark == begin => depth += 1,
            Token::Mark(mark) if *mark == end => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::super::script_text::tokens_of;
    use super::*;

    /// Each point as `name.name("text")`, an uncertain one as `?`.
    fn points(text: &str) -> Vec<String> {
        let shown = |component: &Component| match &component.text {
            Some(text) => format!("{}({text})", component.name),
            None => component.name.clone(),
        };
        let all = declarations(&tokens_of(text)).into_iter().flat_map(|found| found.points);
        all.map(|point| match point {
            ProbePoint::Read(components) => components.iter().map(shown).collect::<Vec<_>>().join("."),
            ProbePoint::Uncertain => "?".to_owned(),
        })
        .collect()
    }

    #[test]
    fn points_are_read_as_stap_reads_them() {
        for (text, expected) in [
            ("probe kernel.trace(\"a\") { x = 2 * 3 }", &["kernel.trace(a)"][..]),
            ("probe a.b(1) ?, c.d ! , e { }", &["a.b", "c.d", "e"]),
            ("probe a.b = kernel . trace /* x */ (\"c\") { y.z() }", &["kernel.trace(c)"]),
            ("probe a.b += c.d {}", &["c.d"]),
            ("probe timer.s(1) if (x * 2 == \"*\") { }", &["timer.s"]),
            ("probe syscall.{open,close}.return { }", &["syscall.*.return"]),
            ("probe sys*.*.x { }", &["sys*.*.x"]),
            ("# probe a {}\n// probe b {}\n/* probe c {} */ global d = \"probe e {}\"", &[]),
            ("probe kprobe.function(@prefix \"sys_x\").return ? {}", &["kprobe.function.return"]),
            ("probe a %( kernel_v >= \"2.6\" %? , b.c %: , d %) {}", &["a", "b.c", "d"]),
            (
                "probe a = b ?,\n%( arch == \"x\" %? c ?, %)\n%( arch == \"y\" %? d ?, %) e ? {}",
                &["b", "c", "d", "e"],
            ),
            ("%( 1 == 1 %? probe a = b ?, c ? %: probe a = d %) { }", &["b", "c", "d"]),
            ("function f() { @probewrite(x.probe) }", &[]),
            ("probe process(\"/bin/x\").mark(\"y\") {}", &["process(/bin/x).mark(y)"]),
        ] {
            assert_eq!(points(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_for_certain_is_not_taken_for_something() {
        for text in [
            "probe @point {}",
            "probe $1 {}",
            "probe kernel@rest {}",
            "probe kernel.%( kernel_v > \"2\" %? trace(\"a\") %: function(\"b\") %) {}",
            "probe kernel %( kernel_v > \"2\" %? .function(\"a\") %: .trace(\"b\") %) {}",
            "probe %( kernel_v > \"2\" %? x %: kernel %).trace(\"b\") {}",
            "probe %( kernel_v > \"2\" %? a {} %: b {} %)",
            "probe kernel",
            "probe a b {}",
            "probe a.(b) {}",
        ] {
            assert!(points(text).contains(&"?".to_owned()), "{text}: {:?}", points(text));
        }
    }

    #[test]
    fn a_macro_whose_body_may_be_a_point_is_seen() {
        let has = |text: &str| has_macro_of_points(&tokens_of(text));
        assert!(has("@define p(x) %( kernel.trace(@x) %)"));
        assert!(has("@define p %( %( 1 == 1 %? kernel %: x %) %)"));
        assert!(!has("@define p(x) %( probe procfs(@x).read { } %)"));
        assert!(!has("@define p(x) %( @x * 2 %) probe kernel.trace(\"a\") { }"));
        assert!(!has("probe kernel.trace(\"a\") { }"));
    }
}
