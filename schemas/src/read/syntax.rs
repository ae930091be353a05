//! Errors of the TOML parser as problems of the file.

use std::{collections::BTreeMap, ops::Range};

use toml::de::Error;

use super::tree::Node;
use crate::diagnostic::Diagnostic;

/// Of several errors on one line only the first: the others follow from it.
pub(super) fn first_of_each_line<'e>(text: &str, errors: &'e [Error]) -> Vec<&'e Error> {
    let mut by_line: BTreeMap<usize, &Error> = BTreeMap::new();
    for error in errors {
        let start = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..start]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        by_line
            .entry(line)
            .and_modify(|first| {
                if error.span().map(|span| span.start) < first.span().map(|span| span.start) {
                    *first = error;
                }
            })
            .or_insert(error);
    }
    by_line.into_values().collect()
}

/// An error of the parser or, after the walk, of the types.
pub(super) fn diagnostic(text: &str, root: &Node<'_>, error: &Error) -> Diagnostic {
    let Some(span) = error.span() else {
        return Diagnostic::error_of_file(error.message());
    };
    let word = text.get(span.clone()).unwrap_or_default();
    if error.message() == "duplicate key" {
        let again = Diagnostic::error(span.clone(), format!("`{word}` is written twice"));
        return match earlier_header(text, &span).or_else(|| only_other_key(root, word, &span)) {
            Some(first) => again.with_label(first, "first here"),
            None => again,
        };
    }
    if error.message().starts_with("string values must be quoted") {
        return Diagnostic::error(span, "a text stands in quotation marks")
            .with_caret(format!("write \"{word}\""));
    }
    Diagnostic::error(span, error.message())
}

/// Of a table's header that stands twice, the key in the earlier one. The parser's tree keeps only the later.
fn earlier_header(text: &str, again: &Range<usize>) -> Option<Range<usize>> {
    let start = text
        .get(..again.start)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let header = |line: &str| {
        line.trim_start()
            .starts_with('[')
            .then(|| line.find(']').map(|end| line[..=end].to_owned()))?
    };
    let repeated = header(text.get(start..)?.lines().next()?)?;
    let mut at = 0;
    for line in text[..start].split_inclusive('\n') {
        if header(line).as_ref() == Some(&repeated) {
            return Some(at + again.start - start..at + again.end - start);
        }
        at += line.len();
    }
    None
}

/// The parser does not say which table a key is twice in; where its name occurs only once more, that one is meant.
fn only_other_key(root: &Node<'_>, word: &str, again: &Range<usize>) -> Option<Range<usize>> {
    let mut others = Vec::new();
    keys_named(root, word, &mut others);
    others.retain(|other| other != again);
    if let [only] = others.as_slice() {
        Some(only.clone())
    } else {
        None
    }
}

fn keys_named(node: &Node<'_>, word: &str, found: &mut Vec<Range<usize>>) {
    for (name, child) in node.entries() {
        if name == word {
            found.push(child.key_span());
        }
        keys_named(&child, word, found);
    }
    for element in node.elements() {
        keys_named(&element, word, found);
    }
}
