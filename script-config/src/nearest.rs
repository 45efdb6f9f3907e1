//! The known word that a mistyped one probably meant.

/// Returns the word of `known` with the fewest edits from `text`, if they are few enough to be a
/// slip: at most a third of the letters, and at most three.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (text.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (edits(text, word), word))
        .filter(|&(count, _)| count <= limit)
        .min()
        .map(|(_, word)| word)
}

/// Counts insertions, deletions, replacements and exchanged neighbours between two words, without regard to case.
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut least = (row[j] + usize::from(a != b)).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *b && right[j - 1] == *a {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["PASSALL", "RECURSIVE", "CACHE_PATH"];
        assert_eq!(nearest("PASALL", known), Some("PASSALL"));
        assert_eq!(nearest("passall", known), Some("PASSALL"));
        assert_eq!(nearest("CACHEPATH", known), Some("CACHE_PATH"));
        assert_eq!(nearest("LOGDIR", known), None);
        assert_eq!(nearest("biuld", ["build"]), Some("build"));
        assert_eq!(nearest("", known), None);
    }
}
