//! Where something stands in a configuration file.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A character of a configuration file, shown as `file:line:column`; or a whole line or file, where no more is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The file as the caller named it.
    #[serde(serialize_with = "as_text")]
    pub file: Arc<str>,
    /// The line, counted from 1; 0 for the whole file.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u32,
    /// The column in characters, counted from 1; 0 for the whole line.
    #[serde(skip_serializing_if = "is_zero")]
    pub column: u32,
}

impl Place {
    /// Returns the place at `line` and `column` of `file`.
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>, line: u32, column: u32) -> Self {
        Self { file: file.into(), line, column }
    }

    /// Returns the place that is all of `line`.
    #[must_use]
    pub fn whole_line(file: impl Into<Arc<str>>, line: u32) -> Self {
        Self::new(file, line, 0)
    }

    /// Returns the place that is all of `file`.
    #[must_use]
    pub fn whole_file(file: impl Into<Arc<str>>) -> Self {
        Self::new(file, 0, 0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        for number in [self.line, self.column].into_iter().take_while(|number| *number > 0) {
            write!(f, ":{number}")?;
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_is_shown() {
        let places = [Place::new("f", 3, 7), Place::whole_line("f", 3), Place::whole_file("f")];
        assert_eq!(places.each_ref().map(ToString::to_string), ["f:3:7", "f:3", "f"]);
        let json = places.map(|place| serde_json::to_string(&place).unwrap());
        assert_eq!(
            json,
            [r#"{"file":"f","line":3,"column":7}"#, r#"{"file":"f","line":3}"#, r#"{"file":"f"}"#]
        );
    }
}
