//! Brings what is written for the initscript in line with the current generation.

use std::collections::BTreeMap;

use bundle_format::{KernelRelease, ScriptName, Twin};
use files::{Directory, FileError, FileSystem, optional};
use rustix::fs::FileType;

use crate::compat::configuration::bring_in_line;
use crate::compat::lacking::lacking_at;
use crate::compat::link::{has_our_link, kind_word, link_text, move_aside, put_link, put_text};
use crate::compat::opts::{foreign_opts, opts_file_name};
use crate::compat::places::Places;
use crate::compat::report::{CompatError, Foreign, ForeignFile, ReadOnly, ReconcileReport, Work};
use crate::compat::scripts::{other_scripts_at, settle_times};
use crate::compat::users::reconcile_users;
use crate::compat::view::write_view;
use crate::compat::wanted::{CacheEntry, Wanted, wanted};
use crate::generation::module_file_name;
use crate::host::paths::VIEW;
use crate::host::{HostIdentity, WriterLock};
use crate::state::State;

/// How files of a script end in the cache, in the order in which they go.
const KINDS: [&str; 2] = [".opts", ".ko"];

/// Brings cache links, `.opts` and the conf.d link in line with the current generation.
pub fn reconcile(host: &FileSystem, identity: &HostIdentity) -> Result<ReconcileReport, CompatError> {
    let lock = WriterLock::acquire(host)?;
    reconcile_locked(&State::of(host), identity, &lock, Foreign::Leave, None)
}

/// The same for one who has the lock, and may have verified a bundle under it.
pub(crate) fn reconcile_locked(
    state: &State<'_>,
    identity: &HostIdentity,
    _lock: &WriterLock,
    foreign: Foreign,
    known: Option<&Twin>,
) -> Result<ReconcileReport, CompatError> {
    let mut work = Work { foreign, ..Work::default() };
    let current = state.current(known)?;
    let current = current.as_ref();
    let host = state.host;
    let places = Places::read(host, &mut work.report)?;
    let wanted = match current {
        Some(generation) => wanted(generation, identity, &mut work.report.warnings)?,
        None => Wanted::new(),
    };
    if let Some(generation) = current {
        write_view(generation, &wanted, &mut work.report)?;
    }
    let mut refused = ReadOnly::default();
    bring_in_line::<CompatError>(state, &places.configuration, current, (&mut work, &mut refused))?;
    refused.pass(make_links(host, &places, &wanted, &mut work))?;
    if let Some(cache) = optional(host.open_dir(&places.cache))? {
        refused.pass(clear(&cache, &wanted, &mut work.report))?;
    }
    if let Some(generation) = current {
        work.report.warnings.extend(other_scripts_at(host, &places, generation)?);
        settle_times(host, &places, generation, &wanted, &mut work.report)?;
    }
    refused.pass(reconcile_users(host, current, &wanted, &mut work))?;
    if let (Some(generation), false) = (current, refused.0.is_empty()) {
        work.report.lacking = lacking_at(host, &places, generation, &wanted)?;
    }
    if work.report.lacking.is_empty() {
        work.report.warnings.extend(refused.0);
    }
    Ok(work.report)
}

/// Makes the links of all releases.
pub(super) fn make_links(
    host: &FileSystem,
    places: &Places,
    wanted: &Wanted,
    work: &mut Work,
) -> Result<(), FileError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let cache = host.ensure_dir(&places.cache)?;
    wanted.iter().try_for_each(|(release, scripts)| fill(host, &cache, release, scripts, work))
}

/// Makes the links of one release, through the view: they are the same for every generation, and of a name that one doesn't
/// have they lead nowhere while it is current.
fn fill(
    host: &FileSystem,
    cache: &Directory,
    release: &KernelRelease,
    scripts: &BTreeMap<ScriptName, CacheEntry>,
    work: &mut Work,
) -> Result<(), FileError> {
    if let Some(kind) = cache.kind(release.as_str())?.filter(|kind| *kind != FileType::Directory) {
        let path = cache.path().join(release.as_str());
        work.report.foreign.push(ForeignFile { path, what: kind_word(kind).to_owned() });
        return Ok(());
    }
    let directory = cache.ensure_dir(release.as_str())?;
    let here = host.real_path(&directory);
    for (script, entry) in scripts {
        let module = module_file_name(script);
        if let Some(what) = foreign_opts(&directory, script, &entry.opts)?
            && !move_aside(&directory, &opts_file_name(script), what, work)?
        {
            continue;
        }
        let was_ours = has_our_link(&directory, &module)?;
        let inside = |file: &str| link_text(&here, &format!("{VIEW}/{release}/{file}"));
        if put_link(&directory, &module, &inside(&module), work)? {
            if !was_ours {
                opts_of_another(&directory, script, work)?;
            }
            let opts = opts_file_name(script);
            put_opts(&directory, &opts, &inside(&opts), work)?;
        }
    }
    directory.sync()
}

/// The options of a foreign module that was moved aside go the same way.
fn opts_of_another(directory: &Directory, script: &ScriptName, work: &mut Work) -> Result<(), FileError> {
    let name = opts_file_name(script);
    let moved = work
        .report
        .moved
        .last()
        .is_some_and(|(from, _)| *from == directory.path().join(module_file_name(script)));
    if moved && directory.kind(&name)? == Some(FileType::RegularFile) {
        move_aside(directory, &name, "file".to_owned(), work)?;
    }
    Ok(())
}

/// Makes the link to the options beside our link to the module. A plain file there is what an earlier version wrote.
fn put_opts(directory: &Directory, name: &str, text: &str, work: &mut Work) -> Result<(), FileError> {
    if directory.kind(name)? == Some(FileType::RegularFile) {
        put_text(directory, name, text)?;
        work.report.written.push(directory.path().join(name));
        return Ok(());
    }
    put_link(directory, name, text, work).map(|_| ())
}

/// Removes our links that nothing wants any more. They lead nowhere by now. An `.opts` file of an earlier version goes before
/// the link beside it, by which the next run knows the pair as ours.
fn clear(cache: &Directory, wanted: &Wanted, report: &mut ReconcileReport) -> Result<(), FileError> {
    let is_wanted = |release: &KernelRelease, script: &ScriptName| {
        wanted.get(release).is_some_and(|scripts| scripts.contains_key(script))
    };
    for (directory, name, files) in surplus(cache, is_wanted)? {
        for kind in KINDS {
            for file in files.iter().filter(|file| file.ends_with(kind)) {
                directory.unlink(file)?;
                report.removed.push(directory.path().join(file));
            }
            directory.sync()?;
        }
        if directory.entries()?.is_empty() {
            cache.remove_dir(&name)?;
            report.removed.push(directory.path().to_owned());
        }
    }
    Ok(())
}

/// Files of ours in the cache that nothing wants, by the directory of their release and its name.
pub(super) fn surplus(
    cache: &Directory,
    is_wanted: impl Fn(&KernelRelease, &ScriptName) -> bool,
) -> Result<Vec<(Directory, String, Vec<String>)>, FileError> {
    let mut found = Vec::new();
    for name in cache.entries()? {
        let Ok(release) = name.parse::<KernelRelease>() else { continue };
        if cache.kind(&name)? != Some(FileType::Directory) {
            continue;
        }
        let directory = cache.open_dir(&name)?;
        let mut files = Vec::new();
        for file in directory.entries()? {
            let stem = KINDS.into_iter().find_map(|kind| file.strip_suffix(kind));
            let Some(Ok(script)) = stem.map(str::parse::<ScriptName>) else { continue };
            if !is_wanted(&release, &script) && is_ours_there(&directory, &script, &file)? {
                files.push(file);
            }
        }
        if !files.is_empty() {
            found.push((directory, name, files));
        }
    }
    Ok(found)
}

/// Whether `file` of a script is our link, or the plain `.opts` file beside our link to its module.
fn is_ours_there(directory: &Directory, script: &ScriptName, file: &str) -> Result<bool, FileError> {
    if has_our_link(directory, file)? {
        return Ok(true);
    }
    let is_file = directory.kind(file)? == Some(FileType::RegularFile);
    Ok(is_file && file.strip_suffix(".opts").is_some() && has_our_link(directory, &module_file_name(script))?)
}
