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

/// Counts insertions, deletions and replacements between two words, without regard to case.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
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
        assert_eq!(nearest("", known), None);
    }
}
