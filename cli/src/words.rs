//! Sizes, times and lists as people read them.

/// Bytes with a unit: `512 B`, `3.4 KiB`, `1.6 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = count.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).copied().unwrap_or("TiB"))
}

/// How long something took: `0.4 s`, `59.9 s`, `2 min 5 s`, `1 h 4 min`.
#[cfg(feature = "farm")]
pub(crate) fn duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Seconds since 1970 as a date and time in UTC.
pub(crate) fn date(seconds: u64) -> String {
    i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()).map_or_else(
        || format!("{seconds} s since 1970"),
        |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// Whether the clock of this machine is behind that second since 1970.
pub(crate) fn has_passed(seconds: u64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.is_ok_and(|now| now.as_secs() > seconds)
}

/// The line of a best-before below a bundle's id; of one that has passed, what follows from it.
pub(crate) fn best_before(seconds: u64) -> String {
    let passed = if has_passed(seconds) { ", which has passed: hosts refuse it" } else { "" };
    format!("  best before {}{passed}", date(seconds))
}

/// What a best-before means at a time: `expired on DATE; it is now DATE`.
#[cfg(feature = "host")]
pub(crate) fn expiry(best_before: u64, now: u64) -> String {
    let word = if best_before < now { "expired" } else { "expires" };
    format!("{word} on {}; it is now {}", date(best_before), date(now))
}

/// A count with its noun: `1 module`, `3 modules`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A size as people type it: bytes, or with K, M, G or T behind, in powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let (digits, shift) = match short.as_bytes().last() {
        Some(b'K') => (short.strip_suffix('K'), 10),
        Some(b'M') => (short.strip_suffix('M'), 20),
        Some(b'G') => (short.strip_suffix('G'), 30),
        Some(b'T') => (short.strip_suffix('T'), 40),
        _ => (Some(short), 0),
    };
    let number = digits.and_then(|digits| digits.parse::<u64>().ok());
    let size = number.and_then(|number| number.checked_mul(1 << shift)).filter(|size| *size > 0);
    size.ok_or_else(|| {
        "expected a number of bytes, or one with K, M, G or T behind it, such as 700M".to_owned()
    })
}

/// `a, b, c and 3 more`.
#[cfg(feature = "farm")]
pub(crate) fn first_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<&str> = names.into_iter().collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal_and_the_right_unit() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 20), "1.0 MiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert!(bytes(u64::MAX).ends_with("TiB"));
    }

    #[test]
    fn a_typed_size_has_a_unit_of_1024() {
        for (text, size) in
            [("7", 7), ("1k", 1024), ("700M", 700 << 20), ("2GiB", 2 << 30), ("3 T", 0), ("", 0), ("0", 0)]
        {
            assert_eq!(parse_size(text).ok(), (size > 0).then_some(size), "{text}");
        }
    }

    #[cfg(feature = "farm")]
    #[test]
    fn durations_have_two_units_at_most() {
        for (milliseconds, text) in
            [(0, "0.0 s"), (59_990, "59.9 s"), (125_000, "2 min 5 s"), (3_840_000, "1 h 4 min")]
        {
            assert_eq!(duration(std::time::Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn dates_are_utc() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(u64::MAX), "18446744073709551615 s since 1970");
    }
}
