//! Numbers as they stand in sentences.

use crate::{analysis::Unit, stats::Estimate};

/// A number with so many significant digits, and all digits before the point.
pub(crate) fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(digits - 1 - magnitude).unwrap_or(0);
    format!("{value:.decimals$}")
}

/// A count with a comma before every group of three digits.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// `1 trial`, `5 trials`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number with its unit.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => format!("{} s", significant(value, 3)),
        Unit::TokensPerSecond => format!("{} tokens/s", significant(value, 3)),
        Unit::RequestsPerSecond => format!("{} requests/s", significant(value, 3)),
        Unit::Bytes => bytes(value),
        Unit::Share | Unit::Ratio => significant(value, 3),
    }
}

/// Bytes in the unit that leaves one to three digits before the point.
pub(crate) fn bytes(value: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    UNITS
        .iter()
        .find(|(factor, _)| value.abs() >= *factor)
        .map_or_else(
            || format!("{value:.0} B"),
            |(factor, unit)| format!("{} {unit}", significant(value / factor, 3)),
        )
}

/// An estimate with its interval, `0.154 s [0.151, 0.158]`.
pub(crate) fn estimate(found: &Estimate, unit: Unit) -> String {
    match found.interval() {
        Some((low, high)) => format!(
            "{} [{}, {}]",
            quantity(found.value, unit),
            significant(low, 3),
            significant(high, 3)
        ),
        None => quantity(found.value, unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_significant_and_whole_ones_stay() {
        assert_eq!(significant(0.049_26, 3), "0.0493");
        assert_eq!(significant(6.47, 2), "6.5");
        assert_eq!(significant(128.4, 2), "128");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(significant(0.996, 2), "1.00");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(16_384), "16,384");
        assert_eq!(count(1_000_000), "1,000,000");
    }

    #[test]
    fn bytes_choose_their_unit() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(2.5e9), "2.50 GB");
    }
}
