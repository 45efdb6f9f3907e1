//! What reconciling would do to the cache after an install, for a dry run.

use std::collections::BTreeSet;

use bundle_format::{KernelId, Manifest, ScriptName};
use files::{Directory, FileError, FileSystem, optional};
use rustix::fs::FileType;

use crate::compat::link::{has_our_link, kind_word};
use crate::compat::opts::{foreign_opts, opts_file_name, opts_text, uname_line};
use crate::compat::places::Places;
use crate::compat::report::{CompatError, ForeignFile, ReconcileReport};
use crate::generation::module_file_name;
use crate::host::HostIdentity;

/// The links that would be made for the kernels `ids` of `manifest`, and what stands in their way. Nothing
/// is written. Links of ours that are there already lead through `current` and follow by themselves.
pub(crate) fn preview(
    host: &FileSystem,
    identity: &HostIdentity,
    manifest: &Manifest,
    ids: &BTreeSet<KernelId>,
) -> Result<ReconcileReport, CompatError> {
    let mut report = ReconcileReport::default();
    let places = Places::read(host, &mut report)?;
    let cache = optional(host.open_dir(&places.cache))?;
    let fits = |kernel: &&bundle_format::Kernel| {
        ids.contains(&kernel.id) && kernel.machine == identity.machine && identity.mismatch(kernel).is_none()
    };
    for kernel in manifest.kernels.iter().filter(fits) {
        let release = kernel.release.as_str();
        let directory = match (&cache, cache.as_ref().map(|cache| cache.kind(release)).transpose()?.flatten())
        {
            (Some(cache), Some(FileType::Directory)) => Some(cache.open_dir(release)?),
            (Some(cache), Some(kind)) => {
                report
                    .foreign
                    .push(ForeignFile { path: cache.path().join(release), what: kind_word(kind).to_owned() });
                continue;
            }
            _ => None,
        };
        let uname = uname_line(identity, kernel);
        for script in manifest.scripts.iter().filter(|script| kernel.is_green(&script.name)) {
            let path = places.cache.join(release).join(module_file_name(&script.name));
            let Some(directory) = &directory else {
                report.written.push(path);
                continue;
            };
            let opts = opts_text(&uname, &script.opts_line);
            match in_the_way(directory, &script.name, &opts)? {
                Some(foreign) => report.foreign.push(foreign),
                None if has_our_link(directory, &module_file_name(&script.name))? => {}
                None => report.written.push(path),
            }
        }
    }
    report.written.sort();
    Ok(report)
}

/// What isn't ours and has the place of a script's module, or of its `.opts` file of this text.
fn in_the_way(
    directory: &Directory,
    script: &ScriptName,
    opts: &str,
) -> Result<Option<ForeignFile>, FileError> {
    let module = module_file_name(script);
    let beside = opts_file_name(script);
    let foreign = |name: &str, what: String| Some(ForeignFile { path: directory.path().join(name), what });
    if let Some(what) = foreign_opts(directory, script, opts)? {
        return Ok(foreign(&beside, what));
    }
    let is_ours = has_our_link(directory, &module)?;
    let has_our_opts = has_our_link(directory, &beside)?;
    Ok(match (directory.kind(&module)?, directory.kind(&beside)?) {
        (Some(kind), _) if !is_ours => foreign(&module, kind_word(kind).to_owned()),
        (_, Some(kind)) if kind != FileType::RegularFile && !has_our_opts => {
            foreign(&beside, kind_word(kind).to_owned())
        }
        _ => None,
    })
}
