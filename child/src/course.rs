//! From running to killed: when a child is asked to end, when forced, when given up.

use std::time::{Duration, Instant};

use crate::Ended;

/// How long a group may go on after TERM before it gets KILL.
pub const TERM_GRACE: Duration = Duration::from_millis(500);

/// How long a killed child may take to vanish: beyond that it hangs in the kernel.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What has been done to a child so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing; it has time until then.
    Free { until: Option<Instant> },
    /// Its group got TERM or what stands for it, and gets KILL then.
    Asked { reason: Ended, kill_at: Instant },
    /// Its group got KILL, and we wait until then.
    Killed { reason: Ended, give_up_at: Instant },
}

/// What is to be done to the child's group now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Wait,
    Ask,
    Kill,
    GiveUp,
}

impl Course {
    /// The latest moment at which [`Course::step`] must be asked again.
    pub(crate) fn next(self) -> Option<Instant> {
        match self {
            Self::Free { until } => until,
            Self::Asked { kill_at, .. } => Some(kill_at),
            Self::Killed { give_up_at, .. } => Some(give_up_at),
        }
    }

    /// Why the child was stopped, if it was.
    pub(crate) fn reason(self) -> Option<Ended> {
        match self {
            Self::Free { .. } => None,
            Self::Asked { reason, .. } | Self::Killed { reason, .. } => Some(reason),
        }
    }

    /// Goes on to `now`; `limit` is the time limit to be named if that is the reason, `grace` the time between asking and
    /// killing.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        cancelled: bool,
        limit: Option<Duration>,
        grace: Duration,
    ) -> Step {
        match *self {
            Self::Free { .. } if cancelled => self.ask(Ended::Cancelled, now, grace),
            Self::Free { until: Some(until) } if now >= until => {
                self.ask(Ended::TimedOut(limit.unwrap_or_default()), now, grace)
            }
            Self::Asked { reason, kill_at } if now >= kill_at => {
                *self = Self::Killed { reason, give_up_at: now + KILL_PATIENCE };
                Step::Kill
            }
            Self::Killed { give_up_at, .. } if now >= give_up_at => Step::GiveUp,
            _ => Step::Wait,
        }
    }

    fn ask(&mut self, reason: Ended, now: Instant, grace: Duration) -> Step {
        *self = Self::Asked { reason, kill_at: now + grace };
        Step::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stubborn_child_is_asked_then_killed_then_given_up() {
        let start = Instant::now();
        let limit = Some(Duration::from_secs(5));
        let mut course = Course::Free { until: Some(start + Duration::from_secs(5)) };
        assert_eq!(course.step(start, false, limit, TERM_GRACE), Step::Wait);
        let at_limit = start + Duration::from_secs(5);
        assert_eq!(course.step(at_limit, false, limit, TERM_GRACE), Step::Ask);
        assert_eq!(course.step(at_limit, true, limit, TERM_GRACE), Step::Wait);
        assert_eq!(course.step(at_limit + TERM_GRACE, true, limit, TERM_GRACE), Step::Kill);
        assert_eq!(course.reason(), Some(Ended::TimedOut(Duration::from_secs(5))));
        assert_eq!(course.step(at_limit + TERM_GRACE + KILL_PATIENCE, true, limit, TERM_GRACE), Step::GiveUp);
    }

    #[test]
    fn without_a_limit_only_a_cancellation_ends_it() {
        let start = Instant::now();
        let mut course = Course::Free { until: None };
        assert_eq!((course.next(), course.step(start, false, None, TERM_GRACE)), (None, Step::Wait));
        assert_eq!(course.step(start, true, None, TERM_GRACE), Step::Ask);
        assert_eq!((course.reason(), course.next()), (Some(Ended::Cancelled), Some(start + TERM_GRACE)));
    }
}
