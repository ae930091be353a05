//! A metric by request number: small multiples on one scale, one panel for each experiment, all engines in each.

use crate::pdf::canvas::{Area, Canvas, TextStyle};

use super::{
    key::{END_MARKER, EndLabel, Entry, draw_end_labels, draw_key},
    panel::{Frame, columns_for, room_above, room_below, stamp, y_label_room},
    request_series::{NAMED_OUTCOMES, draw_failures},
    scale::{Quantity, Scale},
    style::EngineMark,
};

pub use super::request_series::{RequestPanel, RequestPoint, RequestSeries};

/// Room for each of them above the data, as a share of the axis.
const ROOM_FOR_NAME: f64 = 0.09;
/// From this ratio of the largest value to the smallest typical one, a linear axis would hide the small series.
const LOG_FROM: f64 = 100.0;

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestsChart {
    /// The metric as the axis names it.
    pub metric: String,
    pub quantity: Quantity,
    pub panels: Vec<RequestPanel>,
}

impl RequestsChart {
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let (x, y) = (self.x_scale(), self.y_scale());
        let engines = self.engines();
        let direct = engines.len() <= 4 && !self.panels.is_empty();
        let room = if direct {
            let style = TextStyle::label();
            engines
                .iter()
                .map(|engine| canvas.measure(&style, &engine.name))
                .fold(0.0, f32::max)
                .min(96.0)
                + END_MARKER
                + 8.0
        } else {
            10.0
        };
        let top = draw_key(canvas, area, &self.key(&engines, direct));
        let columns = columns_for(self.panels.len());
        let rows = self.panels.len().div_ceil(columns).max(1);
        let left = y_label_room(canvas, &y);
        let (gap_x, above, below) = (12.0, room_above(true, false), room_below(false, false));
        let header = room_above(true, true) - above;
        let footer = room_below(true, true);
        let width = (area.width - left - room - gap_x * (columns - 1) as f32) / columns as f32;
        let grid_top = area.y + top + header;
        let height = ((area.bottom() - grid_top - footer) / rows as f32 - above - below).max(24.0);
        for (index, panel) in self.panels.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let last_in_row = column + 1 == columns || index + 1 == self.panels.len();
            let lowest = index + columns >= self.panels.len();
            let plot_area = Area::new(
                area.x + left + column as f32 * (width + gap_x),
                grid_top + above + row as f32 * (height + above + below),
                width,
                height,
            );
            let frame = Frame {
                title: Some(&panel.title),
                x: &x,
                y: &y,
                x_title: (lowest && last_in_row).then(|| "request".to_owned()),
                y_title: (index == 0).then(|| y.title(&self.metric)),
                x_labels: lowest,
                y_labels: column == 0,
            };
            let plot = frame.draw(canvas, plot_area);
            let mut labels = Vec::new();
            for series in &panel.series {
                if let Some(end) = series.draw(canvas, &plot) {
                    labels.push(EndLabel {
                        y: end,
                        text: series.engine.name.clone(),
                        engine: series.engine.clone(),
                        hollow: false,
                    });
                }
            }
            draw_failures(canvas, &plot, panel);
            if let Some(reason) = &panel.invalid {
                stamp(canvas, plot_area, reason);
            }
            if direct && last_in_row {
                draw_end_labels(
                    canvas,
                    plot_area.right() + 6.0,
                    plot_area.y,
                    plot_area.bottom(),
                    &labels,
                    room - 6.0,
                );
            }
        }
    }

    fn engines(&self) -> Vec<EngineMark> {
        let mut engines: Vec<EngineMark> = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !engines.contains(&series.engine) {
                engines.push(series.engine.clone());
            }
        }
        engines
    }

    fn points(&self) -> impl Iterator<Item = &RequestPoint> {
        self.panels
            .iter()
            .flat_map(|panel| &panel.series)
            .flat_map(|series| &series.trials)
            .flatten()
    }

    fn key(&self, engines: &[EngineMark], direct: bool) -> Vec<Entry> {
        let mut entries: Vec<Entry> = if direct {
            Vec::new()
        } else {
            engines.iter().cloned().map(Entry::Engine).collect()
        };
        let many = self
            .panels
            .iter()
            .flat_map(|panel| &panel.series)
            .any(RequestSeries::is_long);
        if self.points().any(|point| point.cold) && !many {
            entries.push(Entry::Hollow("cold"));
            entries.push(Entry::Filled("later requests"));
        }
        if many {
            entries.push(Entry::Strong("running median"));
            entries.push(Entry::Band("10th to 90th percentile"));
        } else if self
            .panels
            .iter()
            .flat_map(|panel| &panel.series)
            .any(|series| series.trials.len() > 1)
        {
            entries.push(Entry::Strong("median of the trials"));
            entries.push(Entry::Faint("each trial"));
        }
        if self.points().any(|point| point.failure.is_some()) {
            entries.push(Entry::Cross("failed"));
        }
        entries
    }

    fn x_scale(&self) -> Scale {
        let last = self.points().map(|point| point.number).max().unwrap_or(1);
        // Half a request of room, so that the first marker does not sit on the axis.
        let mut scale = Scale::linear(Quantity::Tokens, 0.0, f64::from(last.max(1)), 5);
        let room = f64::from(last.max(1)) * 0.03;
        (scale.low, scale.high) = (-room, f64::from(last.max(1)) + room);
        scale.ticks.retain(|tick| tick.value <= scale.high);
        scale
    }

    fn y_scale(&self) -> Scale {
        let largest = self
            .points()
            .filter_map(|point| point.value)
            .fold(0.0, f64::max);
        let names = self
            .panels
            .iter()
            .map(|panel| panel.outcomes().count())
            .max()
            .unwrap_or(0)
            .min(NAMED_OUTCOMES);
        let room = names as f64 * ROOM_FOR_NAME;
        let medians = self
            .panels
            .iter()
            .flat_map(|panel| &panel.series)
            .filter_map(RequestSeries::typical);
        let smallest = medians.fold(f64::INFINITY, f64::min);
        if self.quantity == Quantity::Seconds
            && smallest.is_finite()
            && smallest > 0.0
            && largest / smallest > LOG_FROM
        {
            let lowest = self
                .points()
                .filter_map(|point| point.value)
                .filter(|value| *value > 0.0)
                .fold(smallest, f64::min);
            return Scale::log(
                self.quantity,
                lowest,
                largest * (largest / lowest).powf(room),
            );
        }
        Scale::from_zero(self.quantity, largest * (1.0 + room), 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::request_series::tests::series;

    #[test]
    fn a_series_far_below_the_others_makes_the_axis_logarithmic_and_says_so() {
        let panel = |value: f64| RequestPanel {
            title: String::new(),
            invalid: None,
            series: vec![series(vec![vec![(value, false); 5]])],
        };
        let chart = |values: &[f64]| RequestsChart {
            metric: "TTFT".to_owned(),
            quantity: Quantity::Seconds,
            panels: values.iter().map(|value| panel(*value)).collect(),
        };
        assert_eq!(chart(&[1.0, 0.1]).y_scale().title("TTFT"), "TTFT (s)");
        assert_eq!(chart(&[20.0, 0.1]).y_scale().title("TTFT"), "TTFT (s, log)");
    }
}
