//! Whether this process, and `staprun` started by it, can have the right to load modules.

use crate::host::Host;

/// `CAP_SYS_MODULE` among the bits of a set.
const SYS_MODULE: u64 = 1 << 16;

/// Whether `CAP_SYS_MODULE` is in this process's bounding set, which limits root and set-uid programs alike; containers take it
/// away. Where nothing is said about it, `staprun` finds out.
pub(crate) fn may_load_modules(host: &Host) -> bool {
    let status = host.kernel_text(&host.proc_dir.join("self/status")).unwrap_or_default();
    let set = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_none_or(|set| set & SYS_MODULE != 0)
}
