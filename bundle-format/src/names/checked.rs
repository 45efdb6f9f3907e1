//! Names that come from outside, checked once at the border (`docs/bundle-spec.md`, "Names").
//!
//! Each becomes part of a path on a production host, so none may hold a separator, a control
//! character or a leading dot. Past this module nothing takes a `&str` for them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

// The configuration language has the same names, and must stay usable without the format.
pub use script_config::{ScriptName, ScriptNameError};

/// Text that isn't the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a {what}: {rule}")]
pub struct NameError {
    what: &'static str,
    found: String,
    rule: &'static str,
}

/// Most characters of a release or bundle name: the kernel's own limit for `uname -r` is 64.
const MAX_NAME: usize = 64;

fn check(what: &'static str, text: &str, extra: &str, rule: &'static str) -> Result<(), NameError> {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let good = text.len() <= MAX_NAME
        && text.chars().next().is_some_and(plain)
        && text.chars().all(|c| plain(c) || extra.contains(c))
        && !text.contains("..");
    if good {
        return Ok(());
    }
    Err(NameError { what, found: shown(text), rule })
}

fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

/// A text that `$check` has found good.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

    };
}

/// A name that is part of a path, in the order of people.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $extra:literal, $rule:literal) => {
        checked_text!($(#[$doc])* $name, |text: &str| check($what, text, $extra, $rule));

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                natural_order(&self.0, &other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
    };
}

checked_text!(
    /// A group of users on a host; may be named as the ones that may start a script besides root.
    #[derive(PartialOrd, Ord)]
    GroupName,
    check_group
);

impl GroupName {
    /// The group whose members `SystemTap` lets use `staprun` with modules of others (stap(1), "stapusr").
    #[must_use]
    pub fn stapusr() -> Self {
        Self("stapusr".to_owned())
    }
}

/// What `groupadd` of the common distributions takes.
fn check_group(text: &str) -> Result<(), NameError> {
    let begin = |b: u8| b.is_ascii_lowercase() || b == b'_';
    let later = |b: u8| begin(b) || b.is_ascii_digit() || b == b'-';
    if text.len() <= 32 && text.bytes().next().is_some_and(begin) && text.bytes().all(later) {
        return Ok(());
    }
    let rule = "expected 1 to 32 lower-case letters, digits, `_` and `-`, beginning with a letter or `_`";
    Err(NameError { what: "group name", found: shown(text), rule })
}

checked_name!(
    /// What `uname -r` prints; equality decides what fits, the order is for lists only.
    KernelRelease,
    "kernel release",
    "._+~-",
    "expected 1 to 64 letters, digits and `._+~-`, beginning with a letter or digit, without `..`"
);
checked_name!(
    /// The name under which versions of a bundle follow each other.
    BundleName,
    "bundle name",
    "._+-",
    "expected 1 to 64 letters, digits and `._+-`, beginning with a letter or digit, without `..`"
);
checked_name!(
    /// A version for people; the serial orders bundles.
    BundleVersion,
    "bundle version",
    "._+~-",
    "expected 1 to 64 letters, digits and `._+~-`, beginning with a letter or digit, without `..`"
);
checked_name!(
    /// What `uname -m` prints.
    Machine,
    "machine name",
    "_-",
    "expected 1 to 64 letters, digits, `_` and `-`, beginning with a letter or digit"
);

impl BundleName {
    /// The name under which a host records what was compiled on it.
    pub const LOCAL: &str = "local";

    /// [`Self::LOCAL`] as a name.
    #[must_use]
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }
}

impl From<u64> for BundleVersion {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

/// Compares runs of digits by value and the rest by byte, so that `-47-` comes before `-101-`;
/// texts that are equal by value fall back to bytes, so the order is total.
fn natural_order(left: &str, right: &str) -> Ordering {
    let mut a = left.as_bytes();
    let mut b = right.as_bytes();
    while let Some((&x, &y)) = a.first().zip(b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (run_a, rest_a) = split_number(a);
            let (run_b, rest_b) = split_number(b);
            (a, b) = (rest_a, rest_b);
            run_a.len().cmp(&run_b.len()).then_with(|| run_a.cmp(run_b))
        } else {
            (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
            x.cmp(&y)
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// The leading digits without leading zeros, and what follows them.
fn split_number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len());
    let (run, rest) = bytes.split_at(end);
    let zeros = run.iter().position(|b| *b != b'0').unwrap_or(run.len());
    (run.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_the_field_are_names() {
        for text in
            ["2.6.26.1", "6.12.107+deb13-cloud-amd64", "6.8.0-rt8+", "5.14.0-503.el9.x86_64", "6.10.3~rc1"]
        {
            assert!(text.parse::<KernelRelease>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_release_that_could_leave_its_directory_is_refused() {
        for text in ["", ".", "..", "../x", "a/b", "a..b", ".x", "a b", "a\n", "a\0", "ä", &"a".repeat(65)] {
            assert!(text.parse::<KernelRelease>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_order_counts_digits_by_value() {
        let mut list: Vec<KernelRelease> = ["6.1.0-101", "6.1.0-47", "6.12.1", "6.2", "6.1.0-047"]
            .iter()
            .filter_map(|t| t.parse().ok())
            .collect();
        list.sort();
        let texts: Vec<&str> = list.iter().map(KernelRelease::as_str).collect();
        assert_eq!(texts, ["6.1.0-047", "6.1.0-47", "6.1.0-101", "6.2", "6.12.1"]);
    }
}
