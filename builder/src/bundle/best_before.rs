//! When a bundle expires.

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// When a bundle expires, as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BestBefore {
    /// At this time, in seconds since 1970.
    At(u64),
    /// So many days after its `created`. No clock is read: the same inputs give the same bytes.
    Days(u32),
}

/// A bundle would have expired before it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("best-before {best_before} is not after the bundle's creation, {created} (seconds since 1970)")]
pub struct BestBeforeError {
    pub best_before: u64,
    pub created: u64,
}

impl BestBefore {
    /// As it is signed for a bundle that was created then.
    pub(crate) fn of_bundle(self, created: u64) -> Result<u64, BestBeforeError> {
        let best_before = match self {
            Self::At(time) => time,
            Self::Days(days) => created.saturating_add(u64::from(days) * DAY),
        };
        if best_before > created { Ok(best_before) } else { Err(BestBeforeError { best_before, created }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_the_creation() {
        assert_eq!(BestBefore::Days(1).of_bundle(1_735_689_600), Ok(1_735_776_000));
        assert_eq!(BestBefore::Days(365).of_bundle(1_735_689_600), Ok(1_767_225_600));
    }

    #[test]
    fn a_date_counts_as_it_is_and_must_be_after_the_creation() {
        let at = |best_before: u64, created: u64| BestBefore::At(best_before).of_bundle(created);
        assert_eq!(at(1_767_225_600, 1_735_689_600), Ok(1_767_225_600));
        for best_before in [0, 1_735_689_599, 1_735_689_600] {
            let created = 1_735_689_600;
            assert_eq!(at(best_before, created), Err(BestBeforeError { best_before, created }));
        }
        assert!(BestBefore::Days(0).of_bundle(7).is_err());
    }
}
