//! How much of the kernel's memory a script's module holds, about.
//!
//! Measured with staprun 5.6: a module takes its code and data, about 8 MiB for what the runtime allocates, and on each
//! processor the buffers of its recorder, 16 MiB unless `-b` says otherwise.

use crate::host::Host;

/// What the runtime allocates besides the recorder's buffers.
const RUNTIME: u64 = 8 << 20;

/// The recorder's buffers on each processor, in MiB, where no `-b` is given.
const DEFAULT_BUFFERS: u64 = 16;

/// Bytes, about, for a module of `module_bytes` that was started with these arguments.
pub(crate) fn about(host: &Host, module_bytes: u64, run: &[String]) -> u64 {
    let mebibytes = buffers(run).unwrap_or(DEFAULT_BUFFERS);
    module_bytes + RUNTIME + (mebibytes << 20) * processors(host)
}

fn buffers(run: &[String]) -> Option<u64> {
    let at = run.iter().position(|word| word == "-b")?;
    run.get(at + 1)?.parse().ok()
}

/// How many processors are online; 1 where that can't be read.
fn processors(host: &Host) -> u64 {
    let text = host.kernel_text(&host.sys_dir.join("devices/system/cpu/online")).unwrap_or_default();
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let last: u64 = last.parse().ok()?;
        Some(last.saturating_sub(first.parse().ok()?) + 1)
    };
    text.trim().split(',').filter_map(range).sum::<u64>().max(1)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn buffers_count_once_for_each_processor() {
        let (dir, host) = Host::temporary();
        let run = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
        // As measured on one processor: about 24 MiB with default buffers, about 9 with -b 1.
        assert_eq!(about(&host, 100, &run("-L")), 100 + (24 << 20));
        assert_eq!(about(&host, 100, &run("-L -b 1")), 100 + (9 << 20));
        let cpus = dir.path().join("sys/devices/system/cpu");
        fs::create_dir_all(&cpus).unwrap();
        fs::write(cpus.join("online"), "0-2,5\n").unwrap();
        assert_eq!(about(&host, 0, &run("-L")), (8 + 4 * 16) << 20);
    }
}
