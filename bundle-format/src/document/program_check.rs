//! What must hold for the programs that a script probes.

use crate::document::error::BundleError;
use crate::document::program_record::ProgramRecord;
use crate::document::text::printable;
use crate::limits::MAX_PROGRAMS;
use crate::names::ScriptName;

pub(crate) fn check_programs(
    script: &ScriptName,
    programs: &[ProgramRecord],
    is_shown: impl Fn(&str) -> bool,
) -> Result<(), BundleError> {
    let refused = |problem: String| Err(BundleError::Manifest { problem });
    if programs.len() > MAX_PROGRAMS {
        return refused(format!("script `{script}` has {} programs, limit {MAX_PROGRAMS}", programs.len()));
    }
    if let Some(bad) = programs.iter().find(|program| !program.is_sound() || !is_shown(&program.path)) {
        return refused(format!(
            "a program of script `{script}` has no absolute path, no good build id, or kernels out of order: `{}`",
            printable(&bad.path)
        ));
    }
    if !programs.is_sorted_by(|a, b| a < b) {
        return refused(format!("programs of script `{script}` are not sorted, or there is a duplicate"));
    }
    Ok(())
}
