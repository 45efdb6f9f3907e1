//! What compiles and leaders of a build see of the kernels' trace headers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::inputs::{KernelTarget, TraceHeaders, trees_of};
use crate::job::CompileJob;
use crate::sandbox::{NarrowedDirectory, Sysroot};
use crate::state::BuildDirectories;
use crate::warm::{Scan, TraceView, WarmUps};

/// The trace headers of the kernels, each read when it is asked for.
#[derive(Debug)]
pub(crate) struct TraceViews<'a> {
    sysroots: &'a [Arc<Sysroot>],
    directories: &'a BuildDirectories,
    pub warm_ups: &'a WarmUps,
    /// By sysroot and build tree.
    known: Mutex<HashMap<(usize, PathBuf), Arc<TraceHeaders>>>,
}

impl<'a> TraceViews<'a> {
    pub(crate) fn new(
        sysroots: &'a [Arc<Sysroot>],
        directories: &'a BuildDirectories,
        warm_ups: &'a WarmUps,
    ) -> Self {
        Self { sysroots, directories, warm_ups, known: Mutex::default() }
    }

    /// What a job sees. Its key must be prepared.
    pub(crate) fn of_job(&self, job: &CompileJob) -> TraceView {
        if !job.needs.scanned || job.tracepoints.any || job.tracepoints.names.is_empty() {
            return TraceView::Whole;
        }
        let view = self.headers(&job.kernel).view(&job.tracepoints);
        let is_elsewhere = self.warm_ups.lacks(job.warm_up_key, &view, &job.tracepoints.names);
        if is_elsewhere { TraceView::Whole } else { view }
    }

    /// What a leader must scan for these jobs of one key.
    pub(crate) fn scan_for<'j>(&self, jobs: impl Iterator<Item = &'j CompileJob>) -> Scan {
        let mut scan = Scan::none();
        for job in jobs.filter(|job| job.needs.scanned) {
            scan.view.add(&self.of_job(job));
            scan.tracepoints.extend(job.tracepoints.names.iter().cloned());
        }
        scan
    }

    /// The directories of a kernel in which a view lacks something.
    pub(crate) fn narrowed(&self, kernel: &KernelTarget, view: &TraceView) -> Vec<NarrowedDirectory> {
        if *view == TraceView::Whole {
            return Vec::new();
        }
        let headers = self.headers(kernel);
        headers.narrowed_by(&kernel.root(self.sysroots), view)
    }

    fn headers(&self, kernel: &KernelTarget) -> Arc<TraceHeaders> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (kernel.sysroot, kernel.build_tree.clone());
        Arc::clone(known.entry(place).or_insert_with(|| Arc::new(self.read(kernel))))
    }

    fn read(&self, kernel: &KernelTarget) -> TraceHeaders {
        let remembered = self.directories.index().join(format!("trace-includes-{}.json", kernel.tree_digest));
        let root = kernel.root(self.sysroots);
        let trees = trees_of(&root, &kernel.build_tree, &kernel.release);
        TraceHeaders::of_trees(&root, &trees, &remembered, self.directories.notes())
    }
}
