//! The time that what is written claims, if whoever runs the program settles it (reproducible-builds.org).

use crate::exit::Exit;
use crate::failure::Failure;

/// `SOURCE_DATE_EPOCH`, if it is set; a value that isn't a number is an error, not a surprise in the bundle.
pub(crate) fn source_date_epoch() -> Result<Option<u64>, Failure> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let text = value.to_string_lossy();
    text.parse().map(Some).map_err(|_| {
        Failure::new(Exit::Usage, format!("SOURCE_DATE_EPOCH is `{text}`, expected seconds since 1970"))
    })
}
