//! What the kernel knows of its own clock.
//!
//! Whatever keeps a clock right (chrony, ntpd, systemd-timesyncd, an agent of a hypervisor) tells the kernel by how much it may be
//! wrong at most. The kernel adds to that while it hears nothing, half a millisecond a second. A clock that nobody keeps, or that was
//! set by hand, is at the end of that scale: 16 seconds. The flag `STA_UNSYNC` says less, for chrony sets it unless it may
//! write the hardware clock too (`rtcsync`); systemd judges by the same number.

use std::mem::MaybeUninit;

/// The end of the kernel's scale (`NTP_PHASE_LIMIT`), in microseconds.
const UNKNOWN: i64 = 16_000_000;

/// Whether something keeps this machine's clock right.
pub(crate) fn is_synchronised() -> bool {
    is_kept(most_wrong())
}

/// Whether a clock that may be wrong by so many microseconds is kept right.
fn is_kept(most_wrong: Option<i64>) -> bool {
    most_wrong.is_some_and(|microseconds| microseconds < UNKNOWN)
}

/// By how many microseconds the clock may be wrong at most; `None` where the kernel isn't to be asked, as by a sandbox.
#[expect(unsafe_code, reason = "no library here wraps adjtimex(2); the two lines are argued for below")]
fn most_wrong() -> Option<i64> {
    // Without a mode, nothing is changed by the call.
    let mut clock = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the kernel writes into this structure alone, whose type is the C library's own.
    let state = unsafe { libc::adjtimex(clock.as_mut_ptr()) };
    // SAFETY: all its fields are integers, for which zeros are values too.
    let clock = unsafe { clock.assume_init() };
    (state >= 0).then_some(clock.maxerror)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_counts_as_kept_by_the_error_that_its_keeper_tells_the_kernel() {
        for (keeper, most_wrong, is_right) in [
            ("ntpd, some minutes after a contact", Some(480_000), true),
            ("chrony, with and without rtcsync", Some(2_150), true),
            ("systemd-timesyncd, just now", Some(0), true),
            ("a keeper that was lost eight hours ago", Some(15_999_999), true),
            ("nobody since the boot, or since the clock was set by hand", Some(16_000_000), false),
            ("a kernel that doesn't say", None, false),
        ] {
            assert_eq!(is_kept(most_wrong), is_right, "{keeper}");
        }
    }

    #[test]
    fn this_kernel_answers_within_its_scale() {
        let most_wrong = most_wrong().unwrap();
        assert!((0..=UNKNOWN).contains(&most_wrong), "{most_wrong}");
    }
}
