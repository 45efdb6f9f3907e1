//! A plan is carried out: what is in the cache is taken from there, the rest goes through the schedule to the workers.
//! In come a `Plan` and `BuildOptions`; out go `BuildEvent`s while it runs, and a `BuildReport`.

pub(crate) mod build;
pub(crate) mod compare;
pub(crate) mod decide;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod keep;
pub(crate) mod lead;
pub(crate) mod options;
pub(crate) mod preview;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod schedule_state;
pub(crate) mod site;
pub(crate) mod work_left;
pub(crate) mod workers;
