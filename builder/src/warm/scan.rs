//! What of a kernel's trace headers a tracepoint scan has seen.

use std::collections::BTreeSet;

/// The trace headers that stap sees of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TraceView {
    /// All there are.
    Whole,
    /// These, by their paths in the sysroot, and others that stap looks through all the same.
    Only(BTreeSet<String>),
}

impl TraceView {
    /// Nothing yet, to be added to.
    pub(crate) const fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Only(headers), Self::Only(more)) => headers.extend(more.iter().cloned()),
            _ => *self = Self::Whole,
        }
    }
}

/// A scan: what it sees, and tracepoints that it has found, or must find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scan {
    pub view: TraceView,
    pub tracepoints: BTreeSet<String>,
}

impl Scan {
    /// One of nothing, to be added to.
    pub(crate) const fn none() -> Self {
        Self { view: TraceView::none(), tracepoints: BTreeSet::new() }
    }

    /// One of all headers.
    pub(crate) const fn whole() -> Self {
        Self { view: TraceView::Whole, tracepoints: BTreeSet::new() }
    }
}
