//! Numbers and verdicts as the text renderings (terminal, Markdown, JUnit) write them: three significant digits, an interval with its value's digits.

use schemas::scenario::Requests;

use crate::{
    analysis::{HeadlineRow, Unit},
    stats::Estimate,
    verdict::{Case, ExpectationResult, Verdict},
};

/// What stands where there is no value.
pub(crate) const UNKNOWN: &str = "—";

/// A number with three significant digits; whole numbers keep all of theirs.
pub(crate) fn three(value: f64) -> String {
    format!("{value:.*}", decimals(value))
}

/// A value with its unit.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    let (size, symbol) = scale(value, unit);
    with_symbol(three(value / size), symbol)
}

/// A value with its unit and, where there is one, its interval: `0.154 s [0.151, 0.158]`.
pub(crate) fn estimate(estimate: &Estimate, unit: Unit) -> String {
    let (size, symbol) = scale(estimate.value, unit);
    let value = estimate.value / size;
    let text = with_symbol(three(value), symbol);
    match estimate.interval() {
        Some((low, high)) => {
            let digits = decimals(value);
            format!("{text} [{:.digits$}, {:.digits$}]", low / size, high / size)
        }
        None => text,
    }
}

/// An estimate or the sign for none.
pub(crate) fn estimate_or_unknown(found: Option<&Estimate>, unit: Unit) -> String {
    found.map_or_else(|| UNKNOWN.to_owned(), |found| estimate(found, unit))
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
        .map(|measured| estimate(measured, expectation.unit));
    match (measured, &case.reason) {
        (Some(measured), Some(reason)) => format!("{measured}; {reason}"),
        (Some(text), None) => text,
        (None, Some(reason)) => reason.clone(),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// `1 experiment`, `2 experiments`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Digits after the point that leave three significant ones.
fn decimals(value: f64) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // The exponent is read after rounding, so that 9.996 is written 10.0.
    let exponent = format!("{value:.2e}")
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<i32>().ok())
        .unwrap_or(0);
    usize::try_from(2 - exponent).unwrap_or(0).min(12)
}

/// Size and sign of the unit that a value is written in.
fn scale(value: f64, unit: Unit) -> (f64, &'static str) {
    match unit {
        Unit::Seconds => (1.0, "s"),
        Unit::TokensPerSecond => (1.0, "tokens/s"),
        Unit::RequestsPerSecond => (1.0, "requests/s"),
        Unit::Share | Unit::Ratio => (1.0, ""),
        Unit::Bytes => match value.abs() {
            size if size >= 1e9 => (1e9, "GB"),
            size if size >= 1e6 => (1e6, "MB"),
            size if size >= 1e3 => (1e3, "kB"),
            _ => (1.0, "B"),
        },
    }
}

fn with_symbol(number: String, symbol: &str) -> String {
    if symbol.is_empty() {
        number
    } else {
        format!("{number} {symbol}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_whatever_the_size() {
        for (value, text) in [
            (0.0, "0"),
            (0.07634, "0.0763"),
            (0.000_012_34, "0.0000123"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (493.2, "493"),
            (16_384.4, "16384"),
            (-1.5, "-1.50"),
        ] {
            assert_eq!(three(value), text);
        }
        assert_eq!(quantity(2.147e9, Unit::Bytes), "2.15 GB");
        assert_eq!(quantity(900.0, Unit::Bytes), "900 B");
    }

    #[test]
    fn an_interval_has_its_values_digits() {
        let mut found = Estimate {
            value: 0.1541,
            low: Some(0.151),
            high: Some(0.1579),
            n: 3,
        };
        assert_eq!(estimate(&found, Unit::Seconds), "0.154 s [0.151, 0.158]");
        (found.low, found.high) = (None, None);
        assert_eq!(estimate(&found, Unit::Ratio), "0.154");
        assert_eq!(estimate_or_unknown(None, Unit::Ratio), "—");
    }
}
