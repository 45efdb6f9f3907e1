//! The rules that `serde_json` itself doesn't have: no key twice, depth and number of values, kinds of numbers, no null.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_VALUES};

/// Passes over a value; keeps nothing of it but the keys of the objects that are open.
pub(super) struct Strict<'c> {
    depth: usize,
    /// How many values may still follow.
    left: &'c Cell<usize>,
}

impl<'c> Strict<'c> {
    /// For a whole document, of whose values `left` counts down.
    pub(super) const fn document(left: &'c Cell<usize>) -> Self {
        Self { depth: 1, left }
    }

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
                return Err(A::Error::custom(format_args!("duplicate key `{}`", key.escape_debug())));
            }
            keys.add(key);
        }
        Ok(())
    }
}

/// The keys of an object. Most objects have few, and then to compare is faster than to hash.
#[derive(Default)]
pub(super) struct Keys<'de> {
    few: Vec<Cow<'de, str>>,
    others: HashSet<Cow<'de, str>>,
}

impl<'de> Keys<'de> {
    pub(super) const FEW: usize = 24;

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
pub(super) struct Key;

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
