//! Quantities over the run's time: stacked panels on one time axis, experiments as shaded spans, events as vertical marks.

use crate::pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle};

use super::{
    aggregate::envelope,
    key::{END_MARKER, EndLabel, draw_end_labels, shorten},
    panel::{Frame, room_above, room_below, y_label_room},
    scale::{Quantity, Scale},
    style::EngineMark,
};

/// Points of one line at most.
const POINTS: usize = 900;

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeSeries {
    /// Whose it is: `lmcache`, `lmcache.remote`.
    pub name: String,
    pub engine: EngineMark,
    /// A part of the engine (a sidecar): a thin line.
    pub thin: bool,
    /// `(seconds since the run started, value)` by time; a null value breaks the line.
    pub points: Vec<(f64, Option<f64>)>,
}

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub struct TimePanel {
    /// What it shows, above its axis.
    pub title: String,
    pub quantity: Quantity,
    pub series: Vec<TimeSeries>,
}

/// A stretch of time with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub label: String,
    /// Seconds since the run started.
    pub from_s: f64,
    pub to_s: f64,
}

/// A moment with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    pub label: String,
    /// Seconds since the run started.
    pub at_s: f64,
}

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeChart {
    pub panels: Vec<TimePanel>,
    pub spans: Vec<Span>,
    pub events: Vec<Moment>,
}

impl TimeChart {
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let points = || {
            self.panels
                .iter()
                .flat_map(|panel| &panel.series)
                .flat_map(|series| &series.points)
        };
        let end = points()
            .map(|(at, _)| *at)
            .chain(self.spans.iter().map(|span| span.to_s))
            .fold(0.0, f64::max)
            .max(1e-3);
        let start = points()
            .map(|(at, _)| *at)
            .chain(self.spans.iter().map(|span| span.from_s))
            .fold(end, f64::min);
        let x = Scale::exact(Quantity::Seconds, start.min(end * 0.999), end, 8);
        let scales: Vec<Scale> = self
            .panels
            .iter()
            .map(|panel| Scale::from_zero(panel.quantity, panel.largest(), 4))
            .collect();
        let left = scales
            .iter()
            .map(|scale| y_label_room(canvas, scale))
            .fold(0.0, f32::max);
        let style = TextStyle::label();
        let names = self
            .panels
            .iter()
            .flat_map(|panel| &panel.series)
            .map(|series| canvas.measure(&style, &series.name));
        let right = names.fold(0.0, f32::max).min(110.0) + END_MARKER + 8.0;
        let bands = if self.spans.is_empty() { 0.0 } else { 11.0 };
        let count = self.panels.len().max(1) as f32;
        let between = room_above(false, true) + 6.0;
        let height = (area.height - bands - room_below(true, true) - between * count) / count;
        for (index, (panel, y)) in self.panels.iter().zip(&scales).enumerate() {
            let last = index + 1 == self.panels.len();
            let top = area.y + bands + between + index as f32 * (height + between);
            let plot_area = Area::new(
                area.x + left,
                top,
                area.width - left - right,
                height.max(20.0),
            );
            self.draw_spans(canvas, plot_area, &x, index == 0);
            let frame = Frame {
                title: None,
                x: &x,
                y,
                x_title: last.then(|| x.title("time since the run started")),
                y_title: Some(y.title(&panel.title)),
                x_labels: last,
                y_labels: true,
            };
            let plot = frame.draw(canvas, plot_area);
            let mut labels = Vec::new();
            for series in &panel.series {
                let stroke = if series.thin {
                    Stroke {
                        width: 0.5,
                        ..series.engine.strong()
                    }
                } else {
                    Stroke {
                        width: 0.8,
                        ..series.engine.strong()
                    }
                };
                let mut end = None;
                for piece in series.points.split(|(_, value)| value.is_none()) {
                    let piece: Vec<(f64, f64)> = piece
                        .iter()
                        .filter_map(|(at, value)| value.map(|value| (*at, value)))
                        .collect();
                    let path: Vec<(f32, f32)> = envelope(&piece, POINTS)
                        .into_iter()
                        .map(|(at, value)| plot.at(at, value))
                        .collect();
                    canvas.polyline(&path, &stroke);
                    end = path.last().copied().or(end);
                }
                if let Some((_, y)) = end {
                    labels.push(EndLabel {
                        y,
                        text: series.name.clone(),
                        engine: series.engine.clone(),
                        hollow: series.thin,
                    });
                }
            }
            for event in &self.events {
                let at = plot.x(event.at_s);
                canvas.line(
                    (at, plot_area.y),
                    (at, plot_area.bottom()),
                    &Stroke::solid(Colour::INK, 0.6),
                );
                if index == 0 {
                    let text = shorten(canvas, &event.label, &style, 90.0);
                    let (anchor, x) = if at > plot_area.right() - 95.0 {
                        (Anchor::End, at - 2.5)
                    } else {
                        (Anchor::Start, at + 2.5)
                    };
                    canvas.text(x, plot_area.y + 8.0, &text, &style, anchor);
                }
            }
            draw_end_labels(
                canvas,
                plot_area.right() + 6.0,
                plot_area.y,
                plot_area.bottom(),
                &labels,
                right - 6.0,
            );
        }
    }

    /// Shades every other span, so that neighbours differ, and names those with room.
    fn draw_spans(&self, canvas: &mut Canvas<'_>, area: Area, x: &Scale, named: bool) {
        let style = TextStyle::label();
        for (index, span) in self.spans.iter().enumerate() {
            let from = area.x + x.position(span.from_s) * area.width;
            let to = area.x + x.position(span.to_s) * area.width;
            let shade = if index % 2 == 0 {
                Colour::SHADE
            } else {
                Colour::SHADE.tint(1.9)
            };
            canvas.fill_area(
                Area::new(from, area.y, (to - from).max(0.2), area.height),
                shade,
            );
            if named && to - from > 18.0 {
                let text = span_label(canvas, &span.label, &style, to - from - 2.0);
                canvas.text(
                    (from + to) / 2.0,
                    area.y - room_above(false, true) - 2.0,
                    &text,
                    &style,
                    Anchor::Middle,
                );
            }
        }
    }
}

/// The label whole; where that has no room, the value of a name and a value alone; else cut in the middle.
fn span_label(canvas: &Canvas<'_>, label: &str, style: &TextStyle, room: f32) -> String {
    let value = label
        .split_once(' ')
        .map(|(_, value)| value)
        .filter(|value| value.chars().all(|character| character.is_ascii_digit()));
    match value {
        Some(value)
            if canvas.measure(style, label) > room && canvas.measure(style, value) <= room =>
        {
            value.to_owned()
        }
        _ => shorten(canvas, label, style, room),
    }
}

impl TimePanel {
    fn largest(&self) -> f64 {
        self.series
            .iter()
            .flat_map(|series| &series.points)
            .filter_map(|(_, value)| *value)
            .fold(0.0, f64::max)
    }
}
