//! As whom jobs run.
//!
//! On a farm of root's, each job that runs has a user of its own: a number from a range in which nobody else is, locked as long as the
//! job's directory exists. `nobody` won't do: other services run as that user too, and could write what a job has in hand. Two jobs
//! never share a number either, be they of one build or of two. Numbers are in no key and in no byte of a module.

use std::sync::OnceLock;
use std::time::Duration;

use files::{Directory, FileSystem, GivenTo, Lock, LockFailure, LockKind};

use super::accounts::Accounts;

/// Where locks on numbers are: one place for all builds of this machine.
const LOCKS: &str = "/run/stap-bundle/job-users";

/// Numbers that a range must have free, at least: more than compiles run side by side on most farms.
const LEAST: usize = 16;

/// Looked at once: an account that comes while a build runs takes none of these numbers.
static ACCOUNTS: OnceLock<Accounts> = OnceLock::new();

/// As whom the jobs of a build run.
#[derive(Debug)]
pub(crate) enum JobUsers {
    /// As the user who builds: an ordinary one.
    Own,
    /// As users of their own.
    Numbers(Numbers),
    /// As root, seen from outside, but each in a user namespace in which it has no right; and why.
    Namespace { why: String },
}

/// The numbers that jobs may get.
#[derive(Debug)]
pub(crate) struct Numbers {
    numbers: Vec<u32>,
    locks: Directory,
}

/// As whom one job runs.
#[derive(Debug)]
pub(crate) enum JobUser {
    /// As the user who builds.
    Own,
    /// As root without any right, in a user namespace.
    Namespace,
    /// As a user of its own; nobody else gets the number as long as this lives.
    Number { number: u32, _lock: Lock },
}

/// Why a job has no user.
#[derive(Debug, thiserror::Error)]
pub enum NoJobUser {
    #[error("all {count} users for jobs, {first} to {last}, are taken by other jobs ({held})")]
    Taken { count: usize, first: u32, last: u32, held: files::Held },
    #[error(transparent)]
    Lock(files::FileError),
}

impl JobUsers {
    /// Finds out as whom jobs can run.
    pub(crate) fn find() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Own;
        }
        let locks =
            FileSystem::open("/").map_err(|error| error.to_string()).and_then(|root| locks(&root, LOCKS));
        Self::of(ACCOUNTS.get_or_init(Accounts::read), locks)
    }

    fn of(accounts: &Accounts, locks: Result<Directory, String>) -> Self {
        let numbers = accounts.ranges().map(|range| accounts.free(range));
        let numbers = numbers.into_iter().find(|numbers| numbers.len() >= LEAST);
        match (numbers, locks) {
            (Some(numbers), Ok(locks)) => Self::Numbers(Numbers { numbers, locks }),
            (None, _) => Self::Namespace { why: "no range of user ids is free and mapped here".to_owned() },
            (_, Err(why)) => Self::Namespace { why },
        }
    }

    /// These numbers, with locks in a directory of the test's own.
    #[cfg(test)]
    pub(crate) fn of_test(numbers: &[u32], locks: &std::path::Path) -> Self {
        Self::Numbers(Numbers { numbers: numbers.to_vec(), locks: Directory::at_path(locks).unwrap() })
    }

    /// A user for a job.
    pub(crate) fn lease(&self) -> Result<JobUser, NoJobUser> {
        match self {
            Self::Own => Ok(JobUser::Own),
            Self::Namespace { .. } => Ok(JobUser::Namespace),
            Self::Numbers(numbers) => numbers.lease(),
        }
    }

    /// What the user should know of them.
    pub(crate) fn note(&self) -> Option<String> {
        let Self::Namespace { why } = self else { return None };
        Some(format!(
            "no separate users for jobs ({why}): each runs in a user namespace of its own, without privileges outside of it"
        ))
    }
}

impl Numbers {
    fn lease(&self) -> Result<JobUser, NoJobUser> {
        let mut last = None;
        for number in self.numbers.iter().copied() {
            match self.locks.lock(&number.to_string(), LockKind::Exclusive, Duration::ZERO) {
                Ok(lock) => return Ok(JobUser::Number { number, _lock: lock }),
                Err(LockFailure::Held(held)) => last = Some(held),
                Err(LockFailure::File(error)) => return Err(NoJobUser::Lock(error)),
            }
        }
        let held = last.unwrap_or_else(|| files::Held {
            path: self.locks.path().to_owned(),
            holder: None,
            waited: Duration::ZERO,
        });
        Err(NoJobUser::Taken {
            count: self.numbers.len(),
            first: self.numbers.first().copied().unwrap_or_default(),
            last: self.numbers.last().copied().unwrap_or_default(),
            held,
        })
    }
}

impl JobUser {
    /// To whom root gives what the job may write to.
    pub(crate) const fn number(&self) -> Option<u32> {
        match self {
            Self::Number { number, .. } => Some(*number),
            Self::Own | Self::Namespace => None,
        }
    }

    /// To whom a file for the job is given.
    pub(crate) fn given(&self) -> GivenTo {
        self.number().map_or(GivenTo::Nobody, GivenTo::User)
    }
}

/// The directory of locks: root's, and closed to all others.
fn locks(root: &FileSystem, path: &str) -> Result<Directory, String> {
    let made = root.ensure_dir(path).and_then(|made| made.set_mode(0o700));
    made.map_err(|error| files::with_causes(&error))?;
    root.open_protected_through_links(path).map_err(|error| files::with_causes(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const WHOLE: &str = "         0          0 4294967295\n";

    fn accounts(subuid: &str) -> Accounts {
        Accounts {
            maps: [WHOLE.to_owned(), WHOLE.to_owned()],
            named: ["root:x:0:0::/root:/bin/sh\n".to_owned(), "root:x:0:\n".to_owned()],
            subordinate: [subuid.to_owned(), subuid.to_owned()],
            running: BTreeSet::new(),
        }
    }

    fn first(accounts: &Accounts) -> Option<u32> {
        let dir = tempfile::tempdir().unwrap();
        match JobUsers::of(accounts, Ok(Directory::at_path(dir.path()).unwrap())) {
            JobUsers::Numbers(numbers) => numbers.numbers.first().copied(),
            _ => None,
        }
    }

    #[test]
    fn takes_roots_own_range_and_else_one_that_nobody_is_given() {
        assert_eq!(first(&accounts("alice:100000:65536\nroot:300000:65536\n")), Some(332_768));
        assert_eq!(first(&accounts("alice:100000:65536\n")), Some(2_100_000_000));
        // Too small to be of use.
        assert_eq!(first(&accounts("root:300000:4\n")), Some(2_100_000_000));
        assert_eq!(first(&accounts("alice:2099999000:65536\n")), Some(60_706));
        // Root's range is also somebody else's.
        assert_eq!(first(&accounts("root:100000:65536\nalice:130000:65536\n")), Some(2_100_000_000));
    }

    #[test]
    fn passes_over_users_that_exist_or_run_or_are_not_mapped() {
        let mut machine = accounts("");
        machine.named[0] += "x:x:2100000000:5::/:/\n";
        machine.named[1] += "x:x:2100000001:\n";
        machine.running = BTreeSet::from([2_100_000_002]);
        assert_eq!(first(&machine), Some(2_100_000_003));
        let container = "0 100000 65536\n".to_owned();
        machine.maps = [container.clone(), container];
        assert_eq!(first(&machine), Some(60_706));
        let one = "0 1000 1\n".to_owned();
        machine.maps = [one.clone(), one];
        assert_eq!(first(&machine), None);
    }

    #[test]
    fn no_two_jobs_share_a_user_and_a_number_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let users = || {
            let locks = locks(&FileSystem::open(dir.path()).unwrap(), "/run/x").unwrap();
            JobUsers::Numbers(Numbers { numbers: vec![7, 8], locks })
        };
        // As two builds: each has its own descriptors.
        let one = users();
        let other = users();
        let first = one.lease().unwrap();
        let second = other.lease().unwrap();
        assert_eq!((first.number(), second.number()), (Some(7), Some(8)));
        let error = one.lease().unwrap_err().to_string();
        assert!(
            error.contains("all 2 users for jobs, 7 to 8, are taken") && error.contains("process"),
            "{error}"
        );
        drop(first);
        assert_eq!(other.lease().unwrap().number(), Some(7));
        let mode = |path: &str| dir.path().join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("run/x"), mode("run/x/7")), (0o700, 0o600));
    }

    #[test]
    fn says_so_where_jobs_have_no_user_of_their_own() {
        let none = JobUsers::of(&accounts(""), Err("read-only file system".to_owned()));
        assert!(none.note().unwrap().contains("(read-only file system)"));
        assert!(matches!(none.lease(), Ok(JobUser::Namespace)));
        assert_eq!(JobUsers::Own.note(), None);
    }
}
