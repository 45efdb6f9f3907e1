//! The initscript's status files: `STAT_PATH/NAME`, read by tools written for the original.
//!
//! Content: `0` for a recorder in memory, the pid of `stapio` for one into a file (INIT-START-17). Ours are written
//! in one step; the original's aren't.

use script_config::ScriptName;

use crate::unload::error_chain;
use crate::{Host, ServiceError, atomic_file, log};

/// Writes the status file of a running script.
pub(crate) fn write(host: &Host, script: &ScriptName, pid: Option<u32>) -> Result<(), ServiceError> {
    let text = format!("{}\n", pid.unwrap_or(0));
    atomic_file::replace(&host.stat_dir.join(script.as_str()), text.as_bytes())
}

/// Removes it, if it is there.
pub(crate) fn remove(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    atomic_file::remove(&host.stat_dir.join(script.as_str()))
}

/// The pid in it: `None` without a file, 0 for memory mode and for content that isn't a number or can't be read.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Option<u32> {
    let path = host.stat_dir.join(script.as_str());
    match atomic_file::read(&path) {
        Ok(bytes) => bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0)),
        Err(_) => path.is_file().then_some(0),
    }
}

/// Writes `0` for each running script that has none (INIT-PRE-02). One that can't be written keeps nobody from
/// stopping the script.
pub(crate) fn adopt(host: &Host, running: &[ScriptName]) {
    for script in running.iter().filter(|script| read(host, script).is_none()) {
        if let Err(error) = write(host, script, None) {
            log::line(host, &error_chain(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn init_start_17_zero_for_memory_and_the_pid_for_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::beneath(dir.path());
        let (a, b): (ScriptName, ScriptName) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(read(&host, &a), None);
        write(&host, &a, None).unwrap();
        write(&host, &b, Some(4711)).unwrap();
        assert_eq!(fs::read_to_string(host.stat_dir.join("a")).unwrap(), "0\n");
        assert_eq!(fs::read_to_string(host.stat_dir.join("b")).unwrap(), "4711\n");
        adopt(&host, &[a.clone(), b.clone(), "c".parse().unwrap()]);
        assert_eq!(read(&host, &b), Some(4711));
        assert_eq!(read(&host, &"c".parse().unwrap()), Some(0));
        remove(&host, &a).unwrap();
        assert_eq!(read(&host, &a), None);
    }
}
