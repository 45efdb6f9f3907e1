//! Whether the machine has memory and disk in reserve. What was made without any may be wrong without saying so.

use std::path::Path;

use rustix::fs::statvfs;

/// Less free space than this is a shortage: a scan keeps some 80 MB, and as much for a while.
const DISK: u64 = 256 << 20;

/// Less available memory than this is a shortage: a compile of a kernel header takes some 100 MB.
const MEMORY: u64 = 128 << 20;

/// What is short, in words; `None` if nothing is, or if nobody tells.
pub(crate) fn shortage(directory: &Path) -> Option<String> {
    let mib = |bytes: u64| bytes >> 20;
    if let Ok(found) = statvfs(directory) {
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        if free < DISK {
            return Some(format!("only {} MiB of disk space are free at {}", mib(free), directory.display()));
        }
    }
    let available = available_memory(&files::read::read_text(Path::new("/proc/meminfo"), 1 << 20).ok()?)?;
    (available < MEMORY).then(|| format!("only {} MiB of memory are available", mib(available)))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_is_available() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:    1024 kB\n"), Some(1 << 20));
        assert_eq!(available_memory("MemTotal: 9 kB\n"), None);
        assert!(available_memory(&std::fs::read_to_string("/proc/meminfo").unwrap()).is_some());
    }
}
