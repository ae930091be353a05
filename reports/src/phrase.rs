//! Numbers with their units as they stand in sentences and on a terminal: seconds stay seconds, so that two of them compare at a glance.

use schemas::{plan::EventAction, scenario::Phase};

use crate::{
    analysis::Unit,
    number::{decimals, number, significant},
    stats::Estimate,
};

/// What was done to a process or a tier: “… was killed”.
pub(crate) fn done(action: EventAction) -> &'static str {
    match action {
        EventAction::Restart => "restarted",
        EventAction::Kill => "killed",
        EventAction::Pause => "paused",
        EventAction::Resume => "resumed",
        EventAction::Corrupt => "corrupted",
    }
}

/// Which requests, where an event happened.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::BeforeEvent => "before the event",
        Phase::AfterEvent => "after the event",
    }
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// A number with its unit.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    let (size, symbol) = scale(value, unit);
    with_symbol(significant(value / size, 3), symbol)
}

/// Bytes in the unit that leaves one to three digits before the point.
pub(crate) fn bytes(value: f64) -> String {
    quantity(value, Unit::Bytes)
}

/// An estimate with its interval, whose ends have the value's digits: `0.154 s [0.151, 0.158]`.
pub(crate) fn estimate(found: &Estimate, unit: Unit) -> String {
    let text = quantity(found.value, unit);
    match found.interval() {
        Some((low, high)) => {
            let (size, _) = scale(found.value, unit);
            let digits = decimals(found.value / size, 3);
            format!(
                "{text} [{}, {}]",
                number(low / size, digits),
                number(high / size, digits)
            )
        }
        None => text,
    }
}

/// Size and sign of the unit that a value is written in.
fn scale(value: f64, unit: Unit) -> (f64, &'static str) {
    const BYTES: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match unit {
        Unit::Seconds => (1.0, "s"),
        Unit::TokensPerSecond => (1.0, "tokens/s"),
        Unit::RequestsPerSecond => (1.0, "requests/s"),
        Unit::Share | Unit::Ratio => (1.0, ""),
        Unit::Bytes => BYTES
            .into_iter()
            .find(|(size, _)| value.abs() >= *size)
            .unwrap_or((1.0, "B")),
    }
}

fn with_symbol(digits: String, symbol: &str) -> String {
    if symbol.is_empty() {
        digits
    } else {
        format!("{digits} {symbol}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_choose_their_unit() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(2.5e9), "2.50 GB");
    }

    #[test]
    fn an_interval_has_its_values_digits_and_unit() {
        let mut found = Estimate {
            value: 0.1541,
            low: Some(0.151),
            high: Some(0.1579),
            n: 3,
        };
        assert_eq!(estimate(&found, Unit::Seconds), "0.154 s [0.151, 0.158]");
        (found.low, found.high) = (None, None);
        assert_eq!(estimate(&found, Unit::Ratio), "0.154");
        let size = Estimate {
            value: 2.147e9,
            low: Some(2.0e9),
            high: Some(2.3e9),
            n: 3,
        };
        assert_eq!(estimate(&size, Unit::Bytes), "2.15 GB [2.00, 2.30]");
    }
}
