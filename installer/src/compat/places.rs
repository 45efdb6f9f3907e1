//! Where the host's configuration of the initscript says things are.

use std::path::{Component, Path, PathBuf};

use files::FileSystem;
use script_config::{Configuration, SourceText, conf_d_order};

use crate::compat::report::{CompatError, ReconcileReport};
use crate::host::paths::{ADMINISTRATION, RUN, STATE};

/// The initscript's global configuration (INIT-FILE-01).
const GLOBAL: &str = "/etc/systemtap/config";
/// Most bytes of a configuration file.
const MAX_CONFIGURATION: u64 = 1 << 20;
/// Directories in which everything is ours.
const OURS: [&str; 3] = [STATE, ADMINISTRATION, RUN];

/// `CACHE_PATH`, `CONFIG_PATH` and where the scripts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) cache: PathBuf,
    pub(super) configuration: PathBuf,
    /// `SCRIPT_PATH`, as it is configured.
    pub(super) scripts: PathBuf,
}

impl Places {
    /// Reads the global file, then the files of the directory that it names (INIT-CFG-01). A file that
    /// can't be understood is left out and becomes a warning, as at start.
    pub(super) fn read(host: &FileSystem, report: &mut ReconcileReport) -> Result<Self, CompatError> {
        let mut files: Vec<SourceText> = source(host, Path::new(GLOBAL), report).into_iter().collect();
        let (global, _) = Configuration::load(&files);
        let directory = global.parameters().config_path.clone();
        match host.open_dir(&directory) {
            Ok(opened) => {
                let names = opened.entries()?;
                for name in conf_d_order(names.iter().map(String::as_str)) {
                    files.extend(source(host, &directory.join(name), report));
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        let (whole, problems) = Configuration::load(&files);
        report.warnings.extend(whole.left_out(&problems).iter().map(|problem| problem.leaves_out()));
        let parameters = whole.parameters();
        Ok(Self {
            cache: usable(host, "CACHE_PATH", &parameters.cache_path)?,
            configuration: usable(host, "CONFIG_PATH", &directory)?,
            scripts: plain("SCRIPT_PATH", &parameters.script_path)?,
        })
    }
}

impl Places {
    /// `SCRIPT_PATH` for one who writes there.
    pub(super) fn for_scripts(&self, host: &FileSystem) -> Result<PathBuf, CompatError> {
        usable(host, "SCRIPT_PATH", &self.scripts)
    }
}

/// A file's text; `None` if it isn't there or is no text.
fn source(host: &FileSystem, path: &Path, report: &mut ReconcileReport) -> Option<SourceText> {
    let bytes = match host.read_file(path, MAX_CONFIGURATION) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return None,
        Err(error) => {
            report.warnings.push(files::with_causes(&error));
            return None;
        }
    };
    match SourceText::from_bytes(&path.to_string_lossy(), &bytes) {
        Ok(text) => Some(text),
        Err(problem) => {
            report.warnings.push(problem.leaves_out());
            None
        }
    }
}

fn usable(host: &FileSystem, parameter: &'static str, path: &Path) -> Result<PathBuf, CompatError> {
    let path = plain(parameter, path)?;
    let real = real_path(host, &path);
    let inside = OURS.into_iter().find(|own| path.starts_with(own) || real.starts_with(real_path(host, own)));
    match inside {
        Some(own) => {
            let value = path.to_string_lossy().into_owned();
            Err(CompatError::InsideOurs { parameter, value, own })
        }
        None => Ok(path),
    }
}

/// Where `path` really is, or will be once it is made.
fn real_path(host: &FileSystem, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    for above in path.ancestors() {
        if let (Ok(opened), Ok(rest)) = (host.open_dir(above), path.strip_prefix(above)) {
            return host.real_path(&opened).join(rest).components().collect();
        }
    }
    path.to_owned()
}

fn plain(parameter: &'static str, path: &Path) -> Result<PathBuf, CompatError> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if path.is_absolute() && plain && path.parent().is_some() {
        // Without doubled and final slashes.
        return Ok(path.components().collect());
    }
    Err(CompatError::NotAbsolute { parameter, value: path.to_string_lossy().into_owned() })
}
