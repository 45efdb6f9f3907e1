//! How much space generations take. They share files by hard links, which count once.

use std::collections::{BTreeMap, BTreeSet};

use files::{Directory, FileError, file_type};
use rustix::fs::FileType;

use crate::generation::layout::parse_number;

/// Bytes of a block in a stat record (stat(2)).
const STAT_BLOCK: u64 = 512;

/// The bytes of each file, by its device and its number there.
type Files = BTreeMap<(u64, u64), u64>;

/// Bytes of everything in `directory`.
pub(crate) fn disk_usage(directory: &Directory) -> Result<u64, FileError> {
    let mut files = Files::new();
    add(directory, &mut files)?;
    Ok(files.values().sum())
}

/// Bytes of all generations but `without`.
pub(crate) fn tree_usage(generations: &Directory, without: &BTreeSet<u64>) -> Result<u64, FileError> {
    let mut files = Files::new();
    for name in generations.entries()? {
        if parse_number(&name).is_some_and(|number| without.contains(&number)) {
            continue;
        }
        add_entry(generations, &name, &mut files)?;
    }
    Ok(files.values().sum())
}

/// Bytes that are free if `generation` goes after `gone`: those of files that no other one has.
pub(crate) fn freed_by(
    generations: &Directory,
    generation: u64,
    gone: &BTreeSet<u64>,
) -> Result<u64, FileError> {
    let mut without = gone.clone();
    let before = tree_usage(generations, &without)?;
    without.insert(generation);
    Ok(before.saturating_sub(tree_usage(generations, &without)?))
}

fn add(directory: &Directory, files: &mut Files) -> Result<(), FileError> {
    directory.entries()?.iter().try_for_each(|name| add_entry(directory, name, files))
}

fn add_entry(directory: &Directory, name: &str, files: &mut Files) -> Result<(), FileError> {
    if let Some(stat) = directory.stat(name)? {
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(STAT_BLOCK);
        files.insert((stat.st_dev, stat.st_ino), bytes);
        if file_type(&stat) == FileType::Directory {
            add(&directory.open_dir(name)?, files)?;
        }
    }
    Ok(())
}
