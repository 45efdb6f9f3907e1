//! Output of a child, bounded: head and tail are kept.

use std::borrow::Cow;
use std::collections::VecDeque;

/// What a child wrote to one stream.
///
/// The head tells how it began, the tail how it ended; a long middle is dropped and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_limit: usize,
    tail_limit: usize,
    cut: u64,
}

impl Captured {
    /// Returns an empty capture that will keep at most `cap` bytes, half at each end.
    pub(crate) fn new(cap: usize) -> Self {
        let head_limit = cap.div_ceil(2);
        Self { head: Vec::new(), tail: VecDeque::new(), head_limit, tail_limit: cap - head_limit, cut: 0 }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let (to_head, rest) = bytes.split_at(bytes.len().min(self.head_limit - self.head.len()));
        self.head.extend_from_slice(to_head);
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(self.tail_limit);
        self.tail.drain(..excess);
        self.cut += excess as u64;
    }

    /// Bytes dropped between head and tail; 0 when the capture is whole.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Tells whether the child wrote nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty() && self.cut == 0
    }

    /// The bytes before the cut; all of them when nothing was cut before the head was full.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Everything kept; where something was cut, a line in square brackets says how many bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        if self.cut > 0 {
            all.extend_from_slice(format!("\n[… {} bytes cut …]\n", self.cut).as_bytes());
        }
        all.extend(&self.tail);
        all
    }

    /// As [`Captured::bytes`], as text; what isn't UTF-8 becomes the replacement character.
    #[must_use]
    pub fn text(&self) -> String {
        match String::from_utf8_lossy(&self.bytes()) {
            Cow::Borrowed(text) => text.to_owned(),
            Cow::Owned(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_whole() {
        let mut captured = Captured::new(10);
        captured.push(b"01234");
        captured.push(b"56789");
        assert_eq!((captured.text().as_str(), captured.cut()), ("0123456789", 0));
    }

    #[test]
    fn long_output_keeps_both_ends_and_counts_the_middle() {
        let mut captured = Captured::new(6);
        for byte in b'a'..=b'z' {
            captured.push(&[byte]);
        }
        assert_eq!(captured.text(), "abc\n[… 20 bytes cut …]\nxyz");
        let mut at_once = Captured::new(6);
        at_once.push(b"abcdefghijklmnopqrstuvwxyz");
        assert_eq!(at_once, captured);
    }

    #[test]
    fn a_cap_of_nothing_still_counts() {
        let mut captured = Captured::new(0);
        captured.push(b"abc");
        assert!(!captured.is_empty());
        assert_eq!(captured.cut(), 3);
    }
}
