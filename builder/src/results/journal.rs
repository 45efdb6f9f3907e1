//! What a build has finished and the cache doesn't remember: time-outs, and failures that may pass next time.
//!
//! Modules and lasting failures are in the artifact cache the moment they are done, so a build that was killed goes on from
//! there. What would be tried again by the next build must not be by one that goes on: it's written here, a line for each
//! cell, and removed when a build comes to its end. A line that was cut short counts as not there. Kernels whose diagnosis is
//! judged anew (`--retry-failed`) have a line too: once in a build is enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bundle_format::Digest;
use serde::{Deserialize, Serialize};

use crate::job::key::CacheKey;
use crate::job::outcome::JobOutcome;
use crate::warm::parts::WarmUpKey;

/// The first line: which build it is.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Head {
    format: u32,
    /// Digest of all keys and limits.
    build: Digest,
}

const FORMAT: u32 = 1;

/// Longest journal that is read, in bytes: one of six thousand cells has 2 MB.
const LONGEST: u64 = 256 << 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    key: CacheKey,
    log: PathBuf,
    result: Passing,
}

/// A kernel of which a diagnosis was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct JudgedAnew {
    judged_anew: String,
}

/// A result that isn't kept in the cache.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Passing {
    TimedOut { limit_ms: u64 },
    Failed { reason: String },
}

/// The journal of the build that runs.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    finished: BTreeMap<CacheKey, JobOutcome>,
    judged_anew: BTreeSet<String>,
}

impl Journal {
    /// Opens the journal at `path`. If it's of another build than `build`, it begins anew.
    pub(crate) fn open(path: &Path, build: Digest) -> io::Result<Self> {
        let head = Head { format: FORMAT, build };
        let text = files::read::read_text(path, LONGEST).unwrap_or_default();
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let same = lines
            .next()
            .and_then(|line| serde_json::from_str::<Head>(line).ok())
            .is_some_and(|found| found == head);
        let lines: Vec<&str> = lines.filter(|_| same).collect();
        let finished = lines.iter().copied().filter_map(outcome_of).collect();
        let anew = lines.iter().filter_map(|line| serde_json::from_str::<JudgedAnew>(line).ok());
        let judged_anew = anew.map(|line| line.judged_anew).collect();
        let mut file = if same {
            File::options().append(true).open(path)?
        } else {
            let mut file = File::create(path)?;
            serde_json::to_writer(&mut file, &head)?;
            file.write_all(b"\n")?;
            file
        };
        if same && !text.ends_with('\n') {
            file.write_all(b"\n")?; // What was cut short stays a line of its own.
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), finished, judged_anew })
    }

    /// What came of a job before this build was interrupted.
    pub(crate) fn find(&self, key: CacheKey) -> Option<JobOutcome> {
        self.finished.get(&key).cloned()
    }

    /// Writes down what came of a job, if the cache doesn't keep it.
    pub(crate) fn note(&self, key: CacheKey, outcome: &JobOutcome) -> io::Result<()> {
        let (log, result) = match outcome {
            JobOutcome::TimedOut { limit, log } => {
                let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                (log, Passing::TimedOut { limit_ms })
            }
            JobOutcome::Failed { reason, log, cached: false } => {
                (log, Passing::Failed { reason: reason.clone() })
            }
            _ => return Ok(()),
        };
        self.write(&Line { key, log: log.clone(), result })
    }

    /// Whether this build has forgotten what was known of a kernel before it was interrupted.
    pub(crate) fn has_judged_anew(&self, key: WarmUpKey) -> bool {
        self.judged_anew.contains(&key.to_string())
    }

    /// Writes down that what was known of a kernel is forgotten.
    pub(crate) fn note_judged_anew(&self, key: WarmUpKey) -> io::Result<()> {
        self.write(&JudgedAnew { judged_anew: key.to_string() })
    }

    fn write(&self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        // One write: a kill leaves the line whole or not there.
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// The build has come to its end: the next one tries again.
    pub(crate) fn close(self) -> io::Result<()> {
        fs::remove_file(self.path)
    }
}

fn outcome_of(line: &str) -> Option<(CacheKey, JobOutcome)> {
    let Line { key, log, result } = serde_json::from_str(line).ok()?;
    let outcome = match result {
        Passing::TimedOut { limit_ms } => {
            JobOutcome::TimedOut { limit: Duration::from_millis(limit_ms), log }
        }
        Passing::Failed { reason } => JobOutcome::Failed { reason, log, cached: false },
    };
    Some((key, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fake_job;

    #[test]
    fn a_killed_build_finds_what_it_had_finished_and_another_build_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let key = |script: &str| fake_job(script, "1.0").key;
        let log = PathBuf::from("/log");
        let timed_out = JobOutcome::TimedOut { limit: Duration::from_secs(3), log: log.clone() };
        let failed = JobOutcome::Failed { reason: "no memory".to_owned(), log, cached: false };
        let journal = Journal::open(&path, one).unwrap();
        journal.note(key("a"), &timed_out).unwrap();
        drop(journal);
        // A kill in the middle of a line.
        let mut text = fs::read(&path).unwrap();
        text.extend(b"{\"key\":\"12");
        fs::write(&path, text).unwrap();
        let journal = Journal::open(&path, one).unwrap();
        assert_eq!((journal.find(key("a")), journal.find(key("b"))), (Some(timed_out), None));
        journal.note(key("b"), &failed).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path, one).unwrap().find(key("b")), Some(failed));
        let journal = Journal::open(&path, other).unwrap();
        assert_eq!(journal.find(key("a")), None);
        journal.close().unwrap();
        assert!(!path.exists());
    }
}
