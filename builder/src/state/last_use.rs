//! When an entry or a note was used last: its modification time, by which a collection finds what nobody wants any more.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// An entry's time of last use is written down again when it's older than this: not at every build.
pub(crate) const USE_GRAIN: Duration = Duration::from_secs(24 * 3600);

/// Writes down that an entry was used. That it can't be (a cache that is shared read-only) is no failure.
pub(crate) fn note_use(record: &Path) {
    let now = SystemTime::now();
    let used = fs::metadata(record).and_then(|metadata| metadata.modified());
    if used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > USE_GRAIN))
        && let Ok(file) = files::read::open(record)
    {
        let _ = file.set_modified(now);
    }
}
