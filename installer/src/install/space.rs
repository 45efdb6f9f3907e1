//! Whether there is room, before anything is written and after a write has failed.

use std::collections::BTreeSet;

use bundle_format::{Digest, Kernel, KernelId, Manifest, limits};
use files::{Directory, FileError};

use crate::generation::{CurrentGeneration, disk_usage};
use crate::install::error::InstallError;
use crate::trust::Policy;

/// Bytes that the new generation takes at least: the kept bundle and the chosen kernels' modules, but for frames that `current` has
/// unpacked with the same content: their modules get a second name. Tails of blocks, directories and indexes come on top.
pub(crate) fn needed(
    manifest: &Manifest,
    chosen: &BTreeSet<KernelId>,
    current: Option<&CurrentGeneration>,
) -> u64 {
    let there = current.map(|current| unpacked(current, manifest)).unwrap_or_default();
    let wanted = manifest.kernels.iter().filter(|kernel| chosen.contains(&kernel.id));
    let frames = wanted.flat_map(|kernel| kernel.frames.iter().map(move |frame| (kernel.id, frame)));
    let new = frames.filter(|(kernel, frame)| !there.contains(&(*kernel, frame.plain_sha256)));
    let modules: u64 = new.map(|(_, frame)| frame.plain_size).sum();
    content_len(manifest).saturating_add(modules)
}

/// Frames of the installed bundle of that name whose modules are unpacked.
fn unpacked(current: &CurrentGeneration, manifest: &Manifest) -> BTreeSet<(KernelId, Digest)> {
    let Some(old) = current.bundles().iter().find(|bundle| bundle.name == manifest.name) else {
        return BTreeSet::new();
    };
    let has_set = |kernel: &&Kernel| old.raw_set(&kernel.id, 0).is_ok_and(|set| set.is_some());
    let kernels = old.manifest.kernels.iter().filter(has_set);
    kernels.flat_map(|kernel| kernel.frames.iter().map(|frame| (kernel.id, frame.plain_sha256))).collect()
}

/// Bytes from behind the manifest to the end of a file that has all frames.
pub(super) fn content_len(manifest: &Manifest) -> u64 {
    let frames = manifest.kernels.iter().flat_map(|kernel| &kernel.frames).map(|frame| frame.size);
    let extras = manifest.extras.iter().map(|extra| extra.size);
    let block = limits::BLOCK as u64;
    let span = |size: u64| block.saturating_add(size.div_ceil(block).saturating_mul(block));
    frames.chain(extras).map(span).fold(limits::END_MARK as u64, u64::saturating_add)
}

/// Refuses before anything is written what would fail for lack of space, or pass the quota. `state` is the state directory, or
/// the one in which it will be made.
pub(super) fn check(
    state: &Directory,
    generations: Option<&Directory>,
    policy: &Policy,
    needed: u64,
) -> Result<(), InstallError> {
    if let Some(free) = state.free_bytes()?.filter(|free| *free < needed) {
        return Err(InstallError::NoSpace { needed, free, source: None });
    }
    let Some(quota) = policy.generations.quota() else { return Ok(()) };
    let used = generations.map_or(Ok(0), disk_usage)?;
    if used.saturating_add(needed) > quota {
        return Err(InstallError::Quota { needed, used, quota });
    }
    Ok(())
}

/// Says of a failed write that space was the cause, with the numbers.
pub(super) fn explained(error: InstallError, state: &Directory, needed: u64) -> InstallError {
    match error {
        InstallError::Storage(source) if source.is_no_space() => with_numbers(source, state, needed),
        other => other,
    }
}

fn with_numbers(source: FileError, state: &Directory, needed: u64) -> InstallError {
    let free = state.free_bytes().ok().flatten().unwrap_or(0);
    InstallError::NoSpace { needed, free, source: Some(source) }
}
