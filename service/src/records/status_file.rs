//! The initscript's status files: `STAT_PATH/NAME`, read by tools written for the original.
//!
//! Content: `0` for a recorder in memory, the pid of `stapio` for one into a file (INIT-START-17). Ours are written
//! in one step; the original's aren't.

use files::optional;
use script_config::ScriptName;

use crate::host::{Disbelief, Host, ServiceError, log, own_files};
use files::with_causes;

/// Writes the status file of a running script.
pub(crate) fn write(host: &Host, script: &ScriptName, pid: Option<u32>) -> Result<(), ServiceError> {
    let text = format!("{}\n", pid.unwrap_or(0));
    // Where others may write too it is still written: the original's tools look there, and it proves nothing to us.
    Ok(host.files.ensure_dir(&host.stat_dir)?.replace_unsynced(script.as_str(), text.as_bytes())?)
}

/// Removes it, if it is there.
pub(crate) fn remove(host: &Host, script: &ScriptName) -> Result<(), ServiceError> {
    own_files::remove(host, &host.stat_dir, script.as_str()).map(drop)
}

/// The pid in it: `None` without a file and where others could have written it, 0 for memory mode and for content that isn't
/// a number or can't be read.
pub(crate) fn read(host: &Host, script: &ScriptName) -> Option<u32> {
    let name = script.as_str();
    match own_files::read(host, &host.stat_dir, name) {
        Ok(bytes) => bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().parse().unwrap_or(0)),
        Err(why) if why.is_of_others() => None,
        Err(_) => {
            let directory = optional(host.files.open_dir(&host.stat_dir)).ok()??;
            directory.open_file(name).is_ok().then_some(0)
        }
    }
}

/// What is wrong with the directory, if status files in it don't count.
pub(crate) fn problem(host: &Host) -> Option<Disbelief> {
    own_files::names(host, &host.stat_dir).err().filter(Disbelief::is_of_others)
}

/// Writes `0` for each running script that has none (INIT-PRE-02). One that can't be written keeps nobody from
/// stopping the script.
pub(crate) fn adopt(host: &Host, running: &[ScriptName]) {
    for script in running.iter().filter(|script| read(host, script).is_none()) {
        if let Err(error) = write(host, script, None) {
            log::line(host, &with_causes(&error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn init_start_17_zero_for_memory_and_the_pid_for_a_file() {
        let (_dir, host) = Host::temporary();
        let [a, b]: [ScriptName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        assert_eq!(read(&host, &a), None);
        write(&host, &a, None).unwrap();
        write(&host, &b, Some(4711)).unwrap();
        assert_eq!(fs::read_to_string(host.on_this_machine(&host.stat_dir).join("a")).unwrap(), "0\n");
        assert_eq!(fs::read_to_string(host.on_this_machine(&host.stat_dir).join("b")).unwrap(), "4711\n");
        adopt(&host, &[a.clone(), b.clone(), "c".parse().unwrap()]);
        assert_eq!(read(&host, &b), Some(4711));
        assert_eq!(read(&host, &"c".parse().unwrap()), Some(0));
        remove(&host, &a).unwrap();
        assert_eq!(read(&host, &a), None);
    }
}
