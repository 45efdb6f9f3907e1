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

use crate::job::{CacheKey, JobOutcome};
use crate::warm::WarmUpKey;

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
    before: EarlierOutcomes,
}

/// What a build had finished when it was interrupted.
#[derive(Debug, Default)]
pub(crate) struct EarlierOutcomes {
    outcomes: BTreeMap<CacheKey, JobOutcome>,
    judged_anew: BTreeSet<String>,
}

impl Journal {
    /// Opens the journal at `path`. If it's of another build than `build`, it begins anew.
    pub(crate) fn open(path: &Path, build: Digest) -> io::Result<Self> {
        let text = files::read::read_text(path, LONGEST).unwrap_or_default();
        let before = EarlierOutcomes::in_text(&text, build);
        let mut file = if before.is_some() {
            File::options().append(true).open(path)?
        } else {
            let mut file = File::create(path)?;
            serde_json::to_writer(&mut file, &Head { format: FORMAT, build })?;
            file.write_all(b"\n")?;
            file
        };
        if before.is_some() && !text.ends_with('\n') {
            file.write_all(b"\n")?; // What was cut short stays a line of its own.
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), before: before.unwrap_or_default() })
    }

    /// What the build had finished before it was interrupted.
    pub(crate) const fn before(&self) -> &EarlierOutcomes {
        &self.before
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

impl EarlierOutcomes {
    /// What the journal at `path` says of the build `build`; nothing if it's of another one.
    pub(crate) fn read(path: &Path, build: Digest) -> Self {
        let text = files::read::read_text(path, LONGEST).unwrap_or_default();
        Self::in_text(&text, build).unwrap_or_default()
    }

    fn in_text(text: &str, build: Digest) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        if head != (Head { format: FORMAT, build }) {
            return None;
        }
        let mut finished = Self::default();
        for line in lines {
            if let Ok(line) = serde_json::from_str::<JudgedAnew>(line) {
                finished.judged_anew.insert(line.judged_anew);
            }
            finished.outcomes.extend(outcome_of(line));
        }
        Some(finished)
    }

    /// What came of a job.
    pub(crate) fn find(&self, key: CacheKey) -> Option<JobOutcome> {
        self.outcomes.get(&key).cloned()
    }

    /// Whether the build had forgotten what was known of a kernel.
    pub(crate) fn has_judged_anew(&self, key: WarmUpKey) -> bool {
        self.judged_anew.contains(&key.to_string())
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
        let one = Digest::of(b"one");
        let other = Digest::of(b"other");
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
        assert_eq!(
            (journal.before().find(key("a")), journal.before().find(key("b"))),
            (Some(timed_out), None)
        );
        journal.note(key("b"), &failed).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&path, one).unwrap().before().find(key("b")), Some(failed));
        let journal = Journal::open(&path, other).unwrap();
        assert_eq!(journal.before().find(key("a")), None);
        journal.close().unwrap();
        assert!(!path.exists());
    }
}
