//! Charts as data, and the drawing of each kind.
//!
//! A chart holds the numbers it shows in base units (seconds, bytes, tokens); axes, units and aggregation are chosen when it is drawn.

pub mod aggregate;
pub mod bars;
pub mod context;
pub mod distribution;
mod key;
mod panel;
mod request_series;
pub mod requests;
pub mod scale;
pub mod style;
pub mod time;
pub mod timeline;

use crate::pdf::canvas::{Area, Canvas};

pub(crate) use key::shorten;

/// A value and, where it is known, its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub value: f64,
    /// Lower and upper end of the interval.
    pub interval: Option<(f64, f64)>,
}

impl Point {
    /// The largest number that has to fit an axis.
    fn top(&self) -> f64 {
        self.interval
            .map_or(self.value, |(_, high)| high.max(self.value))
    }
}

/// Any chart of a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// A metric by request number, one panel for each experiment.
    Requests(requests::RequestsChart),
    /// A metric against context length, with the ratio to the baseline below.
    Context(context::ContextChart),
    /// Distribution functions, one panel for each experiment or metric.
    Distribution(distribution::DistributionChart),
    /// Quantities over the run's time, stacked panels on one time axis.
    Time(time::TimeChart),
    /// Requests, process lives and events as bars on one time axis.
    Timeline(timeline::TimelineChart),
    /// Ratios with their intervals as bars.
    Bars(bars::BarChart),
}

impl Chart {
    /// Draws the chart into an area.
    pub fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        match self {
            Self::Requests(chart) => chart.draw(canvas, area),
            Self::Context(chart) => chart.draw(canvas, area),
            Self::Distribution(chart) => chart.draw(canvas, area),
            Self::Time(chart) => chart.draw(canvas, area),
            Self::Timeline(chart) => chart.draw(canvas, area),
            Self::Bars(chart) => chart.draw(canvas, area),
        }
    }

    /// The height in points that the chart wants at most; null where it fills whatever there is.
    pub fn natural_height(&self) -> Option<f32> {
        match self {
            Self::Bars(chart) => Some(chart.natural_height()),
            Self::Timeline(chart) => Some(chart.natural_height()),
            Self::Requests(_) | Self::Context(_) | Self::Distribution(_) | Self::Time(_) => None,
        }
    }
}
