//! Reads the initscript's configuration files from disk for `script-config`, which touches no file.

use std::fs;
use std::io;
use std::path::Path;

use script_config::{ConfigProblem, Configuration, SourceText, conf_d_order, conf_d_warning};

use crate::exit::Exit;
use crate::failure::Failure;

/// Where the global file is unless `-c` says otherwise (INIT-FILE-01).
pub(crate) const DEFAULT_CONFIG: &str = "/etc/systemtap/config";

/// Most bytes of a configuration file that are read; real ones have a few kilobytes.
const MAX_CONFIG: u64 = 1 << 20;

/// The effective configuration, what is wrong with it, and when its newest file changed.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) configuration: Configuration,
    pub(crate) problems: Vec<ConfigProblem>,
    /// Seconds since 1970; 0 without files.
    #[cfg_attr(not(feature = "farm"), expect(dead_code, reason = "only `build` uses it"))]
    pub(crate) modified: u64,
}

/// Reads the global file and the conf.d that it names. A missing default file means defaults; a missing
/// file that was asked for is an error (INIT-CLI-07: the original went on silently).
pub(crate) fn load(given: Option<&Path>) -> Result<Loaded, Failure> {
    let path = given.unwrap_or(Path::new(DEFAULT_CONFIG));
    let mut files = Vec::new();
    let mut problems = Vec::new();
    let mut modified = 0;
    let read = read_file(path, &mut modified);
    match read {
        Ok(Ok(text)) => files.push(text),
        // It is skipped whole, but keeps its place: the first text is the global file.
        Ok(Err(problem)) => {
            problems.push(problem);
            files.push(SourceText { path: path.display().to_string(), text: String::new() });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => {
            files.push(SourceText { path: path.display().to_string(), text: String::new() });
        }
        Err(error) => {
            return Err(
                Failure::of(Exit::Failed, &error).about(format_args!("configuration {}", path.display()))
            );
        }
    }
    let conf_d = Configuration::load(&files).0.parameters().config_path.clone();
    for name in names_in(&conf_d)? {
        let text = read_file(&conf_d.join(&name), &mut modified)
            .map_err(|error| Failure::of(Exit::Failed, &error).about(conf_d.join(&name).display()))?;
        match text {
            Ok(text) => files.push(text),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(stray_files(&conf_d)?);
    let (configuration, found) = Configuration::load(&files);
    problems.extend(found);
    Ok(Loaded { configuration, problems, modified })
}

fn read_file(path: &Path, modified: &mut u64) -> io::Result<Result<SourceText, ConfigProblem>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    let time = file.metadata()?.modified()?;
    file.take(MAX_CONFIG + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CONFIG {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more than 1 MiB, so it is no configuration",
        ));
    }
    let seconds = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    *modified = seconds.max(*modified);
    Ok(SourceText::from_bytes(&path.display().to_string(), &bytes))
}

/// All names in conf.d; none if there is no such directory.
fn all_names(conf_d: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: io::Error| Failure::of(Exit::Failed, &error).about(conf_d.display());
    let entries = match fs::read_dir(conf_d) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // Only regular files and links to them are read (INIT-FILE-02).
        if entry.path().is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn names_in(conf_d: &Path) -> Result<Vec<String>, Failure> {
    let names = all_names(conf_d)?;
    Ok(conf_d_order(names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect())
}

fn stray_files(conf_d: &Path) -> Result<Vec<ConfigProblem>, Failure> {
    let folder = conf_d.display().to_string();
    Ok(all_names(conf_d)?.iter().filter_map(|name| conf_d_warning(&folder, name)).collect())
}
