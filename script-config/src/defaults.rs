//! The parameters, and the words of those that are yes or no.

use crate::writing::write_assignment;

/// The words that mean yes (INIT-CFG-03).
pub const TRUE_WORDS: [&str; 6] = ["y", "Y", "yes", "Yes", "YES", "1"];

/// The words that mean no (INIT-CFG-03).
pub const FALSE_WORDS: [&str; 6] = ["n", "N", "no", "No", "NO", "0"];

/// The parameters with the values they have when no file sets them (INIT-CFG-02). The original
/// sets them before it reads its files, so a file can use `$CACHE_PATH` without setting it.
pub(crate) const DEFAULTS: [(&str, &str); 12] = [
    ("SCRIPT_PATH", "/etc/systemtap/script.d"),
    ("CONFIG_PATH", "/etc/systemtap/conf.d"),
    ("CACHE_PATH", "/var/cache/systemtap"),
    ("TEMP_PATH", "/tmp"),
    ("STAT_PATH", "/var/run/systemtap"),
    ("LOG_FILE", "/var/log/systemtap.log"),
    ("PASSALL", "yes"),
    ("RECURSIVE", "no"),
    ("AUTOCOMPILE", "yes"),
    ("DEFAULT_START", ""),
    ("ALLOW_CACHEONLY", "no"),
    ("LOG_BOOT_ERR", "no"),
];

/// Returns the assignments that the original makes before it reads its files, in the syntax of bash, one a line.
#[must_use]
pub fn default_assignments() -> String {
    DEFAULTS.iter().map(|(name, text)| write_assignment(name, text) + "\n").collect()
}

pub(crate) fn default_of(name: &str) -> &'static str {
    DEFAULTS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
}
