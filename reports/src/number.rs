//! Numbers in digits: how many of them, grouped in thousands, with a true minus sign. Units and words are put to them elsewhere.

/// A number with a fixed count of decimals and commas between thousands.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = !text.chars().any(|digit| ('1'..='9').contains(&digit));
    let sign = if value < 0.0 && !zero { "−" } else { "" };
    format!("{sign}{grouped}{rest}")
}

/// Decimals that leave so many significant digits; all digits before the point stay.
pub(crate) fn decimals(value: f64, digits: usize) -> usize {
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

/// A number with so many significant digits, and all digits before the point.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    number(value, decimals(value, digits))
}

/// A count with commas.
pub(crate) fn count(value: u64) -> String {
    number(value as f64, 0)
}

/// `1 trial`, `5 trials`.
pub(crate) fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_a_rounded_zero_has_no_sign() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(-12.345, 1), "−12.3");
        assert_eq!(number(-0.001, 1), "0.0");
    }

    #[test]
    fn digits_are_significant_and_whole_ones_stay() {
        for (value, digits, text) in [
            (0.0, 3, "0"),
            (0.049_26, 3, "0.0493"),
            (0.9996, 3, "1.00"),
            (9.996, 3, "10.0"),
            (0.996, 2, "1.0"),
            (76.34, 3, "76.3"),
            (493.2, 3, "493"),
            (128.4, 2, "128"),
            (16384.0, 3, "16,384"),
            (-1.5, 3, "−1.50"),
        ] {
            assert_eq!(significant(value, digits), text);
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(16_384), "16,384");
        assert_eq!(count(1_000_000), "1,000,000");
        assert_eq!(counted(1, "trial", "trials"), "1 trial");
        assert_eq!(counted(0, "trial", "trials"), "0 trials");
    }
}
