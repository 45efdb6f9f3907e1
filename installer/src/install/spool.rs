//! A copy of a source that may stall, or that is to be looked at twice, in a file without a name.
//!
//! So the lock isn't held while a pipe stalls, and nothing of a refused bundle stays whatever happens: the
//! file is gone with the program. What is read from it later is what was checked, for nobody else can open
//! it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use bundle_format::{BundleError, CheckReport, Depth, Judge, KernelId, KernelState, Manifest, RawBundle};
use files::{Directory, FileError, FileSystem, optional};

use crate::host::paths::STATE;
use crate::install::choice::Chosen;
use crate::install::error::InstallError;
use crate::install::report::InstallWarning;
use crate::install::source::Arriving;
use crate::install::space::{content_len, explained};

/// Most problems of a damaged file that a refusal names.
const MAX_PROBLEMS: usize = 4;

/// Copies a source from its first byte; not more than one byte beyond what the manifest gives, so a stream that never ends
/// does.
pub(super) fn fill(
    host: &FileSystem,
    source: impl Arriving,
    manifest: &Manifest,
) -> Result<File, InstallError> {
    let place = place(host)?;
    let (whole, head_len) = source.whole();
    let most = head_len.saturating_add(content_len(manifest));
    let wrong = |error: io::Error| {
        let error = FileError::new("write", place.path().join("(a copy of the source)"), error);
        explained(error.into(), &place, most)
    };
    let mut file = place.nameless_file()?;
    let mut rest = whole.take(most.saturating_add(1));
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match rest.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(BundleError::Io { what: "the bundle can't be read", source: error }.into());
            }
        };
        file.write_all(buffer.get(..read).unwrap_or_default()).map_err(wrong)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(wrong)?;
    Ok(file)
}

/// Where the copy lies: in the state directory, or where that will be.
pub(super) fn place(host: &FileSystem) -> Result<Directory, FileError> {
    if let Some(state) = optional(host.open_dir(STATE))? {
        return Ok(state);
    }
    let (parent, _) = STATE.rsplit_once('/').unwrap_or(("/", STATE));
    host.ensure_dir(parent)
}

/// What is whole in `file`; where something is damaged, a file that is whole again with all that is good.
pub(super) fn whole_part(
    host: &FileSystem,
    mut file: File,
    judge: &Judge,
) -> Result<(File, CheckReport), InstallError> {
    let place = place(host)?;
    let wrong = |error: io::Error| FileError::new("read", place.path().join("(a copy of the source)"), error);
    let again = |file: &File| {
        let mut copy = file.try_clone().map_err(wrong)?;
        copy.seek(SeekFrom::Start(0)).map_err(wrong)?;
        Ok::<_, InstallError>(RawBundle::read(copy)?.verify_by(judge.clone())?)
    };
    let bundle = again(&file)?;
    let report = bundle.check(Depth::Modules)?;
    if report.problems.is_empty() {
        file.seek(SeekFrom::Start(0)).map_err(wrong)?;
        return Ok((file, report));
    }
    let good = report.intact();
    let mut whole = place.nameless_file()?;
    again(&file)?.write_subset(&good, &mut whole)?;
    whole.seek(SeekFrom::Start(0)).map_err(wrong)?;
    Ok((whole, report))
}

/// Leaves out of `chosen` what isn't whole in the file, with a word each, but for what can be `had` elsewhere.
pub(super) fn leave_out(
    manifest: &Manifest,
    report: &CheckReport,
    had: &BTreeSet<KernelId>,
    chosen: &mut Chosen,
) -> Result<(), InstallError> {
    for (id, state) in report.kernels.iter().filter(|(id, _)| !had.contains(id)) {
        let what = match state {
            KernelState::Good | KernelState::Undecoded => continue,
            KernelState::Absent => "absent",
            KernelState::Damaged => "damaged",
        };
        let release = manifest.kernels.iter().find(|kernel| kernel.id == *id).map(|kernel| &kernel.release);
        if let Some(release) = release.filter(|_| chosen.kernels.remove(id)) {
            chosen.warnings.push(InstallWarning::LeftOut { release: release.clone(), what });
        }
    }
    if chosen.kernels.is_empty() {
        let problems = report.problems.iter().take(MAX_PROBLEMS).map(ToString::to_string).collect();
        return Err(InstallError::NothingWhole { problems });
    }
    Ok(())
}
