//! Numbers as tables and charts show them: three significant digits, one unit a column, intervals with the digits of their value.

use crate::{
    block::Cell,
    chart::scale::{Quantity, Unit},
    number::{decimals, number, significant},
    stats::Estimate,
};

/// A number with three significant digits; whole numbers from 1,000 on keep theirs.
pub(crate) fn three(value: f64) -> String {
    significant(value, 3)
}

/// A quantity with its unit, three significant digits.
pub(crate) fn quantity(value: f64, quantity: Quantity) -> String {
    let unit = quantity.unit(value.abs());
    let text = three(value / unit.size);
    if unit.symbol.is_empty() {
        text
    } else {
        format!("{text} {}", unit.symbol)
    }
}

/// `[low, high]` with the digits of the value; null without an interval.
pub(crate) fn interval(estimate: &Estimate, size: f64) -> Option<String> {
    let (low, high) = estimate.interval()?;
    let digits = decimals(estimate.value / size, 3);
    Some(format!(
        "[{}, {}]",
        number(low / size, digits),
        number(high / size, digits)
    ))
}

/// A cell with an estimate in a column's unit; an em dash where there is none.
pub(crate) fn estimate_cell(estimate: Option<&Estimate>, unit: Unit) -> Cell {
    match estimate {
        Some(estimate) => Cell {
            text: three(estimate.value / unit.size),
            small: interval(estimate, unit.size),
            ..Cell::default()
        },
        None => Cell::unknown(),
    }
}

/// A cell with a number in a column's unit; an em dash where there is none.
pub(crate) fn number_cell(value: Option<f64>, unit: Unit) -> Cell {
    value.map_or_else(Cell::unknown, |value| Cell::text(three(value / unit.size)))
}

/// The unit of a column of estimates.
pub(crate) fn column_unit<'a>(
    kind: Quantity,
    estimates: impl IntoIterator<Item = &'a Estimate>,
) -> Unit {
    kind.unit(
        estimates
            .into_iter()
            .map(|estimate| estimate.value.abs())
            .fold(0.0, f64::max),
    )
}

/// A column's title with its unit.
pub(crate) fn titled(title: &str, unit: Unit) -> String {
    if unit.symbol.is_empty() {
        title.to_owned()
    } else {
        format!("{title} ({})", unit.symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_chooses_its_unit() {
        assert_eq!(quantity(0.0763, Quantity::Seconds), "76.3 ms");
        assert_eq!(quantity(2.147e9, Quantity::Bytes), "2.15 GB");
    }

    #[test]
    fn an_interval_has_its_values_digits() {
        let estimate = Estimate {
            value: 0.1541,
            low: Some(0.151),
            high: Some(0.1579),
            n: 3,
        };
        assert_eq!(interval(&estimate, 1.0).as_deref(), Some("[0.151, 0.158]"));
        let bare = Estimate {
            value: 0.1541,
            low: None,
            high: None,
            n: 1,
        };
        assert_eq!(interval(&bare, 1.0), None);
        assert_eq!(
            estimate_cell(None, Quantity::Plain.unit(1.0)),
            Cell::unknown()
        );
    }
}
