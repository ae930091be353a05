//! Quantities that carry their unit in the text: `"8s"`, `"20GB"`, `"2/s"`.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text has no number, no unit, or another unit.
    #[error("expected {expected}, found \"{found}\"")]
    Form {
        /// What would have been right, with an example.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
    /// The number is too large to be stored.
    #[error("\"{found}\" is more than can be counted")]
    TooLarge {
        /// What stood there.
        found: String,
    },
    /// The number is not 0 but rounds to it.
    #[error("\"{found}\" is less than the smallest unit")]
    TooSmall {
        /// What stood there.
        found: String,
    },
}

/// Splits `"2.5GB"` into its number and its unit; one space may stand between them.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    Some((number.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// The regular expression of a quantity with one of these units, in the dialect that JSON Schema and the `regex` crate share.
pub(crate) fn pattern(units: &[&str]) -> String {
    format!("^[0-9]+(\\.[0-9]+)? ?({})$", units.join("|"))
}

/// As [`pattern`], for more than 0.
fn positive_pattern(units: &[&str]) -> String {
    format!(
        "^(0*[1-9][0-9]*(\\.[0-9]+)?|0+\\.0*[1-9][0-9]*) ?({})$",
        units.join("|")
    )
}

/// The schema of a quantity: `x-text` names its reader, the pattern serves readers that do not know it.
fn schema(name: &str, expected: &str, units: &[&str]) -> Schema {
    json_schema!({ "type": "string", "x-text": name, "x-expected": expected, "pattern": pattern(units) })
}

/// Narrows a quantity's schema to more than 0; a schema that is no quantity stays as it is.
pub(crate) fn require_positive(schema: &mut serde_json::Map<String, serde_json::Value>) {
    let (name, units) = match schema.get("x-text").and_then(|name| name.as_str()) {
        Some("duration") => ("duration", Duration::UNITS),
        Some("size") => ("size", Bytes::UNITS),
        Some("rate") => ("rate", Rate::UNITS),
        _ => return,
    };
    if let Some(expected) = schema.get("x-expected").and_then(|text| text.as_str()) {
        let expected = expected.replacen(&format!("a {name}"), &format!("a {name} above 0"), 1);
        schema.insert("x-expected".to_owned(), expected.into());
    }
    schema.insert("pattern".to_owned(), positive_pattern(units).into());
}

/// Rounds to what the quantity is stored as; `None` where it does not fit.
trait Stored: Sized {
    fn stored(value: f64) -> Option<Self>;
    fn is_zero(&self) -> bool;
}

impl Stored for u64 {
    fn stored(value: f64) -> Option<Self> {
        // 2⁶³: what TOML, JSON readers and signed databases take, too.
        (value.round() < 9_223_372_036_854_775_808.0).then(|| value.round() as Self)
    }

    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Stored for f64 {
    fn stored(value: f64) -> Option<Self> {
        value.is_finite().then_some(value)
    }

    fn is_zero(&self) -> bool {
        *self == 0.0
    }
}

macro_rules! quantity {
    ($name:ident($inner:ty), $kind:literal, $expected:literal, $doc:literal, units: [$(($unit:literal, $factor:expr)),+ $(,)?]) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $inner);

        impl $name {
            /// What a user is told when the text is wrong.
            pub const EXPECTED: &'static str = $expected;
            /// The units that the text may carry.
            pub const UNITS: &'static [&'static str] = &[$($unit),+];
        }

        impl FromStr for $name {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, QuantityError> {
                let wrong = || QuantityError::Form { expected: $expected, found: text.to_owned() };
                let (number, unit) = split(text).ok_or_else(wrong)?;
                let factor: f64 = match unit { $($unit => $factor,)+ _ => return Err(wrong()) };
                let stored = <$inner>::stored(number * factor).ok_or_else(|| QuantityError::TooLarge { found: text.to_owned() })?;
                if stored.is_zero() && number != 0.0 {
                    return Err(QuantityError::TooSmall { found: text.to_owned() });
                }
                Ok(Self(stored))
            }
        }

        impl TryFrom<String> for $name {
            type Error = QuantityError;

            fn try_from(text: String) -> Result<Self, QuantityError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                schema($kind, $expected, Self::UNITS)
            }
        }
    };
}

quantity!(Duration(u64), "duration", "a duration with its unit, like \"8s\", \"250ms\" or \"2min\"", "A span of time, in nanoseconds.",
    units: [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3600e9)]);
quantity!(Bytes(u64), "size", "a size with its unit, like \"20GB\" (10⁹) or \"20GiB\" (2³⁰)", "A size in bytes. `GB` is 10⁹, `GiB` is 2³⁰.",
    units: [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
            ("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0), ("TiB", 1099511627776.0)]);
quantity!(Rate(f64), "rate", "a rate with its unit, like \"2/s\" or \"30/min\"", "Events per second.",
    units: [("/s", 1.0), ("/min", 1.0 / 60.0), ("/h", 1.0 / 3600.0)]);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        match ns {
            0 => write!(f, "0s"),
            _ if ns.is_multiple_of(1_000_000_000) => write!(f, "{}s", ns / 1_000_000_000),
            _ if ns.is_multiple_of(1_000_000) => write!(f, "{}ms", ns / 1_000_000),
            _ if ns.is_multiple_of(1_000) => write!(f, "{}us", ns / 1_000),
            _ => write!(f, "{ns}ns"),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 8] = [
            ("TB", 1_000_000_000_000),
            ("TiB", 1 << 40),
            ("GB", 1_000_000_000),
            ("GiB", 1 << 30),
            ("MB", 1_000_000),
            ("MiB", 1 << 20),
            ("kB", 1_000),
            ("KiB", 1 << 10),
        ];
        for (unit, factor) in UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_units() {
        assert_eq!("8s".parse(), Ok(Duration(8_000_000_000)));
        assert_eq!("0.25 ms".parse(), Ok(Duration(250_000)));
        assert_eq!("1.5µs".parse(), Ok(Duration(1_500)));
        assert_eq!("20GB".parse(), Ok(Bytes(20_000_000_000)));
        assert_eq!("20GiB".parse(), Ok(Bytes(21_474_836_480)));
        assert_eq!("30/min".parse(), Ok(Rate(0.5)));
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in [
            "",
            "8",
            "s",
            "8 fortnights",
            ".5s",
            "5.s",
            "1.2.3s",
            "-1s",
            " 8s",
            "8  s",
            "8s ",
            "1e3s",
            "8S",
        ] {
            assert!(
                matches!(text.parse::<Duration>(), Err(QuantityError::Form { .. })),
                "{text:?}"
            );
        }
        assert!(matches!(
            "99999999h".parse::<Duration>(),
            Err(QuantityError::TooLarge { .. })
        ));
        assert!(matches!(
            "0.1ns".parse::<Duration>(),
            Err(QuantityError::TooSmall { .. })
        ));
        assert!(matches!(
            "0.4B".parse::<Bytes>(),
            Err(QuantityError::TooSmall { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn text_round_trips(ns in 0u64..1 << 53, bytes in 0u64..1 << 53, rate in 0.001f64..1e6) {
            prop_assert_eq!(Duration(ns).to_string().parse(), Ok(Duration(ns)));
            prop_assert_eq!(Bytes(bytes).to_string().parse(), Ok(Bytes(bytes)));
            prop_assert_eq!(Rate(rate).to_string().parse(), Ok(Rate(rate)));
        }

        #[test]
        fn pattern_and_reader_agree(text in "[0-9.]{0,4} ?(ns|s|min|µs|GB|/s|x)?") {
            let pattern = regex::Regex::new(&pattern(Duration::UNITS)).unwrap();
            let formed = !matches!(text.parse::<Duration>(), Err(QuantityError::Form { .. }));
            prop_assert_eq!(pattern.is_match(&text), formed);
        }

        #[test]
        fn positive_pattern_means_above_zero(text in "[0-9]{1,3}(\\.[0-9]{1,3})?s") {
            let pattern = regex::Regex::new(&positive_pattern(Duration::UNITS)).unwrap();
            prop_assert_eq!(pattern.is_match(&text), text.parse::<Duration>().unwrap().0 > 0);
        }
    }
}
