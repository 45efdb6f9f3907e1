//! What reconciling would do to the cache after an install, for a dry run.

use std::collections::BTreeSet;

use bundle_format::{KernelId, KernelRelease, Manifest, ScriptName};
use files::{Directory, FileError, FileSystem, optional};
use rustix::fs::FileType;

use crate::compat::link::{has_our_link, kind_word};
use crate::compat::opts::{foreign_opts, opts_file_name, opts_text, uname_line};
use crate::compat::places::Places;
use crate::compat::reconcile::surplus;
use crate::compat::report::{CompatError, ForeignFile, ReconcileReport};
use crate::compat::wanted::wanted;
use crate::generation::{CurrentGeneration, module_file_name};
use crate::host::HostIdentity;
use crate::host::paths::{CONFIGURATION_LINK, OPTIONS_LINK};

/// The links that would be made for the kernels `ids` of `manifest` beside the other bundles of `current`, those that would be
/// removed, and what is in their way. Nothing is written. Links of ours that are there already lead through `current` and
/// follow by themselves.
pub(crate) fn preview(
    host: &FileSystem,
    identity: &HostIdentity,
    manifest: &Manifest,
    ids: &BTreeSet<KernelId>,
    current: Option<&CurrentGeneration>,
) -> Result<ReconcileReport, CompatError> {
    let mut report = ReconcileReport::default();
    let places = Places::read(host, &mut report)?;
    let configuration = optional(host.open_dir(&places.configuration))?;
    for link in [OPTIONS_LINK, CONFIGURATION_LINK] {
        if configuration.as_ref().map_or(Ok(None), |directory| directory.kind(link))?.is_none() {
            report.written.push(places.configuration.join(link));
        }
    }
    let mut left = of_others(current, identity, manifest)?;
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
            left.insert((kernel.release.clone(), script.name.clone()));
            let files = [module_file_name(&script.name), opts_file_name(&script.name)];
            let opts = opts_text(&uname, &script.opts_line);
            if let Some(directory) = &directory
                && let Some(foreign) = in_the_way(directory, &script.name, &opts)?
            {
                report.foreign.push(foreign);
                continue;
            }
            for file in files {
                let is_there =
                    directory.as_ref().map(|directory| has_our_link(directory, &file)).transpose()?;
                if is_there != Some(true) {
                    report.written.push(places.cache.join(release).join(file));
                }
            }
        }
    }
    if let Some(cache) = &cache {
        let is_left =
            |release: &KernelRelease, script: &ScriptName| left.contains(&(release.clone(), script.clone()));
        for (directory, _, files) in surplus(cache, is_left)? {
            report.removed.extend(files.iter().map(|file| directory.path().join(file)));
        }
    }
    report.written.sort();
    report.removed.sort();
    Ok(report)
}

/// What the cache shows of the other bundles, which stay.
fn of_others(
    current: Option<&CurrentGeneration>,
    identity: &HostIdentity,
    manifest: &Manifest,
) -> Result<BTreeSet<(KernelRelease, ScriptName)>, FileError> {
    let Some(current) = current else { return Ok(BTreeSet::new()) };
    let others = current.bundles().iter().filter(|bundle| bundle.name != manifest.name);
    let scripts: BTreeSet<&ScriptName> =
        others.flat_map(|bundle| &bundle.manifest.scripts).map(|script| &script.name).collect();
    let shown = wanted(current, identity, &mut Vec::new())?;
    let pairs =
        shown.iter().flat_map(|(release, scripts)| scripts.keys().map(move |script| (release, script)));
    let kept = pairs.filter(|(_, script)| scripts.contains(script));
    Ok(kept.map(|(release, script)| (release.clone(), script.clone())).collect())
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
