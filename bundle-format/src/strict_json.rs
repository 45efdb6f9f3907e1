//! Strict JSON: what two parsers could read differently is refused (`docs/bundle-spec.md`, "JSON").
//!
//! UTF-8 without BOM, one object that begins with the first byte and ends with the last, no repeated
//! key at any depth, depth limited, integers from 0 to 2^63-1 without sign, fraction or exponent, no
//! null. A known field has one spelling: an object never stands as a list of its values.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits::MAX_JSON_DEPTH;

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
    if bytes.first() != Some(&b'{') || bytes.last() != Some(&b'}') {
        return Err(JsonError::NotOneObject);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 1 }.deserialize(&mut reader).map_err(JsonError::Invalid)?;
    reader.end().map_err(JsonError::Invalid)?;
    let document = T::deserialize(&value).map_err(JsonError::Invalid)?;
    // serde also takes a list of values for an object, and `{"full":null}` for "full".
    let written = serde_json::to_value(&document).map_err(JsonError::Invalid)?;
    if agrees(&value, &written) { Ok(document) } else { Err(JsonError::Spelling) }
}

/// Whether `read` says all that `written` says, in the same shape; it may have unknown fields too.
fn agrees(read: &Value, written: &Value) -> bool {
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => {
            written.iter().all(|(key, value)| read.get(key).is_some_and(|read| agrees(read, value)))
        }
        (Value::Array(read), Value::Array(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(a, b)| agrees(a, b))
        }
        _ => read == written,
    }
}

/// Writes `document` compactly; the bytes are what gets signed.
pub(crate) fn write<T: Serialize>(document: &T) -> Result<Vec<u8>, JsonError> {
    serde_json::to_vec(document).map_err(JsonError::Invalid)
}

/// Builds a [`Value`] while checking the rules that `serde_json` itself doesn't have.
struct Strict {
    depth: usize,
}

impl Strict {
    const fn deeper(&self) -> Self {
        Self { depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        // Here, and not where a list or object begins, so that an empty one counts as any value does.
        if self.depth > MAX_JSON_DEPTH {
            return Err(D::Error::custom(format_args!("nested deeper than {MAX_JSON_DEPTH}")));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean, an integer from 0 to 2^63-1, a list or an object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if i64::try_from(value).is_err() {
            return Err(E::custom(format_args!("integer {value} is larger than 2^63-1")));
        }
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            match list.next_element_seed(self.deeper())? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let value = object.next_value_seed(self.deeper())?;
            if values.contains_key(&key) {
                return Err(A::Error::custom(format_args!("key `{}` stands twice", key.escape_debug())));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
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
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"x":{"a":1,"\u0061":2}}"#,
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
    fn invalid_utf8_is_refused() {
        assert!(parse::<Map<String, Value>>(b"{\"a\":\"\xff\"}").is_err());
    }
}
