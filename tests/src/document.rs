//! Commands and files as the documents show them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::lab::repository;

/// The code block after the marker `<!-- NAME -->` in a document of the repository.
pub fn block(document: impl AsRef<Path>, name: &str) -> Result<String> {
    let document = document.as_ref();
    let text = fs::read_to_string(repository().join(document))?;
    let missing = || format!("{} has no block {name}", document.display());
    let (_, after) = text.split_once(&format!("<!-- {name} -->\n```")).with_context(missing)?;
    let (_, after) = after.split_once('\n').with_context(missing)?;
    let (block, _) = after.split_once("\n```").with_context(missing)?;
    Ok(block.to_owned())
}
