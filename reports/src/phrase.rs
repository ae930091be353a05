//! Numbers as they stand in sentences.

use crate::{analysis::Unit, stats::Estimate};

/// A number with so many significant digits, and all digits before the point.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    format!("{value:.*}", decimals(value, digits))
}

/// Digits after the point that leave so many significant ones.
fn decimals(value: f64, digits: usize) -> usize {
    let Some(beyond_first) = digits.checked_sub(1) else {
        return 0;
    };
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // The exponent is read after rounding, so that 9.996 is written 10.0.
    let exponent = format!("{value:.beyond_first$e}")
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse::<isize>().ok())
        .unwrap_or(0);
    usize::try_from(beyond_first as isize - exponent).unwrap_or(0)
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
            format!("{text} [{:.digits$}, {:.digits$}]", low / size, high / size)
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
    fn digits_are_significant_and_whole_ones_stay() {
        assert_eq!(significant(0.049_26, 3), "0.0493");
        assert_eq!(significant(6.47, 2), "6.5");
        assert_eq!(significant(128.4, 2), "128");
        assert_eq!(significant(0.0, 3), "0");
        assert_eq!(significant(0.996, 2), "1.0");
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(-1.5, 3), "-1.50");
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
