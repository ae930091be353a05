//! Whether two engines gave the same text to the same prompt.

use std::collections::BTreeMap;

use schemas::scenario::Requests;
use serde::Serialize;

use crate::{facts::Facts, frame::Request, metrics, values::KINDS};

/// Texts of one engine against those of another that recomputes, over requests with equal prompts (same experiment, trial and `request_id`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// The engine.
    pub engine_id: u32,
    /// The engine whose texts it is compared with.
    pub relative_to: u32,
    /// Over which requests.
    pub requests: Requests,
    /// Pairs in which both ended `ok`.
    pub pairs: u64,
    /// Pairs with equal texts.
    pub equal: u64,
    /// Mean length of the equal prefix in characters, over all pairs whose texts are known.
    pub mean_equal_prefix_characters: Option<f64>,
    /// Mean share of the shorter text that the equal prefix makes up.
    pub mean_equal_prefix_share: Option<f64>,
    /// Pairs whose first words differ, of those whose texts are known.
    pub first_word_differs: Option<u64>,
}

impl Agreement {
    /// Share of pairs with equal texts; `None` without pairs.
    pub fn share(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.equal as f64 / self.pairs as f64)
    }
}

/// How an engine's texts agree with another's in an experiment, for each kind of request that has pairs.
pub(crate) fn agreements(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    relative_to: u32,
) -> Vec<Agreement> {
    KINDS
        .into_iter()
        .filter_map(|(kind, requests)| {
            between(
                facts,
                experiment,
                engine_id,
                relative_to,
                requests,
                |request| request.kind == kind,
            )
        })
        .collect()
}

/// How an engine's texts agree with another's over some kinds of request; `None` without pairs whose texts (or their hashes) are known on both sides.
pub(crate) fn between(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    relative_to: u32,
    requests: Requests,
    keep: impl Fn(&Request) -> bool,
) -> Option<Agreement> {
    let frame = facts.frame();
    let others: BTreeMap<(u32, u32), usize> = facts
        .requests(experiment, relative_to)
        .filter(|(_, request)| metrics::measured(request))
        .map(|(index, request)| ((request.trial, request.request_id), index))
        .collect();
    let mut tally = Tally::default();
    for (index, request) in facts.requests(experiment, engine_id) {
        if !metrics::measured(request) || !keep(request) {
            continue;
        }
        let Some(&other) = others.get(&(request.trial, request.request_id)) else {
            continue;
        };
        match (frame.text(index), frame.text(other)) {
            (Some(one), Some(another)) => tally.texts(one, another),
            _ => {
                let hash = |index: usize| frame.text_hashes.get(index);
                if let (Some(one), Some(another)) = (hash(index), hash(other)) {
                    tally.pairs += 1;
                    tally.equal += u64::from(one == another);
                }
            }
        }
    }
    (tally.pairs > 0).then(|| Agreement {
        engine_id,
        relative_to,
        requests,
        pairs: tally.pairs,
        equal: tally.equal,
        mean_equal_prefix_characters: tally.mean(tally.prefix_characters),
        mean_equal_prefix_share: tally.mean(tally.prefix_share),
        first_word_differs: (tally.known > 0).then_some(tally.first_word_differs),
    })
}

#[derive(Default)]
struct Tally {
    pairs: u64,
    equal: u64,
    /// Pairs whose texts are known, not only their hashes.
    known: u64,
    prefix_characters: f64,
    prefix_share: f64,
    first_word_differs: u64,
}

impl Tally {
    fn texts(&mut self, one: &str, another: &str) {
        let equal = one
            .chars()
            .zip(another.chars())
            .take_while(|(a, b)| a == b)
            .count() as f64;
        let shorter = one.chars().count().min(another.chars().count()) as f64;
        self.pairs += 1;
        self.known += 1;
        self.equal += u64::from(one == another);
        self.prefix_characters += equal;
        // Two empty texts agree as far as they go; one empty and one not do not.
        self.prefix_share += if shorter > 0.0 {
            equal / shorter
        } else {
            f64::from(u8::from(one == another))
        };
        let first_word = |text: &str| text.split_whitespace().next().map(str::to_owned);
        self.first_word_differs += u64::from(first_word(one) != first_word(another));
    }

    fn mean(&self, sum: f64) -> Option<f64> {
        (self.known > 0).then(|| sum / self.known as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_counted_in_characters() {
        let mut tally = Tally::default();
        tally.texts("größer als", "größte");
        tally.texts("same", "same");
        assert_eq!((tally.pairs, tally.equal), (2, 1));
        assert_eq!(tally.mean(tally.prefix_characters), Some(4.0));
        assert_eq!(tally.first_word_differs, 1);
        assert!((tally.mean(tally.prefix_share).unwrap() - (4.0 / 6.0 + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn without_known_texts_there_is_no_prefix() {
        assert_eq!(Tally::default().mean(0.0), None);
    }
}
