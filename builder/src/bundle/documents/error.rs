//! Why the documents can't be made.

/// Why the documents can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// `created` is beyond the calendar.
    #[error("{created} seconds since 1970 is no date")]
    NoDate {
        /// The number.
        created: u64,
    },
    /// A document can't be written.
    #[error("{name} can't be written")]
    Write {
        /// The extra's name.
        name: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}
