//! Verdicts and findings as the text renderings (terminal, Markdown, JUnit) write them.

use schemas::scenario::Requests;

use crate::{
    analysis::{HeadlineRow, Unit},
    number, phrase,
    stats::Estimate,
    verdict::{Case, ExpectationResult, Verdict},
};

/// What stands where there is no value.
pub(crate) const UNKNOWN: &str = "—";

/// An estimate or the sign for none.
pub(crate) fn estimate_or_unknown(found: Option<&Estimate>, unit: Unit) -> String {
    found.map_or_else(|| UNKNOWN.to_owned(), |found| phrase::estimate(found, unit))
}

/// Cached of all prompt tokens of a later request: `3840 of 4096`.
pub(crate) fn cached(row: &HeadlineRow) -> String {
    match (row.cached_tokens, row.prompt_tokens) {
        (Some(cached), Some(prompt)) => format!("{cached} of {prompt}"),
        (Some(cached), None) => cached.to_string(),
        (None, _) => UNKNOWN.to_owned(),
    }
}

/// A verdict with its shape.
pub(crate) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "● met",
        Verdict::NotMet => "■ not met",
        Verdict::Undecided => "▲ undecided",
        Verdict::NotMeasured => "○ not measured",
    }
}

/// A kind of request as an adjective.
pub(crate) fn requests(requests: Requests) -> &'static str {
    match requests {
        Requests::Reused => "reused",
        Requests::Cold => "cold",
        Requests::Grown => "grown",
        Requests::Batched => "batched",
        Requests::All => "all",
    }
}

/// What a case found, in words: the measured value, the reason, or both.
pub(crate) fn finding(expectation: &ExpectationResult, case: &Case) -> String {
    let measured = case
        .measured
        .as_ref()
        .map(|measured| phrase::estimate(measured, expectation.unit));
    match (measured, &case.reason) {
        (Some(measured), Some(reason)) => format!("{measured}; {reason}"),
        (Some(text), None) => text,
        (None, Some(reason)) => reason.clone(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// `1 experiment`, `2 experiments`.
pub(crate) fn experiments(number: usize) -> String {
    number::counted(number as u64, "experiment", "experiments")
}
