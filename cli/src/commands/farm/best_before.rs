//! `--best-before`: when hosts begin to refuse a bundle.

use builder::{BestBefore, BestBeforeError};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::{date, has_passed};

/// A century: a date that is written without its dashes is a number too.
const MOST_DAYS: u32 = 36_500;

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct BestBeforeOption {
    /// When hosts begin to refuse the bundle: 2027-06-30, 2027-06-30T12:00:00Z, or a number of days
    ///
    /// Dates are UTC, a day begins with its first second. Days count from the bundle's `created`, which is the time of its
    /// newest input or `SOURCE_DATE_EPOCH`: the same inputs give the same bundle, whenever it is built. A date that isn't
    /// after `created` is refused. What is installed by then still starts, with a warning.
    #[arg(hide_short_help = true, long, value_name = "DATE|DAYS", value_parser = parse, allow_negative_numbers = true)]
    pub(crate) best_before: Option<BestBefore>,
}

fn parse(text: &str) -> Result<BestBefore, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let days = text.parse().ok().filter(|days| (1..=MOST_DAYS).contains(days));
        return days
            .map(BestBefore::Days)
            .ok_or_else(|| format!("expected 1 to {MOST_DAYS} days; a date has dashes, such as 2027-06-30"));
    }
    time(text).map(BestBefore::At).ok_or_else(|| {
        "expected a date in UTC, such as 2027-06-30 or 2027-06-30T12:00:00Z, or a number of days, such as 180"
            .to_owned()
    })
}

/// Seconds since 1970 of a date in one of the two forms.
fn time(text: &str) -> Option<u64> {
    let is_day = text.len() == "2027-06-30".len();
    let whole = if is_day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time: jiff::Timestamp = whole.parse().ok()?;
    // The parser takes more forms than these two.
    let same = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string() == whole;
    u64::try_from(time.as_second()).ok().filter(|_| same)
}

pub(crate) fn failure(error: &BestBeforeError) -> Failure {
    let BestBeforeError { best_before, created } = *error;
    let what =
        format!("--best-before: {} is not after the bundle's creation, {}", date(best_before), date(created));
    Failure::new(Exit::Usage, what).hint(
        "a bundle's creation is the time of its newest input, or SOURCE_DATE_EPOCH: give a later date, or days from then",
    )
}

/// A word on a bundle that no host takes any more: days may count from an input that is older than them.
pub(crate) fn warn_if_passed(ui: &mut Ui, best_before: Option<u64>) {
    if let Some(passed) = best_before.filter(|time| has_passed(*time)) {
        ui.warning(format!("hosts refuse this bundle: it expired on {}", date(passed)));
    }
}

/// A line below the bundle's id; that it has passed was a warning.
pub(crate) fn show(ui: &mut Ui, best_before: Option<u64>) {
    if let Some(best_before) = best_before {
        ui.line(format!("  best before {}", date(best_before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_best_before_is_a_date_in_utc_or_a_number_of_days() {
        for (text, expected) in [
            ("2025-01-01", BestBefore::At(1_735_689_600)),
            ("2025-01-01T00:00:00Z", BestBefore::At(1_735_689_600)),
            ("2024-02-29T12:30:01Z", BestBefore::At(1_709_209_801)),
            ("1", BestBefore::Days(1)),
            ("180", BestBefore::Days(180)),
            ("36500", BestBefore::Days(36_500)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_forms_of_a_date_are_refused_with_those_that_are_read() {
        for text in [
            "",
            "0",
            "36501",
            "20270630",
            "-3",
            "+3",
            "3d",
            "2027-6-30",
            "2027-02-30",
            "30.06.2027",
            "2027-06-30T12:00",
            "2027-06-30T12:00:00",
            "2027-06-30t12:00:00z",
            "2027-06-30 12:00:00Z",
            "2027-06-30T12:00:00+02:00",
            "2027-06-30T12:00:00.5Z",
            "1969-12-31",
            "tomorrow",
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains("2027-06-30"), "{text}: {refused}");
        }
    }
}
