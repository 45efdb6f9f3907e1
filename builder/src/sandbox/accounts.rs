//! Which user ids nobody has: by the accounts of this machine, what is given to containers, and the processes that run.

use std::collections::BTreeSet;
use std::path::Path;

use files::Directory;

/// The user whose subordinate ids are taken first (subuid(5)).
const SUBORDINATE_OF: [&str; 2] = ["root", "0"];

/// Numbers that are used of a range, at most.
const MOST: u32 = 256;

/// Longest file with users that is read.
const LONGEST: u64 = 64 << 20;

/// Ranges that no distribution gives to anybody (systemd's UIDS-GIDS.md): above all users of networks and containers; and for a
/// container with 65,536 ids, below its dynamic users.
const UNASSIGNED: [Range; 2] =
    [Range { first: 2_100_000_000, count: MOST }, Range { first: 60_706, count: MOST }];

/// Consecutive user ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u32,
    count: u32,
}

/// What the machine says of its users.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// `/proc/self/uid_map` and `gid_map`.
    pub(crate) maps: [String; 2],
    /// `/etc/passwd` and `/etc/group`.
    pub(crate) named: [String; 2],
    /// `/etc/subuid` and `/etc/subgid`.
    pub(crate) subordinate: [String; 2],
    /// Users as which processes run.
    pub(crate) running: BTreeSet<u32>,
}

impl Accounts {
    /// Looks at the machine.
    pub(crate) fn read() -> Self {
        let read = |path: &str| {
            let bytes = files::read::read_given(Path::new(path), LONGEST).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Self {
            maps: ["/proc/self/uid_map", "/proc/self/gid_map"].map(read),
            named: ["/etc/passwd", "/etc/group"].map(read),
            subordinate: ["/etc/subuid", "/etc/subgid"].map(read),
            running: running(),
        }
    }

    /// Ranges for jobs, the best first.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.own_range().into_iter().chain(UNASSIGNED)
    }

    /// The middle of root's own subordinate range: containers of root's use its beginning, and their `nobody` is at its end.
    fn own_range(&self) -> Option<Range> {
        let own = ranges(&self.subordinate[0]).find(|(owner, _)| SUBORDINATE_OF.contains(owner))?.1;
        let first = own.first.checked_add(own.count / 2)?;
        Some(Range { first, count: (own.count - own.count / 2).min(MOST) })
    }

    /// The numbers of a range that are mapped here and that nobody has.
    pub(crate) fn free(&self, range: Range) -> Vec<u32> {
        let mapped = self.maps.iter().all(|map| ranges_of_map(map).any(|inside| inside.has(range)));
        let others = |text: &str| {
            let mut others = ranges(text).filter(|(owner, _)| !SUBORDINATE_OF.contains(owner));
            others.any(|(_, other)| other.meets(range))
        };
        if !mapped || self.subordinate.iter().any(|text| others(text)) {
            return Vec::new();
        }
        let named: BTreeSet<u32> = self.named.iter().flat_map(|text| named(text)).collect();
        (range.first..=range.last()).filter(|id| !named.contains(id) && !self.running.contains(id)).collect()
    }
}

impl Range {
    fn last(self) -> u32 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }

    fn has(self, other: Self) -> bool {
        self.first <= other.first && self.last() >= other.last()
    }

    fn meets(self, other: Self) -> bool {
        self.count > 0 && self.first <= other.last() && self.last() >= other.first
    }
}

/// `NAME:FIRST:COUNT` of each line.
fn ranges(text: &str) -> impl Iterator<Item = (&str, Range)> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let first = fields.next()?.parse().ok()?;
        let count = fields.next()?.parse().ok()?;
        Some((owner, Range { first, count }))
    })
}

/// `INSIDE OUTSIDE COUNT` of each line.
fn ranges_of_map(text: &str) -> impl Iterator<Item = Range> {
    text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let first = fields.next()?.parse().ok()?;
        let count = fields.nth(1)?.parse().ok()?;
        Some(Range { first, count })
    })
}

/// The third field of each line: user ids of passwd(5), group ids of group(5).
fn named(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok())
}

/// The users as which processes run: real, effective, saved and of files.
fn running() -> BTreeSet<u32> {
    let Ok(all) = Directory::at_path(Path::new("/proc")).and_then(|proc| proc.entries()) else {
        return BTreeSet::new();
    };
    let processes = all.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let users = processes.filter_map(|process| {
        let status =
            files::read::read_text(&Path::new("/proc").join(process).join("status"), 1 << 20).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        Some(line.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
    });
    users.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_of_processes_are_seen() {
        assert!(running().contains(&rustix::process::geteuid().as_raw()));
    }
}
