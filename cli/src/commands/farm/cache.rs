//! `cache`: looking after what builds keep.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use builder::{ArtifactCache, BuildDirectories, Builders, CollectedState, RemovedEntries};
use serde_json::json;

use super::directories::cache_directory;
use super::key_failure::key_failure;
use crate::commands::farm::builder_options::{BuilderOptions, LIST_THEM, could_be_taken, why_not_taken};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::{bytes, count};

/// Look after the results that builds keep
///
/// They are plain files below `artifacts` of the cache directory, addressed by what went into them: farms may share them
/// with rsync, and whatever is damaged counts as not there.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Read every result and compare it with its record; ends with 1 if one is damaged
    ///
    /// The next build makes damaged ones again.
    Verify {
        #[command(flatten)]
        place: CacheArgs,
    },
    /// Copy the results that DIR lacks to it, such as a directory that several farms share
    ///
    /// DIR is laid out as `artifacts` of a cache; `build --artifacts DIR` uses it as it is. Only damaged
    /// results, and those of builders that aren't listed here, are replaced.
    Push {
        #[command(flatten)]
        place: CacheArgs,
        #[command(flatten)]
        builders: BuilderOptions,
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Copy the results that this cache lacks from DIR
    ///
    /// Damaged results and results of unlisted builders aren't copied, and either ends the command with 1. A build that uses
    /// what was copied needs the same --builders.
    Pull {
        #[command(flatten)]
        place: CacheArgs,
        #[command(flatten)]
        builders: BuilderOptions,
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Remove what no build has used for a while
    ///
    /// Results, stap's caches of kernels, and what is remembered of files. While a build runs, results alone are removed. With
    /// --artifacts and without --cache, only that directory is looked after.
    Gc {
        #[command(flatten)]
        place: CacheArgs,
        /// Keep what was used within so many days; uses are noted once a day, so some stays a day longer.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        keep: u32,
        /// Only say what would be removed.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Where the cache is.
#[derive(Debug, clap::Args)]
pub(crate) struct CacheArgs {
    /// The cache directory, as for `build` [default: ~/.cache/stap-bundle].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Where its results are, if apart from it: what `build --artifacts` was given, or `cache push` wrote to.
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
}

impl CacheArgs {
    fn open(&self, builders: Builders) -> Result<(PathBuf, ArtifactCache), Failure> {
        let path = self.artifacts()?;
        if !path.is_dir() {
            return Err(Failure::new(
                Exit::Usage,
                format!("there is no cache: {} is no directory", path.display()),
            )
            .hint("--cache and --artifacts name the directories that were given to `build`"));
        }
        Ok((path.clone(), ArtifactCache::new(path, builders)))
    }

    /// Whose results are taken: those of `options`, and this cache's own builder's.
    fn builders(&self, options: &BuilderOptions) -> Result<Builders, Failure> {
        self.own_key(options.read()?)
    }

    fn own_key(&self, builders: Builders) -> Result<Builders, Failure> {
        // Results alone may be looked after without a home, whose cache would have a key.
        let Ok(cache) = cache_directory(self.cache.as_deref()) else { return Ok(builders) };
        builders.with_key_of(&BuildDirectories::beneath(&cache)).map_err(|error| key_failure(&error))
    }

    /// The rest of the cache, unless a directory of results alone is meant.
    fn state(&self) -> Result<Option<BuildDirectories>, Failure> {
        if self.artifacts.is_some() && self.cache.is_none() {
            return Ok(None);
        }
        let directories = BuildDirectories::beneath(&cache_directory(self.cache.as_deref())?);
        Ok(Some(match &self.artifacts {
            Some(_) => directories.with_artifacts(&self.artifacts()?),
            None => directories,
        }))
    }

    fn artifacts(&self) -> Result<PathBuf, Failure> {
        if let Some(artifacts) = &self.artifacts {
            return std::path::absolute(artifacts)
                .map_err(|error| Failure::of(Exit::Usage, &error).about(artifacts.display()));
        }
        let directories = BuildDirectories::beneath(&cache_directory(self.cache.as_deref())?);
        Ok(directories.artifacts().to_owned())
    }
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        match self {
            Self::Verify { place } => verify(&place, ui),
            Self::Push { place, builders, directory } => {
                let builders = place.builders(&builders)?;
                let (path, cache) = place.open(builders.clone())?;
                share((&path, &cache), (&directory, &ArtifactCache::new(directory.clone(), builders)), ui)
            }
            Self::Pull { place, builders, directory } => pull(&place, &builders, &directory, ui),
            Self::Gc { place, keep, dry_run } => collect(&place, keep, dry_run, ui),
        }
    }
}

fn verify(place: &CacheArgs, ui: &mut Ui) -> Result<Exit, Failure> {
    let (path, cache) = place.open(place.own_key(Builders::default())?)?;
    let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(path.display());
    let contents = cache.verify().map_err(failed)?;
    let exit = if contents.damaged.is_empty() { Exit::Done } else { Exit::Failed };
    if ui.json {
        ui.document(&json!({
            "cache": path, "modules": contents.modules, "failures": contents.failures, "bytes": contents.bytes,
            "damaged": contents.damaged,
        }));
        return Ok(exit);
    }
    for damaged in &contents.damaged {
        ui.warning(format!("{} is damaged; the next build that needs it makes it again", damaged.display()));
    }
    let modules = count(contents.modules, "module");
    let failures = count(contents.failures, "failed compile");
    ui.line(format!("{modules} and {failures} are whole, {}: {}", bytes(contents.bytes), path.display()));
    Ok(exit)
}

fn pull(place: &CacheArgs, builders: &BuilderOptions, from: &Path, ui: &mut Ui) -> Result<Exit, Failure> {
    if !from.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("{} is no directory", from.display()))
            .hint("it is what `cache push DIR` wrote to, or what `build --artifacts DIR` uses"));
    }
    let to = place.artifacts()?;
    let builders = place.builders(builders)?;
    let there = ArtifactCache::new(from.to_owned(), builders.clone());
    share((from, &there), (&to, &ArtifactCache::new(to.clone(), builders)), ui)
}

fn share(from: (&Path, &ArtifactCache), to: (&Path, &ArtifactCache), ui: &mut Ui) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::of(Exit::Storage, &error).about(format!("{} to {}", from.0.display(), to.0.display()))
    };
    let shared = from.1.copy_to(to.1).map_err(failed)?;
    let is_all = shared.damaged.is_empty() && shared.not_taken.is_empty();
    let exit = if is_all { Exit::Done } else { Exit::Failed };
    let not_taken = why_not_taken(&shared.not_taken);
    if ui.json {
        ui.document(&json!({
            "from": from.0, "to": to.0, "copied": shared.entries, "bytes": shared.bytes, "there": shared.there,
            "damaged": shared.damaged, "not_taken": not_taken,
        }));
        return Ok(exit);
    }
    for damaged in &shared.damaged {
        ui.warning(format!("{} is damaged and wasn't copied", damaged.display()));
    }
    for why in not_taken {
        ui.warning(format!("not copied: {why}"));
    }
    if could_be_taken(&shared.not_taken) > 0 {
        ui.progress(LIST_THEM);
    }
    let copied = count(shared.entries, "result");
    let there = shared.there;
    ui.line(format!("{copied} copied, {}; {there} were there: {}", bytes(shared.bytes), to.0.display()));
    Ok(exit)
}

fn collect(place: &CacheArgs, keep: u32, dry_run: bool, ui: &mut Ui) -> Result<Exit, Failure> {
    let (path, cache) = place.open(Builders::default())?;
    let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(path.display());
    let age = Duration::from_secs(u64::from(keep) * 24 * 3600);
    let collected = cache.collect(age, SystemTime::now(), dry_run).map_err(failed)?;
    // A directory of results may be shared by farms: what else there is belongs to one.
    let state = match place.state()? {
        Some(directories) => directories.collect(age, SystemTime::now(), dry_run).map_err(failed)?,
        None => Some(CollectedState::default()),
    };
    if ui.json {
        let of = |collected: RemovedEntries| json!({ "removed": collected.entries, "bytes": collected.bytes, "kept": collected.kept });
        ui.document(&json!({
            "cache": path, "removed": collected.entries, "bytes": collected.bytes, "kept": collected.kept,
            "dry_run": dry_run, "warm_ups": state.map(|state| of(state.warm_ups)),
            "notes": state.map(|state| of(state.notes)), "a_build_runs": state.is_none(),
        }));
        return Ok(Exit::Done);
    }
    let verb = if dry_run { "would be removed" } else { "removed" };
    let entries = count(collected.entries, "result");
    let kept = count(collected.kept, "result");
    ui.line(format!("{entries} {verb}, {}; {kept} kept: {}", bytes(collected.bytes), path.display()));
    let Some(state) = state else {
        ui.warning("a build runs here: caches of kernels and notes are left as they are");
        return Ok(Exit::Done);
    };
    for (of, noun) in [(state.warm_ups, "caches of kernels"), (state.notes, "notes of files")] {
        if of.entries + of.kept > 0 {
            let removed = of.entries;
            let size = bytes(of.bytes);
            let kept = of.kept;
            ui.line(format!("{noun}: {removed} {verb}, {size}; {kept} kept"));
        }
    }
    Ok(Exit::Done)
}
