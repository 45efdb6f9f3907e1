//! Patterns of names: each `*` matches any characters.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::str::FromStr;

use bundle_format::BundleName;
use serde::{Deserialize, Serialize};

/// A name in which each `*` matches any characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"_-.+*".contains(&b);
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(word) {
            return Ok(Self(text));
        }
        Err(format!("{text:?} is no pattern of names: expected 1 to 64 of A-Z, a-z, 0-9, `_-.+` and `*`"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

impl Pattern {
    /// Patterns for a message.
    pub(crate) fn list(patterns: &[Self]) -> String {
        let names: Vec<String> = patterns.iter().map(|pattern| format!("`{pattern}`")).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }

    /// A name of a bundle that both match, one of the shortest; `None` if there is none. Exact: both are followed from byte to
    /// byte of all names that there can be, each pair of places once.
    pub(crate) fn common_name(&self, other: &Self) -> Option<BundleName> {
        let one = self.0.as_bytes();
        let two = other.0.as_bytes();
        let alphabet = self.alphabet(other);
        let mut seen = BTreeSet::new();
        let mut next = VecDeque::from([(0, 0, String::new())]);
        while let Some((at_one, at_two, begun)) = next.pop_front() {
            // What a name may go on with follows from its last byte, and its first.
            if !seen.insert((at_one, at_two, begun.ends_with('.'), begun.is_empty())) {
                continue;
            }
            if is_done(one, at_one)
                && is_done(two, at_two)
                && let Ok(name) = begun.parse()
            {
                return Some(name);
            }
            for letter in &alphabet {
                let longer = format!("{begun}{}", char::from(*letter));
                // The beginning of a name is a name.
                if longer.parse::<BundleName>().is_err() {
                    continue;
                }
                for at_one in after(one, at_one, *letter) {
                    next.extend(after(two, at_two, *letter).map(|at_two| (at_one, at_two, longer.clone())));
                }
            }
        }
        None
    }

    /// The bytes of both patterns, and one for all others that a name may have.
    fn alphabet(&self, other: &Self) -> BTreeSet<u8> {
        let mut bytes: BTreeSet<u8> =
            self.0.bytes().chain(other.0.bytes()).filter(|byte| *byte != b'*').collect();
        let others = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z');
        bytes.extend(others.filter(|byte| !bytes.contains(byte)).take(1).collect::<Vec<_>>());
        bytes
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let middle: Vec<&str> = parts.collect();
        let Some((last, middle)) = middle.split_last() else { return rest.is_empty() };
        for part in middle {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

/// Whether a pattern may end at this place.
fn is_done(pattern: &[u8], at: usize) -> bool {
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

/// The places at which a pattern may be after one more byte.
fn after(pattern: &[u8], at: usize, letter: u8) -> impl Iterator<Item = usize> {
    let stars = pattern.iter().skip(at).take_while(|byte| **byte == b'*').count();
    let beyond = at + stars;
    let on = (pattern.get(beyond) == Some(&letter)).then_some(beyond + 1);
    (at..beyond).chain(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, yes, no) in [
            ("fleet", &["fleet"][..], &["fleet2", "afleet", ""][..]),
            ("net-*", &["net-", "net-1"], &["net", "anet-1"]),
            ("*-x", &["-x", "a-x"], &["a-xy"]),
            ("a*b*c", &["abc", "a1b2c", "abbc"], &["acb", "ab"]),
            ("*", &["", "anything"], &[]),
            ("ab*ba", &["abba", "abxba"], &["aba"]),
        ] {
            assert!(yes.iter().all(|name| pattern(text).matches(name)), "{text}");
            assert!(!no.iter().any(|name| pattern(text).matches(name)), "{text}");
        }
        assert!(Pattern::try_from("a b".to_owned()).is_err());
    }

    #[test]
    fn whether_two_patterns_have_a_name_in_common_is_decided_exactly() {
        let long = "a".repeat(64);
        let longer = format!("*{}", "a".repeat(63));
        for (one, other, common) in [
            ("*", "*", Some("a")),
            ("team-a-*", "team-b-*", None),
            ("team-a-*", "team-a-*", Some("team-a-")),
            ("team-*", "team-a-*", Some("team-a-")),
            ("*-x", "team-*", Some("team-x")),
            ("a*b", "b*a", None),
            ("a*", "*b", Some("ab")),
            ("*a*b*", "*b*a*", Some("aba")),
            ("fleet", "fleet", Some("fleet")),
            ("fleet", "fleet2", None),
            ("fl*et", "fleet", Some("fleet")),
            ("**", "x", Some("x")),
            ("a*aa", "aa*a", Some("aaa")),
            // No name begins with a sign, none has two dots in a row, none is longer than 64.
            ("-*", "*", None),
            ("*..*", "*", None),
            ("a.*", "*.b", Some("a.b")),
            ("a.*", "*..b", None),
            (&long, "*", Some(&long)),
            (&long, "*b*", None),
            (&longer, "b*", Some(&format!("b{}", "a".repeat(63)))),
            (&longer, "bb*", None),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let found = pattern(one).common_name(&pattern(other));
                assert_eq!(found.as_ref().map(BundleName::as_str), common, "{one} {other}");
            }
        }
    }

    /// Beside the answer of a plain search among all short names.
    #[test]
    fn what_two_patterns_have_in_common_is_what_both_match() {
        let letters = ["a", "b", "*"];
        let texts: Vec<String> = (0..81)
            .map(|number: usize| (0..4).map(|place| letters[number / 3_usize.pow(place) % 3]).collect())
            .collect();
        let names: Vec<String> = (1..=9_u32)
            .flat_map(|length| (0..2_usize.pow(length)).map(move |number| (length, number)))
            .map(|(length, number)| (0..length).map(|place| letters[(number >> place) & 1]).collect())
            .collect();
        for one in &texts {
            for other in &texts {
                let patterns = [pattern(one), pattern(other)];
                let is_common = |name: &&String| patterns.iter().all(|pattern| pattern.matches(name));
                let [first, second] = &patterns;
                let found = first.common_name(second);
                let expected = names.iter().find(is_common).map(String::len);
                // `*` alone may be met by a shorter name of another letter.
                assert_eq!(found.as_ref().map(|name| name.as_str().len()), expected, "{one} {other}");
                assert!(found.iter().all(|name| is_common(&&name.to_string())), "{one} {other}");
            }
        }
    }
}
