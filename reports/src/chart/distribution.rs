//! Empirical distribution functions with marks at the quantiles, one panel for each experiment or metric.

use crate::{
    pdf::canvas::{Area, Canvas, Stroke},
    stats::tail_quantile,
};

use super::{
    aggregate::distribution,
    key::{Entry, draw_key},
    panel::{Frame, columns_for, room_above, room_below, y_label_room},
    scale::{Quantity, Scale, Tick},
    style::EngineMark,
};

/// Steps that a curve is drawn with at most.
const STEPS: usize = 400;
/// Quantiles that carry a mark.
const MARKED: [f64; 3] = [0.5, 0.9, 0.99];
/// From this ratio between panels' largest values each panel has a scale of its own.
const OWN_SCALE_FROM: f64 = 8.0;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    pub engine: EngineMark,
    /// Cold requests: thin, with hollow marks.
    pub cold: bool,
    /// Samples in base units, in any order.
    pub samples: Vec<f64>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributionPanel {
    pub title: String,
    /// The metric as the axis names it.
    pub metric: String,
    pub curves: Vec<Curve>,
}

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct DistributionChart {
    pub quantity: Quantity,
    pub panels: Vec<DistributionPanel>,
}

impl DistributionPanel {
    fn largest(&self) -> f64 {
        self.curves
            .iter()
            .flat_map(|curve| &curve.samples)
            .copied()
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max)
    }
}

impl DistributionChart {
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let mut engines: Vec<EngineMark> = Vec::new();
        for curve in self.panels.iter().flat_map(|panel| &panel.curves) {
            if !engines.contains(&curve.engine) {
                engines.push(curve.engine.clone());
            }
        }
        let mut entries: Vec<Entry> = engines.into_iter().map(Entry::Engine).collect();
        if self
            .panels
            .iter()
            .flat_map(|panel| &panel.curves)
            .any(|curve| curve.cold)
        {
            entries.push(Entry::Hollow("cold"));
            entries.push(Entry::Filled("later requests"));
        }
        // One curve needs no key: the title says what it is.
        let curves: usize = self.panels.iter().map(|panel| panel.curves.len()).sum();
        let top = if curves > 1 {
            draw_key(canvas, area, &entries)
        } else {
            0.0
        };
        let y = share_scale();
        let columns = columns_for(self.panels.len());
        let rows = self.panels.len().div_ceil(columns).max(1);
        let left = y_label_room(canvas, &y);
        let gap = 26.0;
        let width = (area.width - left - gap * (columns - 1) as f32 - 10.0) / columns as f32;
        let (above, below) = (room_above(true, true), room_below(true, true));
        let height = ((area.height - top) / rows as f32 - above - below).max(24.0);
        for (index, panel) in self.panels.iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let x = Scale::from_zero(self.quantity, self.reach(panel), 4);
            let plot_area = Area::new(
                area.x + left + column as f32 * (width + gap),
                area.y + top + above + row as f32 * (height + above + below),
                width,
                height,
            );
            let frame = Frame {
                title: Some(&panel.title),
                x: &x,
                y: &y,
                x_title: Some(x.title(&panel.metric)),
                y_title: (column == 0).then(|| "share of requests at or below".to_owned()),
                x_labels: true,
                y_labels: column == 0,
            };
            let plot = frame.draw(canvas, plot_area);
            for curve in &panel.curves {
                let mut path = Vec::new();
                let mut before = 0.0;
                for (value, share) in distribution(&curve.samples, STEPS) {
                    path.push(plot.at(value, before));
                    path.push(plot.at(value, share));
                    before = share;
                }
                let stroke = if curve.cold {
                    Stroke {
                        width: 0.5,
                        ..curve.engine.strong()
                    }
                } else {
                    curve.engine.strong()
                };
                canvas.polyline(&path, &stroke);
                let mut sorted: Vec<f64> = curve
                    .samples
                    .iter()
                    .copied()
                    .filter(|value| value.is_finite())
                    .collect();
                sorted.sort_by(f64::total_cmp);
                for share in MARKED {
                    // A quantile that so few samples cannot tell has no mark.
                    if let Some(value) = tail_quantile(&sorted, share) {
                        curve
                            .engine
                            .draw(canvas, plot.at(value, share), 2.0, curve.cold);
                    }
                }
            }
        }
    }
}

impl DistributionChart {
    /// How far a panel's axis reaches: as far as those of all panels of the same metric, unless they differ too much.
    fn reach(&self, panel: &DistributionPanel) -> f64 {
        let same = || {
            self.panels
                .iter()
                .filter(|other| other.metric == panel.metric)
                .map(DistributionPanel::largest)
        };
        let largest = same().fold(0.0, f64::max);
        let smallest = same()
            .filter(|value| *value > 0.0)
            .fold(f64::INFINITY, f64::min);
        if largest / smallest < OWN_SCALE_FROM {
            largest
        } else {
            panel.largest()
        }
    }
}

fn share_scale() -> Scale {
    let mut scale = Scale::from_zero(Quantity::Share, 1.0, 4);
    scale.ticks = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0]
        .map(|value| Tick {
            value,
            text: format!("{value}"),
        })
        .to_vec();
    scale
}
