//! Why the documents can't be made.

/// Why the documents can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("{created} seconds since 1970 is no date")]
    NoDate { created: u64 },
    #[error("{name} can't be written")]
    Write { name: &'static str, source: serde_json::Error },
}
