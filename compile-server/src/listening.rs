//! On which port a process listens, as the kernel tells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use files::read::read_text;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Most bytes of a table of sockets: some hundred thousand lines.
const MAX_TABLE: u64 = 64 << 20;

/// The port on which a process listens. `None` if it doesn't, or if we may not look (another user's process).
pub(crate) fn port_of(pid: i32) -> Option<u16> {
    let sockets = sockets_of(pid)?;
    ["tcp6", "tcp"].iter().find_map(|table| {
        let text = read_text(Path::new(&format!("/proc/{pid}/net/{table}")), MAX_TABLE).ok()?;
        text.lines().find_map(|line| listening(line, &sockets))
    })
}

/// The inode numbers of a process's sockets.
fn sockets_of(pid: i32) -> Option<BTreeSet<String>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let text = link.to_string_lossy().into_owned();
        Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    Some(links.filter_map(inode).collect())
}

/// The port of a line of `/proc/net/tcp`, if one of `sockets` listens there.
fn listening(line: &str, sockets: &BTreeSet<String>) -> Option<u16> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let local = fields.get(1)?;
    let state = fields.get(3)?;
    let inode = fields.get(9)?;
    if *state != LISTEN || !sockets.contains(*inode) {
        return None;
    }
    u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_port_of_this_process_is_found() {
        let pid = std::process::id().cast_signed();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        // Other tests of this process may listen, too.
        let found = port_of(pid).unwrap();
        let sockets = sockets_of(pid).unwrap();
        let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        let ports: Vec<u16> = table.lines().filter_map(|line| listening(line, &sockets)).collect();
        assert!(found != 0 && ports.contains(&own), "{found}, {ports:?}");
    }

    #[test]
    fn a_socket_of_others_or_one_that_does_not_listen_is_none() {
        let line = "   0: 00000000000000000000000000000000:98C7 00000000000000000000000000000000:0000 0A 00000000:00000000 \
                    00:00000000 00000000 65534        0 2524234 1 00000000a5a4fb43 100 0 0 10 0";
        let sockets = BTreeSet::from(["2524234".to_owned()]);
        assert_eq!(listening(line, &sockets), Some(0x98C7));
        assert_eq!(listening(line, &BTreeSet::new()), None);
        assert_eq!(listening(&line.replace(" 0A ", " 01 "), &sockets), None);
        assert_eq!(listening("  sl  local_address", &sockets), None);
    }
}
