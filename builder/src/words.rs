//! What stap, compilers and other people's files say, in words for a manifest or a message.
//! In comes a log or a text; out goes one line that is the same on every farm.

pub(crate) mod known_failures;
pub(crate) mod quoted;
pub(crate) mod red_reason;
