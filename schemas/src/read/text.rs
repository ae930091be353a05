//! Texts that have a reader of their own: quantities, bounds and models (`x-text` in a schema).

use std::str::FromStr;

use toml::de::DeValue;

use super::{nearest::nearest, tree::Node};
use crate::{
    model::BUILTIN_MODELS,
    quantity::{Bytes, Duration, QuantityError, Rate},
};

/// Why a text is refused, beyond what the schema's `x-expected` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) message: Option<String>,
    pub(super) caret: Option<String>,
}

/// Asks the text's own reader. What it takes may still miss the schema's pattern.
pub(super) fn check(kind: &str, text: &str) -> Result<(), Refusal> {
    match kind {
        "duration" => quantity::<Duration>(text, Duration::UNITS),
        "size" => quantity::<Bytes>(text, Bytes::UNITS),
        "rate" => quantity::<Rate>(text, Rate::UNITS),
        "bound" => quantity::<Duration>(text, &[])
            .or_else(|_| quantity::<Bytes>(text, &[]))
            .or_else(|_| quantity::<Rate>(text, &[])),
        "model" | "model-place" => model(text),
        _ => Ok(()),
    }
}

fn quantity<T: FromStr<Err = QuantityError>>(text: &str, units: &[&str]) -> Result<(), Refusal> {
    match text.parse::<T>() {
        Ok(_) => Ok(()),
        Err(QuantityError::Form { .. }) => Err(Refusal {
            message: None,
            caret: unit_remark(text, units),
        }),
        Err(error) => Err(Refusal {
            message: Some(error.to_string()),
            caret: None,
        }),
    }
}

/// The unit that a wrong one probably meant: `sec` or `GBs` for `s` and `GB`.
fn unit_remark(text: &str, units: &[&str]) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, written) = text.split_at(end);
    let written = written.trim();
    let number = if number.is_empty() {
        return None;
    } else {
        number
    };
    let same = units.iter().find(|unit| unit.eq_ignore_ascii_case(written));
    let longer = || match written {
        "sec" | "secs" | "second" | "seconds" => Some(&"s"),
        "mins" | "minute" | "minutes" | "m" => Some(&"min"),
        "hour" | "hours" | "hr" => Some(&"h"),
        "msec" | "millis" | "milliseconds" => Some(&"ms"),
        "G" | "gb" | "Gb" => Some(&"GB"),
        "Gi" => Some(&"GiB"),
        "M" | "Mb" => Some(&"MB"),
        "Mi" => Some(&"MiB"),
        _ => None,
    };
    let unit = same.or_else(|| longer().filter(|unit| units.contains(unit)))?;
    Some(format!("did you mean \"{number}{unit}\"?"))
}

fn model(text: &str) -> Result<(), Refusal> {
    let Some(name) = text.strip_prefix("builtin:") else {
        return Ok(());
    };
    if BUILTIN_MODELS.contains(&name) {
        return Ok(());
    }
    Err(Refusal {
        message: Some(format!("there is no built-in model `{name}`")),
        caret: nearest(name, BUILTIN_MODELS)
            .map(|name| format!("did you mean \"builtin:{name}\"?")),
    })
}

/// A scalar in a form in which equal values are equal texts: `8_192` and `8192`, `"2s"` and `"2000ms"`. `None` for lists and tables.
pub(super) fn comparable(node: &Node<'_>) -> Option<String> {
    Some(match node.value() {
        DeValue::String(text) => match text.parse::<Duration>() {
            Ok(duration) => format!("duration {}", duration.0),
            Err(_) => format!("text {text}"),
        },
        DeValue::Integer(_) | DeValue::Float(_) => format!("number {}", node.number()?),
        DeValue::Boolean(truth) => format!("truth {truth}"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_units_get_a_guess() {
        let caret = |kind, text| check(kind, text).unwrap_err().caret;
        assert_eq!(
            caret("duration", "8 seconds").as_deref(),
            Some("did you mean \"8s\"?")
        );
        assert_eq!(
            caret("size", "20gb").as_deref(),
            Some("did you mean \"20GB\"?")
        );
        assert_eq!(
            caret("size", "20G").as_deref(),
            Some("did you mean \"20GB\"?")
        );
        assert_eq!(caret("duration", "8"), None);
        assert_eq!(caret("rate", "x"), None);
    }

    #[test]
    fn bounds_take_every_quantity() {
        for text in ["250ms", "8GB", "100/s"] {
            assert_eq!(check("bound", text), Ok(()));
        }
        assert!(check("bound", "8").is_err());
    }

    #[test]
    fn models_are_known_by_name() {
        assert_eq!(check("model", "org/name"), Ok(()));
        assert_eq!(
            check("model", "builtin:smal").unwrap_err().caret.as_deref(),
            Some("did you mean \"builtin:small\"?")
        );
    }
}
