//! The initscript's status files: `STAT_PATH/NAME`, read by tools written for the original.
//!
//! Content: `0` for a recorder in memory, the pid of `stapio` for one into a file (INIT-START-17). Ours are written
//! in one step; the original's aren't.

use std::fs;

use script_config::ScriptName;

use crate::error::{PathContext, if_found};
use crate::{Host, ServiceError, atomic_file};

/// Writes the status file of a running script.
pub(crate) fn write(host: &Host, script: &ScriptName, pid: Option<u32>) -> Result<(), ServiceError> {
    let text = format!("{}\n", pid.unwrap_or(0));
    atomic_file::replace(&host.stat_dir.join(script.as_str()), text.as_bytes())
}

/// Removes it, if it is there.
pub(crate) fn remove(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    atomic_file::remove(&host.stat_dir.join(script.as_str()))
}

/// The pid in it: `None` without a file, 0 for memory mode and for content that isn't a number.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Result<Option<u32>, ServiceError> {
    let path = host.stat_dir.join(script.as_str());
    let Some(bytes) = if_found(fs::read(&path)).context("read", &path)? else { return Ok(None) };
    Ok(Some(String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0)))
}

/// Writes `0` for each running script that has none (INIT-PRE-02).
pub(crate) fn adopt(host: &Host, running: &[ScriptName]) -> Result<(), ServiceError> {
    for script in running {
        if read(host, script)?.is_none() {
            write(host, script, None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_start_17_zero_for_memory_and_the_pid_for_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::beneath(dir.path());
        let (a, b): (ScriptName, ScriptName) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(read(&host, &a).unwrap(), None);
        write(&host, &a, None).unwrap();
        write(&host, &b, Some(4711)).unwrap();
        assert_eq!(fs::read_to_string(host.stat_dir.join("a")).unwrap(), "0\n");
        assert_eq!(fs::read_to_string(host.stat_dir.join("b")).unwrap(), "4711\n");
        adopt(&host, &[a.clone(), b.clone(), "c".parse().unwrap()]).unwrap();
        assert_eq!(read(&host, &b).unwrap(), Some(4711));
        assert_eq!(read(&host, &"c".parse().unwrap()).unwrap(), Some(0));
        remove(&host, &a).unwrap();
        assert_eq!(read(&host, &a).unwrap(), None);
    }
}
