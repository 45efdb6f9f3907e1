//! How messages name errors and generations.

/// Most numbers that a message names: the newest.
const MAX_LISTED: usize = 8;

/// `generation 3`, `generations 1, 2, 3`.
pub(crate) fn generations(numbers: &[u64]) -> String {
    let word = if numbers.len() == 1 { "generation" } else { "generations" };
    format!("{word} {}", list(numbers))
}

/// `there is only 1`, `there are 1, 2`.
pub(crate) fn there_are(numbers: &[u64]) -> String {
    match numbers {
        [] => "there is none at all".to_owned(),
        [one] => format!("there is only {one}"),
        several => format!("there are {}", list(several)),
    }
}

fn list(numbers: &[u64]) -> String {
    let older = numbers.len().saturating_sub(MAX_LISTED);
    let newest: Vec<String> = numbers.iter().skip(older).map(u64::to_string).collect();
    let newest = newest.join(", ");
    if older == 0 { newest } else { format!("{older} older ones, {newest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_generations_the_newest_are_named() {
        assert_eq!(generations(&[3]), "generation 3");
        assert_eq!(there_are(&[3]), "there is only 3");
        let many: Vec<u64> = (1..=10).collect();
        assert_eq!(there_are(&many), "there are 2 older ones, 3, 4, 5, 6, 7, 8, 9, 10");
    }
}
