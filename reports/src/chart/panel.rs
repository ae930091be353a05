//! The frame of one plot: axes with units, ticks, a light grid, a title, and the stamp of an experiment that is INVALID.

use crate::pdf::{
    canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle},
    font::Face,
};

use super::{key::shorten, scale::Scale};

/// What stands around a plot.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) title: Option<&'a str>,
    pub(crate) x: &'a Scale,
    pub(crate) y: &'a Scale,
    /// Words under the horizontal axis.
    pub(crate) x_title: Option<String>,
    /// Words above the vertical axis: set level, because turned text is slow to read.
    pub(crate) y_title: Option<String>,
    /// Words at the ticks; a panel beside another one with the same axis has none.
    pub(crate) x_labels: bool,
    pub(crate) y_labels: bool,
}

/// Room for the words at the vertical axis's ticks.
pub(crate) fn y_label_room(canvas: &Canvas<'_>, scale: &Scale) -> f32 {
    let style = TextStyle::label();
    scale
        .ticks
        .iter()
        .map(|tick| canvas.measure(&style, &tick.text))
        .fold(8.0, f32::max)
        + 6.0
}

/// Where values lie inside a drawn frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot<'a> {
    pub(crate) area: Area,
    x: &'a Scale,
    y: &'a Scale,
}

impl Plot<'_> {
    pub(crate) fn x(&self, value: f64) -> f32 {
        self.area.x + self.x.position(value) * self.area.width
    }

    pub(crate) fn y(&self, value: f64) -> f32 {
        self.area.bottom() - self.y.position(value) * self.area.height
    }

    pub(crate) fn at(&self, x: f64, y: f64) -> (f32, f32) {
        (self.x(x), self.y(y))
    }
}

/// Height above a plot for its title and axis words.
pub(crate) fn room_above(title: bool, y_title: bool) -> f32 {
    match (title, y_title) {
        (true, true) => 28.0,
        (true, false) | (false, true) => 16.0,
        (false, false) => 4.0,
    }
}

/// Height below a plot for tick labels and axis words.
pub(crate) fn room_below(labels: bool, title: bool) -> f32 {
    match (labels, title) {
        (true, true) => 24.0,
        (true, false) | (false, true) => 13.0,
        (false, false) => 4.0,
    }
}

impl<'a> Frame<'a> {
    /// Draws the frame around the plot area `area` (the words lie outside it).
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) -> Plot<'a> {
        let plot = Plot {
            area,
            x: self.x,
            y: self.y,
        };
        let (grid, axis) = (
            Stroke::solid(Colour::HAIRLINE, 0.25),
            Stroke::solid(Colour::AXIS, 0.4),
        );
        let label = TextStyle::label();
        for tick in &self.y.ticks {
            let y = plot.y(tick.value);
            canvas.line((area.x, y), (area.right(), y), &grid);
            if self.y_labels {
                canvas.text(area.x - 4.0, y + 2.6, &tick.text, &label, Anchor::End);
            }
        }
        let mut free_from = f32::MIN;
        for tick in &self.x.ticks {
            let x = plot.x(tick.value);
            canvas.line((x, area.bottom()), (x, area.bottom() + 2.5), &axis);
            let half = canvas.measure(&label, &tick.text) / 2.0;
            if self.x_labels && x - half >= free_from {
                canvas.text(x, area.bottom() + 10.5, &tick.text, &label, Anchor::Middle);
                free_from = x + half + 5.0;
            }
        }
        canvas.line((area.x, area.y), (area.x, area.bottom()), &axis);
        canvas.line(
            (area.x, area.bottom()),
            (area.right(), area.bottom()),
            &axis,
        );
        let words = TextStyle::new(Face::Regular, 8.0, Colour::INK);
        if let Some(title) = &self.x_title {
            let y = area.bottom() + if self.x_labels { 21.0 } else { 10.0 };
            canvas.text(area.right(), y, title, &words, Anchor::End);
        }
        if let Some(title) = self.title {
            let style = TextStyle::new(Face::Regular, 9.0, Colour::INK);
            let shown = shorten(canvas, title, &style, area.width);
            canvas.text(area.x, area.y - 5.0, &shown, &style, Anchor::Start);
        }
        if let Some(title) = &self.y_title {
            let start = if self.y_labels {
                area.x - y_label_room(canvas, self.y) + 2.0
            } else {
                area.x
            };
            // Above the panel's own title, so that titles of neighbours stand on one line.
            let y = area.y - if self.title.is_some() { 18.0 } else { 7.0 };
            canvas.text(start, y, title, &words, Anchor::Start);
        }
        plot
    }
}

/// Lays a light diagonal band over a plot that names why its experiment is INVALID; the figure stays readable under it.
pub(crate) fn stamp(canvas: &mut Canvas<'_>, area: Area, reason: &str) {
    let diagonal = (area.width.powi(2) + area.height.powi(2)).sqrt();
    let angle = area.height.atan2(area.width);
    let (cosine, sine) = (angle.cos(), angle.sin());
    let (centre_x, centre_y) = (area.x + area.width / 2.0, area.y + area.height / 2.0);
    let style = TextStyle::new(Face::SemiBold, 8.0, Colour(0.42, 0.16, 0.10));
    let text = shorten(
        canvas,
        &format!("INVALID: {reason}"),
        &style,
        diagonal * 0.86,
    );
    canvas.clipped(area, |canvas| {
        let half = 8.0;
        let corner = |along: f32, across: f32| {
            (
                centre_x + along * cosine + across * sine,
                centre_y - along * sine + across * cosine,
            )
        };
        let reach = diagonal;
        let band = [
            corner(-reach, -half),
            corner(reach, -half),
            corner(reach, half),
            corner(-reach, half),
        ];
        canvas.translucent(|canvas| canvas.polygon(&band, Colour(0.85, 0.45, 0.35)));
        canvas.turned_text(centre_x, centre_y, &text, &style, angle.to_degrees());
    });
}

/// How many columns a set of panels takes, so that panels are wider than high.
pub(crate) fn columns_for(panels: usize) -> usize {
    match panels {
        0 | 1 => 1,
        2 | 4 => 2,
        3 | 5 | 6 | 9 => 3,
        _ => 4,
    }
}
