//! Whether a document is spelled as a writer would write it; where it isn't, whether it says the same in the same shape.

use std::fmt;
use std::io::{self, Write};

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::ser::{CompactFormatter, Formatter};
use serde_json::{Map, Value};

use crate::limits::MAX_JSON_DEPTH;

/// Takes exactly these bytes, and ends with an error at the first other one: nothing is kept to compare.
pub(super) struct Expected<'b>(pub(super) &'b [u8]);

impl Write for Expected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0 = self.0.strip_prefix(bytes).ok_or(io::ErrorKind::InvalidData)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes as `serde_json` does without white space, but nothing that [`check`] would refuse.
#[derive(Default)]
pub(super) struct StrictCompact {
    open: usize,
}

impl StrictCompact {
    fn begin<W: Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.open += 1;
        // There may be a value in it, one level deeper.
        if self.open >= MAX_JSON_DEPTH {
            return Err(io::ErrorKind::InvalidData.into());
        }
        writer.write_all(bracket)
    }

    fn end<W: Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.open = self.open.saturating_sub(1);
        writer.write_all(bracket)
    }
}

macro_rules! refused {
    ($($write:ident($($value:ty)?)),*) => {$(
        fn $write<W: Write + ?Sized>(&mut self, _: &mut W $(, _: $value)?) -> io::Result<()> {
            Err(io::ErrorKind::InvalidData.into())
        }
    )*};
}

impl Formatter for StrictCompact {
    refused!(
        write_null(),
        write_i8(i8),
        write_i16(i16),
        write_i32(i32),
        write_i64(i64),
        write_i128(i128),
        write_u128(u128),
        write_f32(f32),
        write_f64(f64),
        write_number_str(&str),
        write_raw_fragment(&str)
    );

    fn write_u64<W: Write + ?Sized>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        let value = i64::try_from(value).map_err(|_| io::ErrorKind::InvalidData)?;
        CompactFormatter.write_i64(writer, value)
    }

    fn begin_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }
}

/// Tells whether what is read says all that this value says, in the same shape; it may have unknown
/// fields too. The document has passed [`check`].
pub(super) struct Written<'w>(pub(super) &'w Value);

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
        let mut agrees = written.is_some();
        let mut missing = written.map_or(0, Map::len);
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
