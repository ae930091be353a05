//! The known word that a misspelt one probably meant.

/// The nearest of the candidates, if one is near enough to be a guess rather than a shot in the dark.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &plain(candidate));
    let (candidate, distance) = candidates
        .into_iter()
        .map(|candidate| (candidate, distance(candidate)))
        .min_by_key(|&(_, distance)| distance)?;
    let longer = word.chars().count().max(candidate.chars().count());
    (distance * 3 <= longer).then_some(candidate)
}

/// Words in backquotes, in a row: `` `a`, `b` or `c` ``.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_misspellings_only() {
        let keys = ["context-length", "reuse-count", "query-length"];
        assert_eq!(nearest("reuse_count", keys), Some("reuse-count"));
        assert_eq!(nearest("qery-length", keys), Some("query-length"));
        assert_eq!(nearest("Context-Length", keys), Some("context-length"));
        assert_eq!(nearest("temperature", keys), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn lists_words() {
        assert_eq!(listed([], "or"), "");
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "and"), "`a`, `b` and `c`");
    }
}
