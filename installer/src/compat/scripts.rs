//! The scripts themselves, where they lie on a host: `<SCRIPT_PATH>/NAME.stp`.
//!
//! A bundle's modules need no script. Where one is there all the same, the initscript takes a cached module
//! only if the script isn't newer (INIT-CACHE-02). A script that a package brought after the install would
//! so make it compile, although it is the very one that the module was made from: then the module's time is
//! brought up to the script's. A script that is another one is reported, and no time is touched.

use bundle_format::Digest;
use rustix::fs::FileType;

use crate::compat::places::Places;
use crate::compat::report::ReconcileReport;
use crate::compat::wanted::Wanted;
use crate::directory::Directory;
use crate::generation::{CurrentGeneration, module_file_name, with_sources};
use crate::root::HostRoot;
use crate::storage::{StorageError, optional};

/// Most bytes of a script that is compared: far above any that stap takes in reasonable time.
const MAX_SCRIPT: u64 = 16 << 20;

/// Brings the times of modules up to those of their scripts, and reports scripts that are other ones.
pub(super) fn settle_times(
    host: &HostRoot,
    places: &Places,
    generation: &CurrentGeneration,
    wanted: &Wanted,
    report: &mut ReconcileReport,
) -> Result<(), StorageError> {
    let Some(scripts) = optional(host.open_dir(&places.scripts))? else { return Ok(()) };
    let Some(kernels) = generation.kernels() else { return Ok(()) };
    let mut told = Vec::new();
    for (name, entry) in wanted.values().flatten() {
        let file = format!("{name}.stp");
        let Some(stat) = scripts.stat(&file)?.filter(is_file) else { continue };
        let path = scripts.path().join(&file);
        let content = match scripts.read_file(&file, MAX_SCRIPT) {
            Ok(content) => content,
            Err(error) => {
                report.warnings.push(with_sources(&error));
                continue;
            }
        };
        if Digest::of(&content) != entry.source {
            if !told.contains(name) {
                told.push(name.clone());
                report.warnings.push(format!(
                    "{} is not the script that bundle {}'s module was made from; `start` goes by the module",
                    path.display(),
                    entry.bundle
                ));
            }
            continue;
        }
        let Some(directory) = optional(kernels.open_dir(&entry.kernel.short()))? else { continue };
        let module = module_file_name(name);
        let Some(made) = directory.stat(&module)? else { continue };
        if modified(&made) < modified(&stat) {
            directory.set_modified(&module, modified(&stat))?;
            report.written.push(directory.path().join(&module));
        }
    }
    Ok(())
}

fn is_file(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Seconds and nanoseconds of the last change.
fn modified(stat: &rustix::fs::Stat) -> (i64, i64) {
    (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

impl Directory {
    /// Sets when a file was changed last, to the nanosecond, without following a link.
    fn set_modified(&self, name: &str, changed: (i64, i64)) -> Result<(), StorageError> {
        let time = rustix::fs::Timespec { tv_sec: changed.0, tv_nsec: changed.1 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(self.fd(), name, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| StorageError::new("set the time of", self.path().join(name), errno))
    }
}
