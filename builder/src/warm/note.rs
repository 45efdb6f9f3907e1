//! What is known of a key's caches: the files, and what they are complete for.

use std::collections::{BTreeMap, BTreeSet};

use bundle_format::Digest;
use serde::{Deserialize, Serialize};

use super::diagnosis::Diagnosis;
use super::parts::{WarmUp, WarmUpPart};
use super::scan::{Scan, TraceView};
use crate::state::FileStamp;

/// Layout of the note. Of others nothing is kept: up to 2, the files belonged to the user of jobs.
pub(super) const NOTE_FORMAT: u32 = 3;

/// A file as it was taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WarmFile {
    pub(super) size: u64,
    pub(super) sha256: Digest,
    /// The file with these bytes in it, unless it was too fresh to tell it from one that is changed in the same moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stamp: Option<FileStamp>,
}

/// Files by their path below the store.
pub(crate) type WarmFiles = BTreeMap<String, WarmFile>;

/// What is known of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(default)]
    pub(super) format: u32,
    /// What the files' names depend on, besides the key.
    #[serde(default)]
    pub(super) stamp: Option<Digest>,
    #[serde(default)]
    pub(super) complete: WarmUp,
    /// Trace headers that were scanned, where not all were.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) headers: BTreeSet<String>,
    /// The tracepoints that were found in them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) tracepoints: BTreeSet<String>,
    #[serde(default)]
    pub(super) files: WarmFiles,
    /// What keeps every module, or every tracepoint, from being compiled for this kernel.
    #[serde(default)]
    pub(super) diagnoses: Vec<Diagnosis>,
}

/// What is good for a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Warm {
    pub complete: WarmUp,
    pub diagnoses: Vec<Diagnosis>,
    /// Files that aren't as they were taken over; they are removed.
    pub changed: Vec<String>,
    /// Some of the trace headers were scanned, and not all.
    pub is_scanned_in_part: bool,
}

impl Note {
    /// Makes it one of this stamp.
    pub(super) fn begin(&mut self, stamp: Digest) {
        if self.stamp != Some(stamp) {
            self.complete_nothing();
        }
        self.stamp = Some(stamp);
    }

    pub(super) fn complete_nothing(&mut self) {
        for part in WarmUpPart::ALL {
            self.lacks(part);
        }
        self.diagnoses.clear();
    }

    /// A part isn't complete any more.
    pub(super) fn lacks(&mut self, part: WarmUpPart) {
        self.complete = self.complete.without(part);
        if part == WarmUpPart::Scan {
            self.headers.clear();
            self.tracepoints.clear();
        }
    }

    /// Notes what was found out by making a part.
    pub(super) fn judge(&mut self, part: WarmUpPart, diagnosis: Option<Diagnosis>) {
        self.diagnoses.retain(|diagnosis| diagnosis.part() != part);
        self.diagnoses.extend(diagnosis);
    }

    pub(super) fn add_scan(&mut self, scan: Scan) {
        self.tracepoints.extend(scan.tracepoints);
        match scan.view {
            TraceView::Whole => self.complete = self.complete.with(WarmUpPart::Scan),
            TraceView::Only(headers) => self.headers.extend(headers),
        }
        self.judge(WarmUpPart::Scan, None);
    }

    pub(super) fn has_scanned(&self, view: &TraceView) -> bool {
        match view {
            _ if self.complete.scanned => true,
            TraceView::Whole => false,
            TraceView::Only(headers) => headers.is_subset(&self.headers),
        }
    }

    pub(super) fn warm(&self) -> Warm {
        let known = |diagnosis: &&Diagnosis| self.complete.has(diagnosis.part());
        let diagnoses = self.diagnoses.iter().filter(known).cloned().collect();
        let is_scanned_in_part = !self.complete.scanned && !self.headers.is_empty();
        Warm { complete: self.complete, diagnoses, changed: Vec::new(), is_scanned_in_part }
    }
}

impl Warm {
    /// The same without what is wrong with the kernel, and the parts that have shown it.
    pub(crate) fn forgotten(mut self) -> Self {
        for diagnosis in self.diagnoses.drain(..) {
            self.complete = self.complete.without(diagnosis.part());
        }
        self
    }
}
