//! A metric against context length with intervals, and the ratio to the baseline on a panel of its own below.

use crate::pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle};

use super::{
    Point,
    key::{END_MARKER, EndLabel, Entry, draw_end_labels, draw_key},
    panel::{Frame, Plot, room_above, room_below, y_label_room},
    scale::{Quantity, Scale},
    style::EngineMark,
};

/// One line of the upper or the lower panel.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextSeries {
    pub engine: EngineMark,
    /// Cold requests: hollow markers and a thin line.
    pub cold: bool,
    /// `(context length in tokens, value)` by length.
    pub points: Vec<(u32, Point)>,
}

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct ContextChart {
    /// The metric as the axis names it.
    pub metric: String,
    pub quantity: Quantity,
    pub values: Vec<ContextSeries>,
    /// Words above the lower panel's axis: what is divided by what.
    pub ratio_title: String,
    /// Ratios to the baseline; empty leaves the lower panel out.
    pub ratios: Vec<ContextSeries>,
}

impl ContextChart {
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let tops = |series: &[ContextSeries]| {
            series
                .iter()
                .flat_map(|line| &line.points)
                .map(|(_, point)| point.top())
                .fold(0.0, f64::max)
        };
        let longest = self
            .values
            .iter()
            .chain(&self.ratios)
            .flat_map(|line| &line.points)
            .map(|(tokens, _)| *tokens)
            .max()
            .unwrap_or(1);
        let x = Scale::from_zero(Quantity::Tokens, f64::from(longest), 8);
        let y = Scale::from_zero(self.quantity, tops(&self.values), 5);
        let ratio = Scale::from_zero(Quantity::Plain, tops(&self.ratios).max(1.05), 4);
        let style = TextStyle::label();
        let names = self
            .values
            .iter()
            .map(|line| canvas.measure(&style, &line.name()));
        let right = names.fold(0.0, f32::max).min(130.0) + END_MARKER + 8.0;
        let mut entries = vec![Entry::Filled("later requests, median over trials")];
        if self.values.iter().any(|line| line.cold) {
            entries.insert(0, Entry::Hollow("cold"));
        }
        let top = draw_key(canvas, area, &entries);
        let left = y_label_room(canvas, &y).max(y_label_room(canvas, &ratio));
        let two = !self.ratios.is_empty();
        let words = room_above(false, true)
            + if two {
                room_above(false, true) + room_below(false, false) + 6.0
            } else {
                0.0
            };
        let height = area.height - top - words - room_below(true, true);
        let upper = if two { height * 0.62 } else { height };
        let plot_area = Area::new(
            area.x + left,
            area.y + top + room_above(false, true),
            area.width - left - right,
            upper,
        );
        let frame = Frame {
            title: None,
            x: &x,
            y: &y,
            x_title: (!two).then(|| x.title("context length")),
            y_title: Some(y.title(&self.metric)),
            x_labels: !two,
            y_labels: true,
        };
        let plot = frame.draw(canvas, plot_area);
        draw_lines(canvas, &plot, &self.values, right);
        if two {
            let lower = Area::new(
                plot_area.x,
                plot_area.bottom() + room_below(false, false) + room_above(false, true) + 6.0,
                plot_area.width,
                height - upper,
            );
            let frame = Frame {
                title: None,
                x: &x,
                y: &ratio,
                x_title: Some(x.title("context length")),
                y_title: Some(self.ratio_title.clone()),
                x_labels: true,
                y_labels: true,
            };
            let plot = frame.draw(canvas, lower);
            let one = plot.y(1.0);
            canvas.line(
                (lower.x, one),
                (lower.right(), one),
                &Stroke {
                    colour: Colour::INK,
                    width: 0.6,
                    dash: &[2.5, 1.8],
                },
            );
            canvas.text(
                lower.x + 4.0,
                one - 2.5,
                "1: recompute takes as long",
                &style,
                Anchor::Start,
            );
            draw_lines(canvas, &plot, &self.ratios, right);
        }
    }
}

impl ContextSeries {
    fn name(&self) -> String {
        if self.cold {
            format!("{}, cold", self.engine.name)
        } else {
            self.engine.name.clone()
        }
    }
}

fn draw_lines(canvas: &mut Canvas<'_>, plot: &Plot<'_>, lines: &[ContextSeries], room: f32) {
    let mut labels = Vec::new();
    for line in lines {
        let path: Vec<(f32, f32)> = line
            .points
            .iter()
            .map(|(tokens, point)| plot.at(f64::from(*tokens), point.value))
            .collect();
        let stroke = if line.cold {
            Stroke {
                width: 0.5,
                ..line.engine.strong()
            }
        } else {
            line.engine.strong()
        };
        canvas.polyline(&path, &stroke);
        for (tokens, point) in &line.points {
            let (x, y) = plot.at(f64::from(*tokens), point.value);
            if let Some((low, high)) = point.interval {
                let whisker = Stroke::solid(line.engine.colour, 0.6);
                canvas.line((x, plot.y(low)), (x, plot.y(high)), &whisker);
                for end in [plot.y(low), plot.y(high)] {
                    canvas.line((x - 2.5, end), (x + 2.5, end), &whisker);
                }
            }
            line.engine.draw(canvas, (x, y), 2.3, line.cold);
        }
        if let Some((_, y)) = path.last() {
            labels.push(EndLabel {
                y: *y,
                text: line.name(),
                engine: line.engine.clone(),
                hollow: line.cold,
            });
        }
    }
    draw_end_labels(
        canvas,
        plot.area.right() + 6.0,
        plot.area.y,
        plot.area.bottom(),
        &labels,
        room - 6.0,
    );
}
