//! Strict JSON: what two parsers could read differently is refused (`docs/bundle-spec.md`, "JSON").
//!
//! UTF-8 without BOM, one object that begins with the first byte and ends with the last, no repeated
//! key at any depth, depth and number of values limited, integers from 0 to 2^63-1 without sign, fraction or exponent, no
//! null. A known field has one spelling: an object never stands as a list of its values.

mod rules;
mod spelling;

use std::cell::Cell;

use crate::limits::MAX_JSON_VALUES;
use rules::Strict;
use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed as _, Error as _};
use spelling::{Expected, StrictCompact, Written};

/// Why a document was refused.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Something before the `{` or after the `}`.
    #[error("the document does not begin with `{{` and end with `}}`")]
    NotOneObject,
    /// A rule of strict JSON is broken, or a field is missing or of another type.
    #[error("not a valid document")]
    Invalid(#[source] serde_json::Error),
    /// A known field has a value that only this crate's parser would take for the right one.
    #[error("a field is spelled in another way than format 1 has it")]
    Spelling,
}

/// Reads `bytes` as one strict JSON object of type `T`.
pub(crate) fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, JsonError> {
    Text::new(bytes)?.read()
}

/// Text that may be a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'b>(&'b str);

impl<'b> Text<'b> {
    /// Checks that it is text: once as a whole, as `serde_json` would do it for each string anew.
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, JsonError> {
        let text = str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            JsonError::Invalid(serde_json::Error::custom(format_args!("byte {at} is not UTF-8")))
        })?;
        Ok(Self(text))
    }

    /// Reads the text as `T`, and compares it with what `T` would write: serde also takes a list of values for an
    /// object. What `T` doesn't know is never built, so it costs no memory.
    pub(crate) fn read<T: DeserializeOwned + Serialize>(self) -> Result<T, JsonError> {
        if let Some(document) = self.as_written() {
            return Ok(document);
        }
        check(self.0)?;
        let document: T = serde_json::from_str(self.0).map_err(invalid)?;
        let written = serde_json::to_value(&document).map_err(invalid)?;
        let mut reader = serde_json::Deserializer::from_str(self.0);
        let agrees = Written(&written).deserialize(&mut reader).map_err(invalid)?;
        if agrees { Ok(document) } else { Err(JsonError::Spelling) }
    }

    /// The document, if it is exactly what this crate writes for it. That is the rule, and it costs half of what the
    /// checks do: where nothing but keys, strings, booleans and small integers is written, compactly and each key
    /// once, no rule can be broken in the text.
    fn as_written<T: DeserializeOwned + Serialize>(self) -> Option<T> {
        if self.most_values() > MAX_JSON_VALUES || !self.0.starts_with('{') {
            return None;
        }
        let document = serde_json::from_str(self.0).ok()?;
        let mut rest = Expected(self.0.as_bytes());
        let mut writer = serde_json::Serializer::with_formatter(&mut rest, StrictCompact::default());
        T::serialize(&document, &mut writer).ok()?;
        rest.0.is_empty().then_some(document)
    }

    /// No more values than this are in it: each but the first has a comma, a colon or a bracket before it. In small
    /// chunks, whose counts fit a byte: so the compiler looks at many bytes at once.
    fn most_values(self) -> usize {
        let begins = |byte: &u8| u8::from(*byte == b',') + u8::from(*byte == b':') + u8::from(*byte == b'[');
        let chunks = self.0.as_bytes().chunks(128);
        1 + chunks.map(|chunk| usize::from(chunk.iter().map(begins).sum::<u8>())).sum::<usize>()
    }
}

/// Writes `document` compactly; the bytes are what gets signed. No reader would refuse them.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, JsonError> {
    let text = serde_json::to_string(document).map_err(invalid)?;
    check(&text)?;
    Ok(text.into_bytes())
}

/// Checks the rules that `serde_json` itself doesn't have, in fields that nobody knows too.
fn check(text: &str) -> Result<(), JsonError> {
    if !text.starts_with('{') || !text.ends_with('}') {
        return Err(JsonError::NotOneObject);
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let left = Cell::new(MAX_JSON_VALUES);
    Strict::document(&left).deserialize(&mut reader).map_err(invalid)?;
    reader.end().map_err(invalid)
}

/// Most characters of a parser's message; it quotes the document, which may be long.
const MAX_MESSAGE: usize = 300;

/// The parser's error, in words that may reach a terminal: it quotes the document as it is.
fn invalid(error: serde_json::Error) -> JsonError {
    let said = error.to_string();
    if said.len() <= MAX_MESSAGE && !said.chars().any(char::is_control) {
        return JsonError::Invalid(error);
    }
    let shown: String = said.chars().take(MAX_MESSAGE).flat_map(char::escape_debug).collect();
    let said = format!("{shown} … at line {} column {}", error.line(), error.column());
    JsonError::Invalid(serde_json::Error::custom(said))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::rules::Keys;
    use super::*;
    use crate::limits::MAX_JSON_DEPTH;

    fn refused(text: &str) -> bool {
        parse::<Map<String, Value>>(text.as_bytes()).is_err()
    }

    #[test]
    fn a_plain_object_is_read() {
        assert!(!refused(r#"{"a":[1,{"b":[]}],"c":"d","e":true,"f":9223372036854775807}"#));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let many: Vec<String> = (0..2 * Keys::FEW).map(|index| format!("\"k{index}\":1,")).collect();
        let many = many.concat();
        let twice_after_many = format!("{{{many}\"k{}\":2}}", 2 * Keys::FEW - 1);
        assert!(!refused(&format!("{{{many}\"last\":2}}")));
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
            &twice_after_many,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-1}"#,
            r#"{"a":-0}"#,
            r#"{"a":9223372036854775808}"#,
            r#"{"a":01}"#,
            r#"{"a":null}"#,
            " {}",
            "{}\n",
            "{}{}",
            "[]",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "{'a':1}",
            "{\"a\":NaN}",
            "",
        ] {
            assert!(refused(text), "{text:?}");
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        assert!(!refused(&nested(MAX_JSON_DEPTH - 1)));
        assert!(refused(&nested(MAX_JSON_DEPTH)));
        assert!(refused(&nested(100_000)));
    }

    #[test]
    fn an_empty_list_counts_like_an_empty_object() {
        for empty in ["{}", "[]", "1", "\"\""] {
            let nested = |n: usize| format!("{}{empty}{}", "{\"a\":".repeat(n), "}".repeat(n));
            assert!(!refused(&nested(MAX_JSON_DEPTH - 1)), "{empty}");
            assert!(refused(&nested(MAX_JSON_DEPTH)), "{empty}");
        }
    }

    #[test]
    fn an_object_spelled_as_a_list_is_refused() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Outer {
            inner: Inner,
            kind: crate::document::manifest::BundleKind,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            maybe: Option<u64>,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Inner {
            a: u64,
            b: Vec<u64>,
        }
        let read = |text: &str| parse::<Outer>(text.as_bytes());
        assert!(read(r#"{"inner":{"b":[2],"new":{"x":1},"a":1},"kind":"full","more":[]}"#).is_ok());
        assert!(read(r#"{"inner":{"b":[2],"a":1},"kind":"full","maybe":3}"#).is_ok());
        for text in [
            r#"{"inner":[1,[2]],"kind":"full"}"#,
            r#"{"inner":{"b":[2],"a":1},"kind":{"full":null}}"#,
            r#"{"inner":{"b":[2],"a":1},"kind":"full","maybe":null}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_as_it_was_read_still_keeps_all_rules() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Loose {
            a: Value,
        }
        let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        let list = |n: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(n));
        for good in ["{\"a\":9223372036854775807}", &deep(MAX_JSON_DEPTH - 2), &list(MAX_JSON_VALUES - 3)] {
            assert!(parse::<Loose>(good.as_bytes()).is_ok(), "{}", good.len());
        }
        for bad in [
            "{\"a\":null}",
            "{\"a\":-1}",
            "{\"a\":1.5}",
            "{\"a\":9223372036854775808}",
            &deep(MAX_JSON_DEPTH - 1),
            &list(MAX_JSON_VALUES - 2),
        ] {
            let read: Loose = serde_json::from_str(bad).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), *bad);
            assert!(parse::<Loose>(bad.as_bytes()).is_err(), "{}", bad.len());
        }
    }

    #[test]
    fn many_small_values_in_an_unknown_field_filled_the_memory() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Known {
            a: u64,
        }
        let read = |text: &str| parse::<Known>(text.as_bytes());
        // The outer object, `a` and the list are three; each element is two.
        let with = |pairs: usize, rest: &str| {
            let objects = r#"{"":0},"#.repeat(pairs);
            format!(r#"{{"a":1,"unknown":[{objects}{rest}]}}"#)
        };
        let pairs = (MAX_JSON_VALUES - 5) / 2;
        assert_eq!(2 * pairs + 6, MAX_JSON_VALUES, "an even limit");
        assert!(read(&with(pairs, "0,0")).is_ok(), "one less");
        assert!(read(&with(pairs, "0,0,0")).is_ok(), "exactly");
        assert!(read(&with(pairs, "0,0,0,0")).is_err(), "one more");
        assert!(write(&vec![0; 1]).is_err(), "no object");
        let list = |len: usize| Map::from_iter([("a".to_owned(), Value::from(vec![0; len]))]);
        assert!(write(&list(MAX_JSON_VALUES - 2)).is_ok());
        assert!(write(&list(MAX_JSON_VALUES - 1)).is_err(), "a writer never writes what no reader takes");
    }

    #[test]
    fn what_is_read_has_the_shape_that_is_written() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Known {
            list: Vec<Inner>,
        }
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Inner {
            a: String,
        }
        let read = |text: &str| parse::<Known>(text.as_bytes()).is_ok();
        assert!(read(r#"{"new":[[{"a":1}]],"list":[{"a":"x","b":{}},{"\u0061":"\u0078"}]}"#));
        assert!(!read(r#"{"list":[["x"]]}"#));
        assert!(!read(r#"{"list":[{"a":"x"},["x"]]}"#));
        assert!(!read(r#"{"list":[{"a":"x","b":{"c":1,"c":2}}]}"#));
    }

    #[test]
    fn a_parsers_message_could_act_on_the_terminal_and_fill_it() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Known {
            kind: crate::document::manifest::BundleKind,
            digest: crate::Digest,
        }
        let said = |text: &str| match parse::<Known>(text.as_bytes()) {
            Err(JsonError::Invalid(error)) => error.to_string(),
            other => panic!("{:?}", other.map(|_| ())),
        };
        let found = said(r#"{"kind":"\u001b[2J"}"#);
        assert!(found.contains(r"`\u{1b}[2J`") && found.ends_with("at line 1 column 19"), "{found:?}");
        let found = said(r#"{"kind":"full","digest":"\u001b[2J"}"#);
        assert!(found.contains("is not a SHA-256 digest") && !found.contains('\u{1b}'), "{found:?}");
        let long = "x".repeat(1 << 20);
        for text in [format!(r#"{{"kind":"{long}"}}"#), format!(r#"{{"{long}":1,"{long}":2}}"#)] {
            assert!(said(&text).len() < 2 * MAX_MESSAGE);
        }
    }

    #[test]
    fn invalid_utf8_is_refused() {
        assert!(parse::<Map<String, Value>>(b"{\"a\":\"\xff\"}").is_err());
    }
}
