//! What must hold between a manifest's fields; checked before anything uses them.
//!
//! The signature says who wrote the manifest, not that it makes sense: a farm with a defect must not
//! make a host read, reserve or write more than the limits, or twice.

use std::collections::BTreeSet;

use crate::container::FORMAT;
use crate::error::BundleError;
use crate::limits::{
    MAX_EXTRAS, MAX_FRAMES, MAX_MEMBER, MAX_PLAIN_FRAME, MAX_REFERENCE_AND_FRAME, MAX_REFERENCE_DEPTH,
    MAX_ROOTS, MAX_SCRIPTS, MAX_TEXT, max_compressed,
};
use crate::manifest::{Frame, Kernel, Manifest, ScriptRecord};

/// Minor version of the format that this reader knows.
const READER_MINOR: u32 = 0;

macro_rules! must {
    ($holds:expr, $($problem:tt)+) => {
        if !$holds {
            return Err(BundleError::Manifest { problem: format!($($problem)+) });
        }
    };
}

/// Checks all of it.
pub(crate) fn check(manifest: &Manifest) -> Result<(), BundleError> {
    if manifest.minimum_reader > READER_MINOR {
        return Err(BundleError::Critical { what: format!("format 1.{}", manifest.minimum_reader) });
    }
    if let Some(what) = manifest.critical.first() {
        return Err(BundleError::Critical { what: printable(what) });
    }
    must!(manifest.format == FORMAT, "format is {}, expected {FORMAT}", manifest.format);
    must!(manifest.roots.size <= MAX_ROOTS, "roots has {} bytes, limit {MAX_ROOTS}", manifest.roots.size);
    check_extras(manifest)?;
    must!(!manifest.toolchains.is_empty(), "no toolchain");
    for toolchain in &manifest.toolchains {
        must!(
            is_text(&toolchain.stap) && is_text(&toolchain.compiler),
            "a toolchain's text is not printable"
        );
    }
    check_scripts(manifest)?;
    check_kernels(manifest)?;
    check_frames(manifest)?;
    let content = manifest.content_digest();
    must!(manifest.content == content, "content is {}, computed {content}", manifest.content);
    Ok(())
}

fn check_extras(manifest: &Manifest) -> Result<(), BundleError> {
    must!(manifest.extras.len() <= MAX_EXTRAS, "{} extras, limit {MAX_EXTRAS}", manifest.extras.len());
    let mut names = BTreeSet::new();
    for extra in &manifest.extras {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let good = !extra.name.is_empty()
            && extra.name.len() <= 64
            && extra.name.bytes().all(plain)
            && !extra.name.starts_with('.')
            && !["stap-bundle", "signatures", "roots", "manifest.json"].contains(&extra.name.as_str());
        must!(good, "`{}` is no name for an extra", printable(&extra.name));
        must!(names.insert(&extra.name), "extra `{}` stands twice", extra.name);
        must!(extra.size <= MAX_MEMBER, "extra `{}` has {} bytes", extra.name, extra.size);
    }
    Ok(())
}

fn check_scripts(manifest: &Manifest) -> Result<(), BundleError> {
    must!(manifest.scripts.len() <= MAX_SCRIPTS, "{} scripts, limit {MAX_SCRIPTS}", manifest.scripts.len());
    must!(
        ascending(&manifest.scripts, |script| &script.name),
        "scripts are not sorted by name, or one stands twice"
    );
    let mut folded = BTreeSet::new();
    for script in &manifest.scripts {
        // One file system in two ignores case: twins would overwrite each other there.
        must!(
            folded.insert(script.name.as_str().to_ascii_lowercase()),
            "script `{}` differs from another only in case",
            script.name
        );
        check_script(manifest, script)?;
    }
    Ok(())
}

fn check_script(manifest: &Manifest, script: &ScriptRecord) -> Result<(), BundleError> {
    let name = &script.name;
    let lists = [&script.compile, &script.arguments, &script.run, &script.users];
    let mut texts = lists.into_iter().flatten().chain([&script.options, &script.opts_line]);
    must!(
        texts.all(|text| is_argument(text)),
        "an option of script `{name}` is too long or holds a control character"
    );
    must!(ascending(&script.requires, |required| required), "requirements of `{name}` are not sorted");
    for required in &script.requires {
        must!(required != name, "script `{name}` requires itself");
        must!(
            manifest.script(required).is_some(),
            "script `{name}` requires `{required}`, which is not in the bundle"
        );
    }
    Ok(())
}

fn check_kernels(manifest: &Manifest) -> Result<(), BundleError> {
    must!(!manifest.kernels.is_empty(), "no kernel");
    must!(
        ascending(&manifest.kernels, |kernel| &kernel.id),
        "kernels are not sorted by id, or one stands twice"
    );
    for kernel in &manifest.kernels {
        let release = &kernel.release;
        must!(kernel.id == kernel.computed_id(), "the id of kernel {release} is not that of its facts");
        let facts = [&kernel.uname_v, &kernel.vermagic];
        must!(
            facts.into_iter().flatten().all(|fact| !fact.is_empty() && is_text(fact)),
            "a fact of kernel {release} is empty or not printable"
        );
        let fits =
            kernel.vermagic.as_ref().is_none_or(|magic| magic.split(' ').next() == Some(release.as_str()));
        must!(fits, "the vermagic of kernel {release} is for another release");
        must!(
            kernel.toolchain < manifest.toolchains.len(),
            "kernel {release} names toolchain {}",
            kernel.toolchain
        );
        check_cells(manifest, kernel)?;
    }
    Ok(())
}

fn check_cells(manifest: &Manifest, kernel: &Kernel) -> Result<(), BundleError> {
    let release = &kernel.release;
    must!(ascending(&kernel.red, |cell| &cell.script), "red cells of kernel {release} are not sorted");
    for cell in &kernel.red {
        must!(
            manifest.script(&cell.script).is_some(),
            "red cell `{}` is no script of the bundle",
            cell.script
        );
        must!(is_text(&cell.reason), "the reason of red cell `{}` is not printable", cell.script);
    }
    let green = manifest.scripts.len() - kernel.red.len();
    must!(
        (green == 0) == kernel.frames.is_empty(),
        "kernel {release} has {green} modules and {} frames",
        kernel.frames.len()
    );
    must!(green == 0 || kernel.vermagic.is_some(), "kernel {release} has modules but no vermagic");
    must!(ascending(&kernel.frames, |frame| &frame.index), "frames of kernel {release} are not sorted");
    Ok(())
}

fn check_frames(manifest: &Manifest) -> Result<(), BundleError> {
    let frames = manifest.frames();
    must!(frames.len() <= MAX_FRAMES, "{} frames, limit {MAX_FRAMES}", frames.len());
    let mut depth: Vec<usize> = Vec::with_capacity(frames.len());
    for (position, of) in frames.iter().enumerate() {
        let Frame { index, reference, size, plain_size, .. } = of.frame;
        must!(*index == position, "frame indexes are not 0 to {}", frames.len() - 1);
        must!(
            *plain_size > 0 && *plain_size <= MAX_PLAIN_FRAME,
            "frame {index} has {plain_size} plain bytes"
        );
        must!(*size > 0 && *size <= max_compressed(*plain_size), "frame {index} has {size} compressed bytes");
        depth.push(match reference {
            None => 0,
            Some(reference) => {
                let Some(target) = frames.get(*reference).filter(|_| reference < index) else {
                    must!(false, "frame {index} refers to frame {reference}, which is not an earlier one");
                    return Ok(());
                };
                let both = plain_size + target.frame.plain_size;
                must!(both <= MAX_REFERENCE_AND_FRAME, "frame {index} and its reference have {both} bytes");
                depth.get(*reference).copied().unwrap_or(0) + 1
            }
        });
        must!(
            depth.last().is_some_and(|depth| *depth <= MAX_REFERENCE_DEPTH),
            "frame {index} has a chain of more than {MAX_REFERENCE_DEPTH} references"
        );
    }
    Ok(())
}

/// Whether `list` is strictly ascending by `key`: sorted, and nothing twice.
fn ascending<T, K: Ord>(list: &[T], key: impl Fn(&T) -> &K) -> bool {
    list.windows(2).all(|pair| matches!(pair, [a, b] if key(a) < key(b)))
}

/// Printable ASCII, not over long: what may reach a terminal.
fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// What may be an argument of a program: anything but control characters, not over long.
fn is_argument(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn printable(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}
