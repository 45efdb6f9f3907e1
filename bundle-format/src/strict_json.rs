//! Strict JSON: what two parsers could read differently is refused (`docs/bundle-spec.md`, "JSON").
//!
//! UTF-8 without BOM, one object that begins with the first byte and ends with the last, no repeated
//! key at any depth, depth and number of values limited, integers from 0 to 2^63-1 without sign, fraction or exponent, no
//! null. A known field has one spelling: an object never stands as a list of its values.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_VALUES};

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
    Checked::new(bytes)?.read()
}

/// Bytes that keep the rules which need no knowledge of the fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'b>(&'b [u8]);

impl<'b> Checked<'b> {
    /// Checks the rules.
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, JsonError> {
        check(bytes).map(|()| Self(bytes))
    }

    /// Reads the bytes as `T`, and compares them with what `T` would write: serde also takes a list of values for an
    /// object. What `T` doesn't know is never built, so it costs no memory.
    pub(crate) fn read<T: DeserializeOwned + Serialize>(self) -> Result<T, JsonError> {
        let document: T = serde_json::from_slice(self.0).map_err(invalid)?;
        // Mostly nothing is unknown and the writer was one as this: then the bytes themselves are equal, which is
        // cheaper to see than that all values are.
        if serde_json::to_vec(&document).is_ok_and(|written| written == self.0) {
            return Ok(document);
        }
        let written = serde_json::to_value(&document).map_err(invalid)?;
        let mut reader = serde_json::Deserializer::from_slice(self.0);
        let agrees = Written(&written).deserialize(&mut reader).map_err(invalid)?;
        if agrees { Ok(document) } else { Err(JsonError::Spelling) }
    }
}

/// Writes `document` compactly; the bytes are what gets signed. No reader would refuse them.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, JsonError> {
    let bytes = serde_json::to_vec(document).map_err(invalid)?;
    check(&bytes)?;
    Ok(bytes)
}

/// Checks the rules that `serde_json` itself doesn't have, in fields that nobody knows too.
fn check(bytes: &[u8]) -> Result<(), JsonError> {
    if bytes.first() != Some(&b'{') || bytes.last() != Some(&b'}') {
        return Err(JsonError::NotOneObject);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(MAX_JSON_VALUES);
    Strict { depth: 1, left: &left }.deserialize(&mut reader).map_err(invalid)?;
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
    let (line, column) = (error.line(), error.column());
    JsonError::Invalid(serde_json::Error::custom(format_args!("{shown} … at line {line} column {column}")))
}

/// Passes over a value; keeps nothing of it but the keys of the objects that are open.
struct Strict<'c> {
    depth: usize,
    /// How many values may still follow.
    left: &'c Cell<usize>,
}

impl Strict<'_> {
    const fn deeper(&self) -> Self {
        Self { depth: self.depth + 1, left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        // Here, and not where a list or object begins, so that an empty one counts as any value does.
        if self.depth > MAX_JSON_DEPTH {
            return Err(D::Error::custom(format_args!("nested deeper than {MAX_JSON_DEPTH}")));
        }
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format_args!("more than {MAX_JSON_VALUES} values")));
        };
        self.left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean, an integer from 0 to 2^63-1, a list or an object")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        if i64::try_from(value).is_err() {
            return Err(E::custom(format_args!("integer {value} is larger than 2^63-1")));
        }
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(self.deeper())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut keys = Keys::default();
        while let Some(key) = object.next_key_seed(Key)? {
            object.next_value_seed(self.deeper())?;
            if keys.holds(&key) {
                return Err(A::Error::custom(format_args!("key `{}` stands twice", key.escape_debug())));
            }
            keys.add(key);
        }
        Ok(())
    }
}

/// The keys of an object. Most objects have few, and then to compare is faster than to hash.
#[derive(Default)]
struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    others: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    const FEW: usize = 24;

    fn holds(&self, key: &str) -> bool {
        self.few.iter().any(|held| held == key) || self.others.contains(key)
    }

    fn add(&mut self, key: Cow<'de, str>) {
        if self.few.len() < Self::FEW {
            self.few.push(key);
        } else {
            self.others.insert(key);
        }
    }
}

/// A key, copied only if it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Tells whether what is read says all that this value says, in the same shape; it may have unknown
/// fields too. The document has passed [`check`].
struct Written<'w>(&'w Value);

impl<'de> DeserializeSeed<'de> for Written<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Written<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of strict JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        Ok(self.0.as_bool() == Some(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        Ok(self.0.as_u64() == Some(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        Ok(self.0.as_str() == Some(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Value::Array(written) = self.0 else {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(false);
        };
        let mut agrees = true;
        for value in written {
            agrees &= list.next_element_seed(Written(value))?.unwrap_or(false);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            agrees = false;
        }
        Ok(agrees)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<bool, A::Error> {
        let nothing = Map::new();
        let written = self.0.as_object();
        let (mut agrees, mut missing) = (written.is_some(), written.map_or(0, Map::len));
        while let Some(key) = object.next_key::<String>()? {
            if let Some(value) = written.unwrap_or(&nothing).get(&key) {
                agrees &= object.next_value_seed(Written(value))?;
                missing -= 1;
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(agrees && missing == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            kind: crate::container::BundleKind,
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
            kind: crate::container::BundleKind,
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
