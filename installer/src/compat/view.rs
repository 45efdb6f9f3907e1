//! What stock tools see of a generation: its own directory `initscript`, through which all links outside lead.
//!
//! `initscript/REL/NAME.ko` is a relative link to the module in `kernels/`, `initscript/REL/NAME.opts` a file. So which
//! names there are, whichever kernel a release is and which options a module has changes with the generation, in one step.
//! The first line of an `.opts` file and the kernel of a release are this host's: like `stap-bundle.conf`, they may be
//! brought up to it while the generation is current, each file in one step.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::ScriptName;
use files::{Directory, FileError};
use rustix::fs::FileType;

use crate::compat::link::put_text;
use crate::compat::opts::{MAX_OPTS, opts_file_name};
use crate::compat::report::ReconcileReport;
use crate::compat::wanted::{CacheEntry, Wanted};
use crate::generation::{CurrentGeneration, module_file_name};
use crate::host::paths::{KERNELS, VIEW};

/// Brings the view of `generation` in line with `wanted`; it is on the disk when this returns.
pub(super) fn write_view(
    generation: &CurrentGeneration,
    wanted: &Wanted,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    let directory = generation.directory();
    let shown = || wanted.iter().filter(|(_, scripts)| !scripts.is_empty());
    if shown().next().is_none() && directory.kind(VIEW)?.is_none() {
        return Ok(());
    }
    // What is right may be so in memory only, after a run that was killed: directories are synced in any case.
    let view = directory.ensure_dir(VIEW)?;
    for (release, scripts) in shown() {
        fill(&view.ensure_dir(release.as_str())?, scripts, report)?;
    }
    for name in view.entries()? {
        let scripts = shown().find(|(release, _)| release.as_str() == name).map(|(_, scripts)| scripts);
        match scripts {
            Some(scripts) => {
                let directory = view.open_dir(&name)?;
                clear(&directory, scripts, report)?;
                directory.sync()?;
            }
            None => remove(&view, &name, report)?,
        }
    }
    view.sync()?;
    directory.sync()
}

/// Options come before their module: a module whose options aren't there would be compiled again.
fn fill(
    directory: &Directory,
    scripts: &BTreeMap<ScriptName, CacheEntry>,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    for (script, entry) in scripts {
        let opts = opts_file_name(script);
        let text = entry.opts.as_bytes();
        match directory.kind(&opts)? {
            Some(FileType::RegularFile)
                if directory.read_file(&opts, MAX_OPTS).is_ok_and(|found| found == text) => {}
            None => {
                directory.write_synced(&opts, text)?;
                report.written.push(directory.path().join(&opts));
            }
            Some(_) => {
                directory.replace_file(&opts, text)?;
                report.written.push(directory.path().join(&opts));
            }
        }
        let module = module_file_name(script);
        let target = format!("../../{KERNELS}/{}/{module}", entry.kernel.short());
        let is_right =
            directory.kind(&module)? == Some(FileType::Symlink) && directory.read_link(&module)? == target;
        if !is_right {
            put_text(directory, &module, &target)?;
            report.written.push(directory.path().join(&module));
        }
    }
    Ok(())
}

fn clear(
    directory: &Directory,
    scripts: &BTreeMap<ScriptName, CacheEntry>,
    report: &mut ReconcileReport,
) -> Result<(), FileError> {
    let wanted: BTreeSet<String> =
        scripts.keys().flat_map(|script| [module_file_name(script), opts_file_name(script)]).collect();
    let surplus = directory.entries()?.into_iter().filter(|name| !wanted.contains(name));
    surplus.into_iter().try_for_each(|name| remove(directory, &name, report))
}

fn remove(directory: &Directory, name: &str, report: &mut ReconcileReport) -> Result<(), FileError> {
    directory.remove_tree(name)?;
    report.removed.push(directory.path().join(name));
    Ok(())
}
