//! Axes: where a value lies, and round ticks with their words.

use crate::number::number;

/// What an axis measures. Values are in the base unit: seconds, bytes, tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Seconds,
    Bytes,
    BytesPerSecond,
    TokensPerSecond,
    Tokens,
    /// A ratio of two engines, or any number without a unit.
    Plain,
    /// A share from 0 to 1.
    Share,
}

/// A unit that fits a range of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    /// Base units in one of this unit.
    pub size: f64,
    /// As it stands in an axis label; empty without a unit.
    pub symbol: &'static str,
}

impl Quantity {
    /// The unit in which the largest value of a range reads best.
    pub fn unit(self, largest: f64) -> Unit {
        let steps: &[(f64, f64, &str)] = match self {
            Self::Seconds => &[(0.95, 1.0, "s"), (0.95e-3, 1e-3, "ms"), (0.0, 1e-6, "µs")],
            Self::Bytes => &[
                (1e9, 1e9, "GB"),
                (1e6, 1e6, "MB"),
                (1e3, 1e3, "kB"),
                (0.0, 1.0, "B"),
            ],
            Self::BytesPerSecond => &[
                (1e9, 1e9, "GB/s"),
                (1e6, 1e6, "MB/s"),
                (1e3, 1e3, "kB/s"),
                (0.0, 1.0, "B/s"),
            ],
            Self::TokensPerSecond => &[(0.0, 1.0, "tokens/s")],
            Self::Tokens => &[(0.0, 1.0, "tokens")],
            Self::Plain | Self::Share => &[(0.0, 1.0, "")],
        };
        // Nothing to fit: the base unit.
        let chosen = if largest == 0.0 {
            steps.iter().find(|(_, size, _)| *size == 1.0)
        } else {
            steps.iter().find(|(from, _, _)| largest >= *from)
        };
        chosen.map_or(
            Unit {
                size: 1.0,
                symbol: "",
            },
            |(_, size, symbol)| Unit {
                size: *size,
                symbol,
            },
        )
    }
}

/// One tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// In the base unit.
    pub value: f64,
    pub text: String,
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    pub low: f64,
    pub high: f64,
    /// Equal distances are equal ratios.
    pub log: bool,
    pub ticks: Vec<Tick>,
    pub unit: Unit,
}

impl Scale {
    /// An axis from 0 that covers `largest`, with about `wanted` ticks at round numbers.
    pub fn from_zero(quantity: Quantity, largest: f64, wanted: usize) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 {
            largest
        } else {
            1.0
        };
        Self::linear(quantity, 0.0, largest, wanted)
    }

    /// A linear axis whose ends are round numbers around the range.
    pub fn linear(quantity: Quantity, low: f64, high: f64, wanted: usize) -> Self {
        let unit = quantity.unit(high.abs().max(low.abs()));
        let (low, high) = (
            low / unit.size,
            if high > low {
                high / unit.size
            } else {
                low / unit.size + 1.0
            },
        );
        let mut step = round_step((high - low) / wanted.max(1) as f64);
        if matches!(quantity, Quantity::Tokens) {
            step = step.max(1.0);
        }
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        let ticks = (0..=(last - first) as usize).map(|index| (first + index as f64) * step);
        let decimals = decimals_of(step);
        Self {
            low: first * step * unit.size,
            high: last * step * unit.size,
            log: false,
            ticks: ticks
                .map(|value| Tick {
                    value: value * unit.size,
                    text: number(value, decimals),
                })
                .collect(),
            unit,
        }
    }

    /// An axis whose ends are exactly those given, with ticks at the round numbers between them: for time and request numbers.
    pub fn exact(quantity: Quantity, low: f64, high: f64, wanted: usize) -> Self {
        let mut scale = Self::linear(quantity, low, high, wanted);
        scale.low = low;
        scale.high = if high > low { high } else { low + 1.0 };
        let slack = (scale.high - scale.low) * 1e-9;
        scale
            .ticks
            .retain(|tick| tick.value >= low - slack && tick.value <= scale.high + slack);
        scale
    }

    /// A logarithmic axis that covers the range, with ticks at 1, 2 and 5 of each decade (1 alone where there are many).
    pub fn log(quantity: Quantity, low: f64, high: f64) -> Self {
        let low = if low > 0.0 { low } else { 1e-9 };
        let high = if high > low { high } else { low * 10.0 };
        let unit = quantity.unit(high);
        let (first, last) = ((low / unit.size).log10(), (high / unit.size).log10());
        let slack = 1e-9;
        let decades = (first.floor() as i32)..=(last.ceil() as i32);
        let marks: Vec<f64> = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)))
            .collect();
        let bottom = marks
            .iter()
            .copied()
            .filter(|mark| mark.log10() <= first + slack)
            .fold(f64::NAN, f64::max);
        let top = marks
            .iter()
            .copied()
            .filter(|mark| mark.log10() >= last - slack)
            .fold(f64::NAN, f64::min);
        let bottom = if bottom.is_nan() {
            low / unit.size
        } else {
            bottom
        };
        let top = if top.is_nan() { high / unit.size } else { top };
        // Where there are many decades their beginnings are enough.
        let sparse = last - first > 3.0;
        let whole = |mark: f64| (mark.log10() - mark.log10().round()).abs() < slack;
        let shown = |mark: &f64| {
            *mark >= bottom * (1.0 - slack)
                && *mark <= top * (1.0 + slack)
                && (!sparse || whole(*mark))
        };
        let ticks = marks.into_iter().filter(shown);
        Self {
            low: bottom * unit.size,
            high: top * unit.size,
            log: true,
            ticks: ticks
                .map(|mark| Tick {
                    value: mark * unit.size,
                    text: number(mark, decimals_of(mark)),
                })
                .collect(),
            unit,
        }
    }

    /// Where a value lies: 0 at the axis's low end, 1 at its high end; values outside lie at the end.
    pub fn position(&self, value: f64) -> f32 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0) as f32
    }

    /// The axis's words: what it measures, and its unit once.
    pub fn title(&self, what: &str) -> String {
        let log = if self.log { ", log" } else { "" };
        match (self.unit.symbol, log) {
            ("", "") => what.to_owned(),
            ("", _) => format!("{what} (log)"),
            (symbol, _) => format!("{what} ({symbol}{log})"),
        }
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, not below `raw`.
fn round_step(raw: f64) -> f64 {
    let raw = if raw.is_finite() && raw > 0.0 {
        raw
    } else {
        1.0
    };
    let power = 10f64.powf(raw.log10().floor());
    let lead = raw / power;
    let digit = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .find(|digit| lead <= digit * (1.0 + 1e-9))
        .unwrap_or(10.0);
    digit * power
}

/// Decimals that a number needs to be written out, at most 9.
fn decimals_of(step: f64) -> usize {
    (0..9)
        .find(|decimals| {
            let scaled = step * 10f64.powi(*decimals as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1e-12)
        })
        .unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_start_at_zero() {
        let scale = Scale::from_zero(Quantity::Seconds, 0.493, 5);
        assert_eq!(texts(&scale), ["0", "100", "200", "300", "400", "500"]);
        assert_eq!(scale.title("TTFT"), "TTFT (ms)");
        assert_eq!(
            texts(&Scale::from_zero(Quantity::Tokens, 24_576.0, 5)),
            ["0", "5,000", "10,000", "15,000", "20,000", "25,000"]
        );
        assert_eq!(
            texts(&Scale::from_zero(Quantity::Plain, 1.1, 5)),
            ["0.00", "0.25", "0.50", "0.75", "1.00", "1.25"]
        );
    }

    #[test]
    fn log_axes_say_so_and_tick_at_1_2_5() {
        let scale = Scale::log(Quantity::Seconds, 0.03, 9.0);
        assert_eq!(
            texts(&scale),
            ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"]
        );
        assert_eq!(scale.title("TTFT"), "TTFT (s, log)");
        assert!(
            (scale.position(0.02) - 0.0).abs() < 1e-6 && (scale.position(10.0) - 1.0).abs() < 1e-6
        );
    }

    proptest! {
        #[test]
        fn every_axis_covers_its_range_with_few_rising_ticks(low in 1e-6f64..1e6, factor in 1.0f64..1e5, wanted in 2usize..8) {
            let high = low * factor;
            for scale in [Scale::from_zero(Quantity::Seconds, high, wanted), Scale::log(Quantity::Seconds, low, high)] {
                prop_assert!(scale.high >= high * (1.0 - 1e-6), "{scale:?}");
                prop_assert!(scale.low <= low * (1.0 + 1e-6), "{scale:?}");
                prop_assert!(!scale.ticks.is_empty() && scale.ticks.len() <= 24, "{scale:?}");
                prop_assert!(scale.ticks.windows(2).all(|pair| pair[0].value < pair[1].value));
                prop_assert!((0.0..=1.0).contains(&scale.position((low + high) / 2.0)));
            }
        }
    }
}
