//! Quantities that carry their unit in the text: `"8s"`, `"20GB"`, `"2/s"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found `{found}`")]
pub struct QuantityError {
    /// What would have been right, with an example.
    pub expected: &'static str,
    /// What stood there.
    pub found: String,
}

/// Splits `"2.5GB"` into its number and its unit.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    number.is_finite().then(|| (number, text[end..].trim()))
}

macro_rules! quantity {
    ($name:ident($inner:ty), $expected:literal, $doc:literal, units: [$(($unit:literal, $factor:expr)),+ $(,)?]) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub $inner);

        impl $name {
            /// What a user is told when the text is wrong.
            pub const EXPECTED: &'static str = $expected;
            /// The units, largest meaning last wins nothing: they are matched whole.
            pub const UNITS: &'static [&'static str] = &[$($unit),+];
        }

        impl FromStr for $name {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, QuantityError> {
                let wrong = || QuantityError { expected: $expected, found: text.to_owned() };
                let (number, unit) = split(text).ok_or_else(wrong)?;
                let factor: f64 = match unit { $($unit => $factor,)+ _ => return Err(wrong()) };
                Ok(Self((number * factor).round_to()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = QuantityError;
            fn try_from(text: String) -> Result<Self, QuantityError> { text.parse() }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String { value.to_string() }
        }
    };
}

/// Rounds to what the quantity is stored as.
trait RoundTo<T> {
    fn round_to(self) -> T;
}
impl RoundTo<u64> for f64 {
    fn round_to(self) -> u64 {
        self.round() as u64
    }
}
impl RoundTo<f64> for f64 {
    fn round_to(self) -> f64 {
        self
    }
}

quantity!(Duration(u64), "a duration with its unit, like \"8s\", \"250ms\" or \"2min\"", "A span of time, in nanoseconds.",
    units: [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3600e9)]);
quantity!(Bytes(u64), "a size with its unit, like \"20GB\" (10⁹) or \"20GiB\" (2³⁰)", "A size in bytes. `GB` is 10⁹, `GiB` is 2³⁰.",
    units: [("B", 1.0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
            ("KiB", 1024.0), ("MiB", 1048576.0), ("GiB", 1073741824.0), ("TiB", 1099511627776.0)]);
quantity!(Rate(f64), "a rate with its unit, like \"2/s\" or \"30/min\"", "Arrivals per second.",
    units: [("/s", 1.0), ("/min", 1.0 / 60.0), ("/h", 1.0 / 3600.0)]);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        match ns {
            0 => write!(f, "0s"),
            _ if ns % 1_000_000_000 == 0 => write!(f, "{}s", ns / 1_000_000_000),
            _ if ns % 1_000_000 == 0 => write!(f, "{}ms", ns / 1_000_000),
            _ if ns % 1_000 == 0 => write!(f, "{}us", ns / 1_000),
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
