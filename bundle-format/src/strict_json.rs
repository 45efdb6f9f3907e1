//! Strict JSON: what two parsers could read differently is refused (`docs/bundle-spec.md`, "JSON").
//!
//! UTF-8 without BOM, one object that begins with the first byte and ends with the last, no repeated
//! key at any depth, depth limited, integers from 0 to 2^63-1 without sign, fraction or exponent.

use std::fmt;

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
}

/// Reads `bytes` as one strict JSON object of type `T`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.first() != Some(&b'{') || bytes.last() != Some(&b'}') {
        return Err(JsonError::NotOneObject);
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 1 }.deserialize(&mut reader).map_err(JsonError::Invalid)?;
    reader.end().map_err(JsonError::Invalid)?;
    serde_json::from_value(value).map_err(JsonError::Invalid)
}

/// Writes `document` compactly; the bytes are what gets signed.
pub(crate) fn write<T: serde::Serialize>(document: &T) -> Result<Vec<u8>, JsonError> {
    serde_json::to_vec(document).map_err(JsonError::Invalid)
}

/// Builds a [`Value`] while checking the rules that `serde_json` itself doesn't have.
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth >= MAX_JSON_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_JSON_DEPTH}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a boolean, null, an integer from 0 to 2^63-1, a list or an object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
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
            match list.next_element_seed(self.deeper()?)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let value = object.next_value_seed(self.deeper()?)?;
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
        assert!(!refused(r#"{"a":[1,{"b":null}],"c":"d","e":true,"f":9223372036854775807}"#));
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
    fn invalid_utf8_is_refused() {
        assert!(parse::<Map<String, Value>>(b"{\"a\":\"\xff\"}").is_err());
    }
}
